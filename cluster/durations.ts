/** Durations that are counted often: in buckets, by plain numbers. */
export class Durations {
  /** Upper ends of the buckets, in the unit of what is counted; one more bucket has all that are longer. */
  readonly ends: readonly number[];
  /** How many there were, each in the first bucket that it fits. */
  readonly buckets: number[];
  total = 0;

  constructor(ends: readonly number[]) {
    this.ends = ends;
    this.buckets = new Array(ends.length + 1).fill(0);
  }

  took(duration: number): void {
    let bucket = 0;
    while (bucket < this.ends.length && duration > (this.ends[bucket] ?? 0)) bucket++;
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1;
    this.total += duration;
  }
}
