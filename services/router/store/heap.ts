/** An item knows its place (-1 when it is in no heap), so that it can be taken out or moved from anywhere. */
export type HeapItem = { at: number };

/**
 * A binary heap: the item with the smallest time first. Every operation is O(log n), `peek` O(1). The times are in an array
 * of their own: there each takes eight bytes, and the next ones to compare are beside each other.
 *
 * An array that grows leaves its old, shorter self to V8, which keeps it for minutes: so the items are in blocks, of which
 * none is copied, and the memory of the times is freed when they move.
 */
export class Heap<T extends HeapItem> {
  readonly #blocks: T[][] = [];
  #dues = new Float64Array(BLOCK);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  peek(): T | undefined {
    return this.#item(0);
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
      item.at = this.#size++;
      if (item.at >> BITS === this.#blocks.length) this.#blocks.push([]);
      if (this.#size > this.#dues.length) this.#resize(2 * this.#dues.length);
    }
    this.#settle(item, due);
  }

  /** Take an item out; nothing happens when it is not in. */
  delete(item: T): void {
    if (item.at < 0) return;
    const due = this.#time(this.#size - 1);
    const last = this.#pop();
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

  #pop(): T | undefined {
    const last = this.#blocks[--this.#size >> BITS]?.pop();
    if (this.#size < this.#dues.length / 4 && this.#dues.length > BLOCK) this.#resize(this.#dues.length / 2);
    return last;
  }

  #resize(length: number): void {
    this.#dues = new Float64Array(this.#dues.buffer.transfer(length * Float64Array.BYTES_PER_ELEMENT));
    this.#blocks.length = Math.min(this.#blocks.length, length >> BITS);
  }

  #item(at: number): T | undefined {
    return this.#blocks[at >> BITS]?.[at & PLACE];
  }

  #time(at: number): number {
    // Reading outside of an array is slow.
    return at >= 0 && at < this.#size ? (this.#dues[at] ?? 0) : Number.POSITIVE_INFINITY;
  }

  #move(from: number, to: number): void {
    const item = this.#item(from);
    if (item !== undefined) this.#place(item, this.#time(from), to);
  }

  #place(item: T, due: number, at: number): void {
    item.at = at;
    const block = this.#blocks[at >> BITS];
    if (block !== undefined) block[at & PLACE] = item;
    this.#dues[at] = due;
  }
}

/** Where an item is: the number of its block, and BITS bits for its place there. */
const BITS = 12;
const BLOCK = 1 << BITS;
const PLACE = BLOCK - 1;
