/** A map of at most `most` entries: the one that was set longest ago makes room for a new one. */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly #most: number;

  constructor(most: number) {
    super();
    this.#most = most;
  }

  /** Also makes a key that is there already the last to go: a value that is set again when it is used counts as used. */
  override set(key: K, value: V): this {
    this.delete(key);
    if (this.size >= this.#most) {
      for (const oldest of this.keys()) {
        this.delete(oldest);
        break;
      }
    }
    return super.set(key, value);
  }
}
