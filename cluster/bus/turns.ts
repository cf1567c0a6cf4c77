/**
 * The order in which a process takes up the requests that NATS brings. NATS brings those of all callers over one
 * connection, as fast as they are sent, so one caller without measure would stand before all others.
 *
 * - free: a request is taken up as it comes. Left when more than `MOST_A_TICK` come in one turn of the event loop.
 * - busy: each caller has a line. In every turn of the event loop, requests are taken up for `SLICE_MS`, one of each line
 *   after the other. Left when no line has anything.
 *
 * A line is full when it holds as much as it may. From then on until it is empty it gives one request in a turn, and what
 * comes to a full line is refused, or dropped where many are refused: the time goes into reading the connection. What is
 * not read waits in the NATS server, that of all callers together, for seconds where a flood comes faster than it is
 * read.
 *
 * Callers are told apart by their inboxes, whose names others do not know but the service that is asked. Those of whom
 * nothing was taken up before share a line: names can be made up without number.
 */

const MOST_A_TICK = 64;
const SLICE_MS = 4;
/** An answer costs as much as reading a few requests. */
const MOST_REFUSED_A_TICK = 16;
const MOST_OF_ONE = 1000;
/** Bytes of the requests in one line, and in all. */
const MOST_BYTES_OF_ONE = 64 * 1024 * 1024;
const MOST_BYTES = 128 * 1024 * 1024;
/** Callers that have a line of their own, and how long they keep it after their last request, in milliseconds. */
const MOST_KNOWN = 256;
const KNOWN_MS = 600_000;
const SWEEP_MS = 1000;

type Request = { caller: string; bytes: number; take: () => void };
type Line = { requests: Request[]; next: number; bytes: number; overflowed: boolean };

const STRANGERS = '';

export class Turns {
  readonly #lines = new Map<string, Line>();
  /** By caller: when its last request came, by `performance.now`. */
  readonly #known = new Map<string, number>();
  #bytes = 0;
  #inTick = 0;
  #refusedInTick = 0;
  #tick: NodeJS.Immediate | undefined;
  #sweptAt = 0;

  /**
   * Call `take` now or when it is the caller's turn. Where its line is full, `take` will not be called, and the request
   * is to be refused, or to be dropped without an answer.
   */
  add(request: Request): 'waits' | 'refused' | 'dropped' {
    this.#tick ??= setImmediate(() => this.#nextTick());
    if (this.#lines.size === 0 && this.#inTick < MOST_A_TICK) {
      this.#inTick++;
      this.#take(request);
      return 'waits';
    }
    const name = this.#known.has(request.caller) ? request.caller : STRANGERS;
    const line = this.#lines.get(name) ?? { requests: [], next: 0, bytes: 0, overflowed: false };
    const { bytes } = request;
    const full = line.requests.length - line.next >= MOST_OF_ONE || line.bytes + bytes > MOST_BYTES_OF_ONE;
    if (full) line.overflowed = true;
    if (full || this.#bytes + bytes > MOST_BYTES) return this.#refused();
    line.requests.push(request);
    line.bytes += bytes;
    this.#bytes += bytes;
    this.#lines.set(name, line);
    return 'waits';
  }

  /** Count a request that has no turn to wait for. */
  refuse(): 'refused' | 'dropped' {
    this.#tick ??= setImmediate(() => this.#nextTick());
    return this.#refused();
  }

  #refused(): 'refused' | 'dropped' {
    return ++this.#refusedInTick > MOST_REFUSED_A_TICK ? 'dropped' : 'refused';
  }

  #nextTick(): void {
    this.#tick = undefined;
    this.#inTick = 0;
    this.#refusedInTick = 0;
    const end = performance.now() + SLICE_MS;
    for (const [name, line] of this.#lines) if (line.overflowed) this.#takeFirst(name, line);
    let waiting = true;
    while (waiting && performance.now() < end) {
      waiting = false;
      for (const [name, line] of this.#lines) {
        if (line.overflowed) continue;
        this.#takeFirst(name, line);
        waiting = true;
      }
    }
    if (this.#lines.size > 0) this.#tick = setImmediate(() => this.#nextTick());
  }

  #takeFirst(name: string, line: Line): void {
    const request = line.requests[line.next++];
    if (line.next === line.requests.length) this.#lines.delete(name);
    else if (line.next === MOST_OF_ONE) {
      line.requests.splice(0, line.next);
      line.next = 0;
    }
    if (request === undefined) return;
    line.bytes -= request.bytes;
    this.#bytes -= request.bytes;
    this.#take(request);
  }

  #take({ caller, take }: Request): void {
    const now = performance.now();
    if (this.#known.has(caller) || this.#hasRoom(now)) this.#known.set(caller, now);
    take();
  }

  /** Whether one more caller may have a line of its own. */
  #hasRoom(now: number): boolean {
    if (this.#known.size < MOST_KNOWN) return true;
    if (now - this.#sweptAt < SWEEP_MS) return false;
    this.#sweptAt = now;
    for (const [caller, at] of this.#known) if (now - at > KNOWN_MS) this.#known.delete(caller);
    return this.#known.size < MOST_KNOWN;
  }
}
