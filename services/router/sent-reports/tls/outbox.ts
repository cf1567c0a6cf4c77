import { z } from 'zod';
import { endsWithin } from '#cluster/bus/bus.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { keys, putJson } from '../../store/records.ts';
import { readable } from '../../store/recovery.ts';
import { RecordReader } from '../daily/record-reader.ts';
import type { Resolve } from '../destinations.ts';
import { post } from './post.ts';

/**
 * TLS reports that are to be posted, on the disk of this node:
 *
 *   waiting → under way → taken, or given up after a day (deleted)
 *                       → waiting, twice as long as before (RFC 8460 §5.5)
 *
 * After a start all of them are tried.
 */

const Post = z.object({
  url: z.string(),
  /** What the report is about, and its id. */
  domain: z.string(),
  report: z.string(),
  /** ms since 1970: after that it is given up. */
  until: z.number(),
  /** base64 */
  gzip: z.string(),
});
export type Post = z.infer<typeof Post>;

const DAY_MS = 86_400_000;
const TICK_MS = 1000;
const FIRST_WAIT_MS = 60_000;
const LONGEST_WAIT_MS = 4 * 3_600_000;
const MOST_UNDER_WAY = 4;
/** More are not taken. */
const MOST_POSTS = 10_000;
const STOP_MS = 2000;

/** `next`: time of the monotonic clock. */
type Waiting = { next: number; wait: number };

export type OutboxDeps = { settings: Settings; log: Logger; store: Store; resolve: Resolve; firstWaitMs?: number };

export class Outbox {
  readonly #deps: OutboxDeps;
  readonly #records: RecordReader;
  readonly #stopping = new AbortController();
  readonly #waiting = new Map<string, Waiting>();
  readonly #underWay = new Map<string, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;

  private constructor(deps: OutboxDeps) {
    this.#deps = deps;
    this.#records = new RecordReader(deps.store, deps.log, 'TLS');
  }

  /** Rejects with `store-failed`. */
  static async load(deps: OutboxDeps): Promise<Outbox> {
    const outbox = new Outbox(deps);
    for await (const [key] of readable(deps.store, 'tls-post', deps.log)) outbox.written(key);
    return outbox;
  }

  /** How many more it takes. */
  get room(): number {
    return MOST_POSTS - this.#waiting.size - this.#underWay.size;
  }

  /** What writes a post, and its key. */
  writing(
    id: string,
    given: Omit<Post, 'until' | 'gzip'> & { gzip: Buffer },
  ): { key: string; operation: StoreOperation } {
    const key = keys.tlsPost(id);
    const record: Post = { ...given, until: Date.now() + DAY_MS, gzip: given.gzip.toString('base64') };
    return { key, operation: putJson(key, record) };
  }

  /** It is on disk. */
  written(key: string): void {
    this.#waiting.set(key, { next: performance.now(), wait: this.#deps.firstWaitMs ?? FIRST_WAIT_MS });
  }

  begin(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await endsWithin(STOP_MS, Promise.all(this.#underWay.values()));
  }

  #tick(): void {
    if (this.#deps.store.failure !== undefined) return;
    const now = performance.now();
    for (const [key, waiting] of this.#waiting) {
      if (this.#underWay.size >= MOST_UNDER_WAY) return;
      if (waiting.next > now) continue;
      this.#waiting.delete(key);
      const work = this.#try(key, waiting).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, work);
    }
  }

  /** Never rejects. */
  async #try(key: string, { wait }: Waiting): Promise<void> {
    const { log, settings, resolve } = this.#deps;
    const later = (): void => {
      const next = performance.now() + wait;
      this.#waiting.set(key, { next, wait: Math.min(2 * wait, LONGEST_WAIT_MS) });
    };
    try {
      const record = await this.#records.one(Post, key);
      if (record === undefined) return await this.#delete(key);
      const { url, domain, report, gzip, until } = record;
      const about = { domain, report, url };
      try {
        const { signal } = this.#stopping;
        await post(url, Buffer.from(gzip, 'base64'), { config: settings.current, resolve, signal });
        log.info(about, 'TLS report posted');
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        const isOver = Date.now() >= until;
        const text = isOver ? 'TLS report given up: it could not be posted in a day' : 'TLS report not posted yet';
        log.info({ ...about, error: errorText(error), ...(!isOver && { againInMs: wait }) }, text);
        if (!isOver) return later();
      }
      await this.#delete(key);
    } catch (error) {
      log.warn({ key, error: errorText(error) }, 'TLS report not posted: the disk fails, it is tried again');
      later();
    }
  }

  async #delete(key: string): Promise<void> {
    await this.#deps.store.write([{ type: 'del', key }]);
  }
}
