import { setTimeout as delay } from 'node:timers/promises';

export type WaitOptions = {
  /** Milliseconds until the wait fails; 20 s by default, for a busy machine. */
  timeout?: number;
  /** What is waited for, for the error: "the listener's port". */
  what: string;
};

/**
 * Ask again and again until the answer is neither false, null nor undefined; resolves to that answer.
 * A condition that throws is asked again; its last error is the cause of the failure.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { timeout = 20_000, what }: WaitOptions,
): Promise<Exclude<T, false | null | undefined>> {
  const start = performance.now();
  const end = start + timeout;
  let cause: unknown;
  for (;;) {
    const asked = performance.now();
    try {
      const answer = await condition();
      if (answer !== false && answer !== null && answer !== undefined)
        return answer as Exclude<T, false | null | undefined>;
    } catch (error) {
      cause = error;
    }
    const now = performance.now();
    if (now > end) throw new Error(`waited ${timeout} ms in vain for ${what}`, { cause });
    // A condition that runs a command takes half a second of processor time: half of the time is left to what it waits for.
    await delay(start + 50 > now ? 1 : Math.min(Math.max(10, now - asked), 1000));
  }
}
