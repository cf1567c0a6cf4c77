/**
 * A time limit for each of several events, and one for all of them.
 *
 * It is moved far more often than it passes: moving it later costs no timer. The timer fires at the time it was first
 * set for, finds the limit moved, and is set again for what is left.
 */
export class Deadline {
  readonly #onPassed: () => void;
  /** In ms of `performance.now()`, as every time here. */
  #at = Number.POSITIVE_INFINITY;
  #eachMs = 0;
  #last = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #fires = Number.POSITIVE_INFINITY;

  constructor(onPassed: () => void) {
    this.#onPassed = onPassed;
  }

  /** Let the next event take `eachMs`, and all that follow `totalMs`, from now. */
  within(eachMs: number, totalMs: number): void {
    this.#eachMs = eachMs;
    this.#last = performance.now() + totalMs;
    this.#set();
  }

  /** An event came; the next one has its time from now. Without effect after `lift`. */
  next(): void {
    if (this.#at !== Number.POSITIVE_INFINITY) this.#set();
  }

  /** No limit until the next `within`. The timer stays: the next limit is often near. */
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

  #set(): void {
    this.#at = Math.min(performance.now() + this.#eachMs, this.#last);
    if (this.#fires <= this.#at) return;
    clearTimeout(this.#timer);
    this.#arm();
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
