import { newQueueId } from '#shared/ids.ts';
import type { Holder, Present } from './contract.ts';

/**
 * Which processes hold keys right now: every credential-store and signer announces itself each second and at every
 * change. One that has not been heard for `LIVE_MS` does not count as live: nothing waits for it, and it catches up when
 * it is back. What is heard proves life, silence proves nothing: so nobody decides anything by this alone. Every
 * decision is a compare-and-set, which a node that is cut off cannot make.
 */

/** How often a process announces itself, in milliseconds. */
export const ANNOUNCE_MS = 1000;
/** Silence after which a process does not count as live. */
const LIVE_MS = 5000;
/** How long one listens before one knows who lives. */
const LISTEN_MS = 3000;

type Heard = { kind: Holder['kind']; present: Present; at: number; clock: number };

export class Presence {
  readonly #heard = new Map<string, Heard>();
  readonly #listeners = new Set<() => void>();
  /** Names this process among others, also those of the same node's name; like queue ids, later ones are greater. */
  readonly instance = newQueueId();
  #listeningSince: number;

  constructor() {
    this.#listeningSince = performance.now();
  }

  /** Take in what a process said of itself. */
  hear(kind: Holder['kind'], present: Present): void {
    const key = `${kind}!${present.node}!${present.instance}`;
    const before = this.#heard.get(key);
    const at = performance.now();
    const offset = present.time - Date.now();
    // The message that was fastest says most about the other clock; one that jumped shows within a few messages.
    const clock =
      before === undefined ? offset : Math.abs(offset - before.clock) > 1000 ? offset : Math.max(offset, before.clock);
    this.#heard.set(key, { kind, present, at, clock });
    const news =
      before === undefined ||
      before.present.revision !== present.revision ||
      before.present.behind !== present.behind ||
      at - before.at > LIVE_MS;
    if (news) for (const listener of this.#listeners) listener();
  }

  /** Called when somebody came, changed its revision or caught up. */
  onNews(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The way to the others was lost: who lives is not known before we have listened again. */
  reset(): void {
    this.#listeningSince = performance.now();
  }

  /** Whether we have listened long enough to know who lives. */
  get settled(): boolean {
    return performance.now() - this.#listeningSince >= LISTEN_MS;
  }

  /**
   * Whether another, older credential-store lives under this node's name, copied with its configuration perhaps. The
   * two would take every domain from one another, for ever: only the oldest acts.
   */
  hasElder(node: string): boolean {
    const now = performance.now();
    return [...this.#heard.values()].some(
      ({ kind, present, at }) =>
        kind === 'credential-store' && present.node === node && present.instance < this.instance && now - at <= LIVE_MS,
    );
  }

  /** Who lives, ordered by node, kind and instance. */
  live(): Holder[] {
    const now = performance.now();
    const holders: Holder[] = [];
    for (const [key, { kind, present, at, clock }] of this.#heard) {
      const heard = now - at;
      if (heard > 10 * LIVE_MS) this.#heard.delete(key);
      else if (heard <= LIVE_MS) {
        const { node, instance, revision, neks, behind } = present;
        holders.push({
          node,
          kind,
          instance,
          revision,
          heard,
          clock,
          neks,
          ...(behind === undefined ? {} : { behind }),
        });
      }
    }
    return holders.sort((a, b) => order(a.node, b.node) || order(a.kind, b.kind) || order(a.instance, b.instance));
  }
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
