import type { VirtualTime } from '#test/kit/simulation/virtual-time.ts';

/**
 * One life of a router, from its start to a crash: what it has asked its timers for, and what it waits for, ends with it.
 */
export class Life {
  readonly #time: VirtualTime;
  #over = false;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  get over(): boolean {
    return this.#over;
  }

  end(): void {
    this.#over = true;
  }

  after(ms: number, run: () => void): () => void {
    return this.#time.after(ms, () => {
      if (!this.#over) run();
    });
  }

  /** Never resolves where the life ends before. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }
}

/** The timers and clocks of this thread, from now on: virtual time, for the life that `current` names when they are asked. */
export function replaceClocks(time: VirtualTime, clock: { wall: number; random: () => number }, current: () => Life) {
  const set =
    (repeat: boolean) =>
    (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) =>
      new Timer(current(), () => run(...args), Math.max(1, ms ?? 1), repeat);
  const clear = (timer: unknown): void => {
    if (timer instanceof Timer) timer.close();
  };
  Object.assign(globalThis, {
    ...{ setTimeout: set(false), setInterval: set(true) },
    ...{ clearTimeout: clear, clearInterval: clear },
  });
  performance.now = () => time.now;
  Date.now = () => Math.floor(clock.wall + time.now);
  Math.random = clock.random;
}

/** What `setTimeout` and `setInterval` return. */
class Timer {
  #cancel: () => void = () => undefined;

  constructor(life: Life, run: () => void, ms: number, repeat: boolean) {
    const ring = (): void => {
      if (repeat) this.#cancel = life.after(ms, ring);
      run();
    };
    this.#cancel = life.after(ms, ring);
  }

  close(): void {
    this.#cancel();
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
