import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';

/**
 * Runs a few expensive pieces of work concurrently, and lets the rest wait so that nobody's crowd holds up another's work.
 *
 * There are two lines, for those who are known and for strangers, which take turns while both have somebody waiting. Within
 * a line networks take turns, each with the work that came first. In a line a network may have `MOST_OF_ONE` waiting, all
 * together `mostWaiting`: strangers from many networks leave the room of those who are known. More is refused, and so is
 * what has waited for `MOST_WAIT_MS`, because its caller has given up.
 *
 * A piece of work is: refused (rejects with `busy`); or waiting → running → settled.
 */

const MOST_OF_ONE = 100;
const MOST_WAIT_MS = 8000;

/** Whose work it is. `known`: it was right before. */
export type Comer = { network: string; known: boolean };
type Waiting = { since: number; begin: () => void; refuse: () => void };

export class FairQueue {
  readonly #mostRunning: number;
  readonly #mostWaiting: number;
  readonly #now: () => number;
  readonly #known = new Line();
  readonly #strangers = new Line();
  #turn: 'known' | 'strangers' = 'known';
  #running = 0;

  constructor(mostRunning: number, mostWaiting: number, now: () => number = () => performance.now()) {
    this.#mostRunning = mostRunning;
    this.#mostWaiting = mostWaiting;
    this.#now = now;
  }

  async run<T>({ network, known }: Comer, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#mostRunning) this.#running++;
    // Work that finishes hands its place over, so #running stays as it is.
    else await this.#turnOf(known ? this.#known : this.#strangers, network);
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  #turnOf(line: Line, network: string): Promise<void> {
    if (line.size >= this.#mostWaiting || line.of(network) >= MOST_OF_ONE) {
      throw busy();
    }
    return new Promise((resolve, reject) => {
      line.push(network, { since: this.#now(), begin: resolve, refuse: () => reject(busy()) });
    });
  }

  #next(): void {
    for (;;) {
      const next = this.#shift();
      if (next === undefined) {
        this.#running--;
        return;
      }
      if (this.#now() - next.since < MOST_WAIT_MS) {
        next.begin();
        return;
      }
      next.refuse();
    }
  }

  #shift(): Waiting | undefined {
    const [line, other] = this.#turn === 'known' ? [this.#known, this.#strangers] : [this.#strangers, this.#known];
    this.#turn = this.#turn === 'known' ? 'strangers' : 'known';
    return line.shift() ?? other.shift();
  }
}

/** What waits, by network; the network whose turn comes next stands first. */
class Line {
  readonly #networks = new Map<string, Waiting[]>();
  size = 0;

  of(network: string): number {
    return this.#networks.get(network)?.length ?? 0;
  }

  push(network: string, waiting: Waiting): void {
    const others = this.#networks.get(network);
    if (others === undefined) this.#networks.set(network, [waiting]);
    else others.push(waiting);
    this.size++;
  }

  shift(): Waiting | undefined {
    for (const [network, [first, ...others]] of this.#networks) {
      this.#networks.delete(network);
      if (others.length > 0) this.#networks.set(network, others);
      this.size--;
      return first;
    }
    return undefined;
  }
}

function busy(): SealpostError {
  return new SealpostError(CALL_ERRORS.busy, 'too many passwords wait to be checked');
}
