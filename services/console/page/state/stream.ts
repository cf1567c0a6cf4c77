import { useEffect, useState } from '/vendor/preact.js';
import { get, type Query, queryText } from './api.ts';
import { useNow } from './clock.ts';
import { Store, useStore } from './store.ts';

/**
 * Server-sent events of `/api/events`: one connection for all components of this tab. It is
 *
 *   closed   while nobody listens, or the tab is hidden (browsers allow few connections to one server)
 *   open     once somebody listens; opened again when somebody listens to something else, and after a pause that grows
 *            to ten seconds when it broke or fell silent
 *
 * A component that shows what came last must say when that is old: `useLive` tells.
 */

export type Live<T> = {
  /** What came last, also while nothing comes. */
  data: T | undefined;
  /** For how many ms nothing came, where that is longer than it should be. */
  stale: number | undefined;
};

/** The server sends something each second. */
const STALE_MS = 4000;
/** A connection on which nothing comes is given up: a server that hangs does not close it. */
const SILENT_MS = 10_000;
const LONGEST_PAUSE_MS = 10_000;

type Listener = { event: string; query: Query; take: (data: unknown) => void };

class Stream {
  readonly #listeners = new Set<Listener>();
  #source: EventSource | undefined;
  #address = '';
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #pause = 1000;
  /** ms since 1970 when something came last, or, where nothing has, when it was opened. */
  readonly heard = new Store(Date.now());
  /** Whether somebody listens, and something has come. */
  readonly alive = new Store(false);

  listen(listener: Listener): () => void {
    if (this.#listeners.size === 0) {
      document.addEventListener('visibilitychange', this.#follow);
    }
    this.#listeners.add(listener);
    this.#follow();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) {
        this.#follow();
        return;
      }
      document.removeEventListener('visibilitychange', this.#follow);
      this.#close();
      this.alive.set(false);
    };
  }

  /** Open what should be, and nothing else. */
  readonly #follow = (): void => {
    if (document.hidden) {
      this.#close();
      return;
    }
    const listeners = [...this.#listeners];
    const follow = [...new Set(listeners.map(({ event }) => event))].toSorted().join();
    const address = `/api/events${queryText(Object.assign({ follow }, ...listeners.map(({ query }) => query)))}`;
    const opened = this.#source !== undefined || this.#retry !== undefined;
    if (opened && address === this.#address) return;
    this.#close();
    this.#address = address;
    // While it was closed, nothing could come.
    if (!opened) this.heard.set(Date.now());
    this.#open(follow.split(','));
  };

  #open(events: readonly string[]): void {
    this.#retry = undefined;
    const source = new EventSource(this.#address);
    this.#source = source;
    let last = Date.now();
    source.addEventListener('error', () => this.#again(events));
    for (const event of events) {
      source.addEventListener(event, ({ data }: MessageEvent<string>) => {
        last = Date.now();
        this.#pause = 1000;
        this.heard.set(last);
        if (!this.alive.value) this.alive.set(true);
        const value: unknown = JSON.parse(data);
        for (const listener of this.#listeners) if (listener.event === event) listener.take(value);
      });
    }
    this.#watch = setInterval(() => Date.now() - last > SILENT_MS && this.#again(events), 1000);
  }

  #again(events: readonly string[]): void {
    this.#close();
    this.#retry = setTimeout(() => this.#open(events), this.#pause);
    this.#pause = Math.min(LONGEST_PAUSE_MS, this.#pause * 2);
    // An EventSource does not tell why it ended. Where the session is over, this shows the sign-in.
    get('session').catch(() => undefined);
  }

  #close(): void {
    this.#source?.close();
    this.#source = undefined;
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }
}

const stream = new Stream();

/** Whether anything has come to those who listen, and how long nothing did: for the sign of life beside the navigation. */
export function useLife(): { alive: boolean; stale: number | undefined } {
  return { alive: useStore(stream.alive), stale: useStale() };
}

/**
 * The last event of a name, such as `overview`, for as long as the component is shown. `query`: what that event asks for,
 * such as the domain of a rotation; all components of a page ask with one query. An undefined name listens to nothing.
 */
export function useLive<T>(event: string | undefined, query: Query = {}): Live<T> {
  const [data, setData] = useState<T | undefined>(undefined);
  const asked = queryText(query);
  useEffect(() => {
    setData(undefined);
    return event === undefined ? undefined : stream.listen({ event, query, take: (next) => setData(() => next as T) });
  }, [event, asked]);
  return { data, stale: useStale() };
}

function useStale(): number | undefined {
  const heard = useStore(stream.heard);
  const silence = useNow() - heard;
  return silence > STALE_MS ? silence : undefined;
}
