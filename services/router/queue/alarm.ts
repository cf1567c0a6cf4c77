/** The longest delay that setTimeout accepts. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** One timer for the earliest of many times: a later one than is set already changes nothing. */
export class Alarm {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;
  #due = Number.POSITIVE_INFINITY;

  /** `ring` is called when the time has come, or earlier where a timer cannot wait so long. */
  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Ring at `due` at the latest; both are times of the monotonic clock. */
  set(due: number, now: number): void {
    if (this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(
      () => {
        this.#due = Number.POSITIVE_INFINITY;
        this.#ring();
      },
      Math.min(Math.max(due - now, 0), LONGEST_TIMER_MS),
    );
  }

  /** Do not ring any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#due = Number.POSITIVE_INFINITY;
  }
}
