/** Records that a map did not take in, for people: which, whose, and why. In memory, the newest for each key. */
export type Refused = {
  key: string;
  /** The node that is named in it as its writer; undefined where there is no saying. */
  writer: string | undefined;
  reason: string;
  /** Fingerprint of the NEK that wrote it, as it says, where this node lacks that. */
  nek?: string | undefined;
  /** ms since 1970 */
  at: number;
};

/** A stranger can make up as many keys as he likes. */
const MOST = 1000;
/** How long one is told of after it was seen last. */
const KEEP_MS = 24 * 3_600_000;

export class RefusedRecords {
  readonly #byKey = new Map<string, Refused>();

  /** Whether this is news: neither this key nor this reason was noted before. */
  note({ key, writer, ...why }: Omit<Refused, 'at'>): boolean {
    const before = this.#byKey.get(key);
    this.#byKey.delete(key);
    // What a stranger wrote is shown on terminals.
    const name = writer?.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
    this.#byKey.set(key, { key, writer: name, ...why, at: Date.now() });
    const [oldest] = this.#byKey.keys();
    if (this.#byKey.size > MOST && oldest !== undefined) this.#byKey.delete(oldest);
    return before?.reason !== why.reason;
  }

  forget(key: string): void {
    this.#byKey.delete(key);
  }

  list(): Refused[] {
    const since = Date.now() - KEEP_MS;
    return [...this.#byKey.values()].filter(({ at }) => at >= since).sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}
