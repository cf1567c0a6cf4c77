import { seededRandom } from '#test/kit/random.ts';

/** Decisions of one run; the same seed decides the same. */
export class Chance {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** True in this share of cases. */
  is(share: number): boolean {
    return this.#random() < share;
  }

  between(low: number, high: number): number {
    return low + this.#random() * (high - low);
  }

  /** A whole number from 0 to below `count`. */
  below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  of<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error('nothing to choose from');
    return list[this.below(list.length)] as T;
  }

  /** Mostly short, sometimes long. */
  delay(short: number, long: number): number {
    return this.is(0.92) ? this.between(short / 10, short) : this.between(short, long);
  }
}
