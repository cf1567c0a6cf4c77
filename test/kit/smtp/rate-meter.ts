/** Notes when things happen, and tells how many a second there were in every window of a time. */
export class RateMeter {
  readonly #times: number[] = [];

  note(): void {
    this.#times.push(performance.now());
  }

  get count(): number {
    return this.#times.length;
  }

  /**
   * The least, the most and the mean of what a second brought, over windows of `length` ms that slide from `from` to
   * `to`.
   */
  between(from: number, to: number, length: number): { least: number; most: number; mean: number } {
    let least = Number.POSITIVE_INFINITY;
    let most = 0;
    for (let end = from + length; end <= to; end += 50) {
      const rate = (this.#within(end - length, end) * 1000) / length;
      least = Math.min(least, rate);
      most = Math.max(most, rate);
    }
    return { least, most, mean: (this.#within(from, to) * 1000) / (to - from) };
  }

  #within(from: number, to: number): number {
    let count = 0;
    for (let i = this.#times.length - 1; i >= 0; i--) {
      const at = this.#times[i] ?? 0;
      if (at <= from) break;
      if (at <= to) count++;
    }
    return count;
  }
}
