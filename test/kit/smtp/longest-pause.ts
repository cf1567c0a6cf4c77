import { setTimeout as delay } from 'node:timers/promises';

/** The longest time without a 250 that a load (or several together) sees until `end` has settled, in milliseconds. */
export async function longestPause(
  load: { readonly accepted: { readonly size: number } },
  end: Promise<unknown>,
): Promise<number> {
  let ended = false;
  const stop = (): void => {
    ended = true;
  };
  end.then(stop, stop);
  let [last, seen, longest] = [performance.now(), load.accepted.size, 0];
  while (!ended) {
    await delay(50);
    const now = performance.now();
    longest = Math.max(longest, now - last);
    if (load.accepted.size === seen) continue;
    seen = load.accepted.size;
    last = now;
  }
  return longest;
}
