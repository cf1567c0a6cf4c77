/** An item knows its place (`at`, -1 when it is in no heap), so that it can be taken out or moved from anywhere. */
export type HeapItem = { due: number; at: number };

/** A binary heap: the item with the smallest `due` first. Every operation is O(log n), `peek` O(1). */
export class Heap<T extends HeapItem> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** Put an item in, or move the one that is in, to where its `due` belongs. */
  set(item: T, due: number): void {
    item.due = due;
    if (item.at < 0) {
      item.at = this.#items.length;
      this.#items.push(item);
    }
    this.#settle(item);
  }

  /** Take an item out; nothing happens when it is not in. */
  delete(item: T): void {
    if (item.at < 0) return;
    const last = this.#items.pop();
    if (last !== undefined && last !== item) {
      last.at = item.at;
      this.#items[last.at] = last;
      this.#settle(last);
    }
    item.at = -1;
  }

  #settle(item: T): void {
    let at = item.at;
    while (at > 0) {
      const parent = this.#items[(at - 1) >> 1];
      if (parent === undefined || parent.due <= item.due) break;
      this.#place(parent, at);
      at = (at - 1) >> 1;
    }
    for (;;) {
      const left = this.#items[2 * at + 1];
      const right = this.#items[2 * at + 2];
      const child = right !== undefined && left !== undefined && right.due < left.due ? right : left;
      if (child === undefined || child.due >= item.due) break;
      const next = child.at;
      this.#place(child, at);
      at = next;
    }
    this.#place(item, at);
  }

  #place(item: T, at: number): void {
    item.at = at;
    this.#items[at] = item;
  }
}
