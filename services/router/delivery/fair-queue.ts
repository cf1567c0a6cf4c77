/**
 * What waits for its turn, taken from one sender after the other, in the order of its arrival from each. This is FQ-CoDel
 * (RFC 8290 §4) without what is about dropping.
 *
 * A sender with something waiting is
 *   fresh   nothing of it waited a moment ago: it comes first, after at most one of the others. So a single message, and
 *           each notice to a reader of its own, passes mail in bulk, whatever its sender calls it. → waiting
 *   waiting one of its items was taken: it comes again when all others have had their turn. When nothing of it is left
 *           then, it is forgotten.
 *
 * Fresh and waiting ones alternate: a flood that names another sender with each message takes half of the turns at most.
 */
export class FairQueue<T> {
  readonly #flows = new Map<number, Flow<T>>();
  readonly #fresh = new Fifo<Flow<T>>();
  readonly #waiting = new Fifo<Flow<T>>();
  #lastWasFresh = false;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Something waits of a sender of which nothing did a moment ago. */
  get hasFresh(): boolean {
    return this.#fresh.length > 0;
  }

  push(item: T, sender: number): void {
    let flow = this.#flows.get(sender);
    if (flow === undefined) {
      flow = { sender, items: new Fifo() };
      this.#flows.set(sender, flow);
      this.#fresh.push(flow);
    }
    flow.items.push(item);
    this.#length++;
  }

  shift(): T | undefined {
    while (this.#length > 0) {
      const fresh = this.#fresh.length > 0 && (!this.#lastWasFresh || this.#waiting.length === 0);
      const flow = (fresh ? this.#fresh : this.#waiting).shift();
      if (flow === undefined) break;
      const item = flow.items.shift();
      if (item === undefined) {
        this.#flows.delete(flow.sender);
        continue;
      }
      this.#lastWasFresh = fresh;
      this.#waiting.push(flow);
      this.#length--;
      return item;
    }
    return undefined;
  }
}

type Flow<T> = { readonly sender: number; readonly items: Fifo<T> };

/** A queue whose first element is taken in constant time, however long it is. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head++] = undefined;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/** The same items, which are taken out, one sender after the other. */
export function inTurns<T>(items: Fifo<T>, senderOf: (item: T) => number): Fifo<T> {
  const queue = new FairQueue<T>();
  for (let item = items.shift(); item !== undefined; item = items.shift()) queue.push(item, senderOf(item));
  const ordered = new Fifo<T>();
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) ordered.push(item);
  return ordered;
}
