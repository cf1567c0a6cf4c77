import type { Calls } from '#services/topology.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';

/** The credential-store of the running node; with a bus, of the nearest node that answers. */
export type CredentialStore = Calls<'operator', 'credential-store'>;

/** `node`: which one answered. `behind`: why it may not know the newest. */
export type KeyList = { node: string; behind?: string; keys: KeyStatus[] };

/** Every key, or every key of a domain, in the order of domain and selector. */
export async function listKeys(store: CredentialStore, domain?: string): Promise<KeyList> {
  const keys: KeyStatus[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await store['key-list']({
      ...(domain !== undefined && { domain }),
      ...(after !== undefined && { after }),
    });
    keys.push(...page.keys);
    after = page.next;
    if (after === undefined)
      return { node: page.node, ...(page.behind !== undefined && { behind: page.behind }), keys };
  }
}

/** How many questions are asked concurrently. */
const CONCURRENT = 16;

/** The answers to all questions, in their order. */
export async function askEach<T, R>(items: readonly T[], ask: (item: T) => Promise<R>): Promise<R[]> {
  const answers = new Array<R>(items.length);
  const queue = items.entries();
  await Promise.all(
    Array.from({ length: Math.min(CONCURRENT, items.length) }, async () => {
      for (const [i, item] of queue) answers[i] = await ask(item);
    }),
  );
  return answers;
}
