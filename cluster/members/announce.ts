/**
 * The loop by which a process tells the others what holds now: every second, because a message may get lost and only a
 * recent one proves life, and immediately when something changed. What is announced, and what follows from it, is up to
 * the user of the loop.
 *
 *   created → (`start`: the first announcement) running → (`stop`: the last one, where there is one) stopped
 *
 * A change can be announced before `start`; after `stop` nothing is.
 */

/** How often a process announces what holds, in milliseconds. */
export const ANNOUNCE_MS = 1000;

export class AnnounceLoop {
  readonly #say: () => void;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #stopped = false;

  /** `say` announces what holds now. */
  constructor(say: () => void) {
    this.#say = say;
  }

  /** `everySecond` is what is done each second, where that is more than `now`, which it calls. */
  start(everySecond: () => void = () => this.now()): void {
    this.#timer = setInterval(everySecond, ANNOUNCE_MS);
    everySecond();
  }

  /** Something changed: announce it now. */
  now(): void {
    if (this.#stopped) return;
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#say();
  }

  /** Something changed: announce it within `ms`, together with what else changes until then. */
  within(ms: number): void {
    this.#soon ??= setTimeout(() => this.now(), ms).unref();
  }

  /** `goodbye` announces, instead of `say`, that this is the end. */
  stop(goodbye?: () => void): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    goodbye?.();
  }
}
