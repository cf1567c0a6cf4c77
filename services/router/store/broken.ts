import type { Store } from '#cluster/store.ts';

/** Resolves when the store has failed without a break for `ms`; never while it works. */
export async function brokenFor(store: Store, ms: number): Promise<void> {
  let since = performance.now();
  while (performance.now() - since < ms) {
    await new Promise((wake) => setTimeout(wake, 100).unref());
    if (store.failure === undefined) since = performance.now();
  }
}
