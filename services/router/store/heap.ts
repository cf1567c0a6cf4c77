/** An item knows its place (-1 when it is in no heap), so that it can be taken out or moved from anywhere. */
export type HeapItem = { at: number };

/**
 * A binary heap: the item with the smallest time first. Every operation is O(log n), `peek` O(1). The times are in an array
 * of their own: there each takes eight bytes, and the next ones to compare are beside each other.
 */
export class Heap<T extends HeapItem> {
  readonly #items: T[] = [];
  readonly #dues: number[] = [];

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** The time of an item; Infinity where it is not in. */
  due({ at }: T): number {
    return this.#time(at);
  }

  /** The time of the first item; Infinity where there is none. */
  get first(): number {
    return this.#time(0);
  }

  /** Put an item in, or move the one that is in, to where its time belongs. */
  set(item: T, due: number): void {
    if (item.at < 0) {
      item.at = this.#items.length;
      this.#items.push(item);
      this.#dues.push(due);
    }
    this.#settle(item, due);
  }

  /** Take an item out; nothing happens when it is not in. */
  delete(item: T): void {
    if (item.at < 0) return;
    const last = this.#items.pop();
    const due = this.#dues.pop() ?? 0;
    if (last !== undefined && last !== item) {
      last.at = item.at;
      this.#settle(last, due);
    }
    item.at = -1;
  }

  #settle(item: T, due: number): void {
    let { at } = item;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#time(parent) <= due) break;
      this.#move(parent, at);
      at = parent;
    }
    for (;;) {
      const left = 2 * at + 1;
      const child = this.#time(left + 1) < this.#time(left) ? left + 1 : left;
      if (this.#time(child) >= due) break;
      this.#move(child, at);
      at = child;
    }
    this.#place(item, due, at);
  }

  #time(at: number): number {
    // Reading outside of an array is slow.
    return at >= 0 && at < this.#dues.length ? (this.#dues[at] ?? 0) : Number.POSITIVE_INFINITY;
  }

  #move(from: number, to: number): void {
    const item = this.#items[from];
    if (item !== undefined) this.#place(item, this.#time(from), to);
  }

  #place(item: T, due: number, at: number): void {
    item.at = at;
    this.#items[at] = item;
    this.#dues[at] = due;
  }
}
