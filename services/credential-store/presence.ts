import { clockOffset, Heard } from '#cluster/members/heard.ts';
import { newQueueId } from '#shared/ids.ts';
import type { DirectoryHolder, Holder, PresentHolder } from '#shared/keys/holders.ts';

/**
 * The processes that hold keys right now: every credential-store and signer announces itself each second and at every
 * change (cluster/members/).
 *
 * One that was not heard for `LIVE_MS` is not live: nothing waits for it, and it catches up when it is back. What is heard
 * proves life, silence proves nothing: so nothing is decided by this alone. Every decision is a compare-and-set, which a
 * node that is cut off cannot make.
 */

/** Silence up to which a process counts as live. */
const LIVE_MS = 5000;
/** How long to listen before it is known which processes are live. */
const LISTEN_MS = 3000;

type Known = { kind: Holder['kind']; present: PresentHolder; clock: number };

export class Presence {
  readonly #heard = new Heard<Known>({ liveMs: LIVE_MS, keepMs: 10 * LIVE_MS });
  readonly #policies = new Heard<DirectoryHolder>({ liveMs: LIVE_MS, keepMs: 10 * LIVE_MS });
  readonly #listeners = new Set<() => void>();
  /** Names this process, also among others of the same node's name; like queue ids, later ones are greater. */
  readonly instance = newQueueId();
  #listeningSince: number;

  constructor() {
    this.#listeningSince = performance.now();
  }

  /** Keep what a process said of itself. */
  hear(kind: Holder['kind'], present: PresentHolder): void {
    const key = `${kind}!${present.node}!${present.instance}`;
    const before = this.#heard.get(key)?.said;
    const came = this.#heard.hear(key, { kind, present, clock: clockOffset(present.time, before?.clock) });
    const changed = before?.present.revision !== present.revision || before.present.behind !== present.behind;
    if (came || changed) for (const listener of this.#listeners) listener();
  }

  /** Keep what a process of policy said of itself. It holds no keys: no rotation waits for it. */
  hearPolicy(said: DirectoryHolder): void {
    this.#policies.hear(`${said.node}!${said.instance}`, said);
  }

  /** Those of policy that are live. */
  policies(): DirectoryHolder[] {
    return this.#policies
      .live()
      .map(({ said }) => said)
      .sort((a, b) => order(a.node, b.node) || order(a.instance, b.instance));
  }

  /** Called when a process came, changed its revision or caught up. */
  onNews(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The connection to the others was lost: which are live is not known before this one has listened again. */
  reset(): void {
    this.#listeningSince = performance.now();
  }

  /** Whether this process has listened long enough to know which are live. */
  get settled(): boolean {
    return performance.now() - this.#listeningSince >= LISTEN_MS;
  }

  /**
   * Whether another, older credential-store is live under this node's name, copied with its configuration perhaps. The
   * two would take every domain from one another, for ever: only the oldest acts.
   */
  hasElder(node: string): boolean {
    return this.#heard.live().some(({ said: { kind, present } }) => {
      return kind === 'credential-store' && present.node === node && present.instance < this.instance;
    });
  }

  /** Those that are live, ordered by node, kind and instance. */
  live(): Holder[] {
    const holders = this.#heard.live().map(({ said: { kind, present, clock }, silence }): Holder => {
      const { time: _, ...said } = present;
      return { ...said, kind, heard: silence, clock };
    });
    return holders.sort((a, b) => order(a.node, b.node) || order(a.kind, b.kind) || order(a.instance, b.instance));
  }
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
