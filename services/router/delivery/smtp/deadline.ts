/**
 * A time limit that is moved far more often than it passes: moving it later costs no timer. The timer fires at the
 * time it was first set for, finds the limit moved, and is set again for what is left.
 */
export class Deadline {
  readonly #onPassed: () => void;
  #at = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #fires = Number.POSITIVE_INFINITY;

  constructor(onPassed: () => void) {
    this.#onPassed = onPassed;
  }

  /** Let the limit pass at `at`, in ms of `performance.now()`. */
  set(at: number): void {
    this.#at = at;
    if (this.#fires <= at) return;
    clearTimeout(this.#timer);
    this.#arm();
  }

  /** No limit until the next `set`. The timer stays: the next limit is often near. */
  lift(): void {
    this.#at = Number.POSITIVE_INFINITY;
  }

  /** Stop the timer for good. */
  close(): void {
    this.lift();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#fires = Number.POSITIVE_INFINITY;
  }

  #arm(): void {
    this.#fires = this.#at;
    this.#timer = setTimeout(() => this.#fired(), Math.max(0, this.#at - performance.now()) + 1);
    // What waits for the deadline holds a socket, which keeps the process alive on its own.
    this.#timer.unref();
  }

  #fired(): void {
    this.#fires = Number.POSITIVE_INFINITY;
    this.#timer = undefined;
    if (this.#at === Number.POSITIVE_INFINITY) return;
    if (this.#at <= performance.now()) this.#onPassed();
    else this.#arm();
  }
}
