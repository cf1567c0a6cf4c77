import type { TestContext } from 'node:test';

/** The two clocks of a process, moved by the test. Timers run in real time. */
export type Clocks = {
  /** Time passes. */
  tick(ms: number): void;
  /** The wall clock alone is set, as by an administrator or NTP. */
  step(ms: number): void;
};

/** Until the test ends; `frozen`: no time passes by itself. */
export function mockClocks(t: TestContext, { frozen = true } = {}): Clocks {
  const monotonic = performance.now.bind(performance);
  const wall = Date.now;
  const start = { monotonic: Math.round(monotonic()), wall: wall() };
  let passed = 0;
  let stepped = 0;
  t.mock.method(performance, 'now', () => (frozen ? start.monotonic : monotonic()) + passed);
  t.mock.method(Date, 'now', () => (frozen ? start.wall : wall()) + passed + stepped);
  return {
    tick: (ms) => {
      passed += ms;
    },
    step: (ms) => {
      stepped += ms;
    },
  };
}
