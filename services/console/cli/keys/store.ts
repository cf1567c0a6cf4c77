import { credentialStoreContract, type KeyStatus } from '#services/credential-store/contract.ts';
import type { Calls } from '#services/topology.ts';
import { type Caller, type CommonOptions, openCaller } from '../context.ts';

/** The credential-store of the running node; of the nearest one that answers where there is a bus. */
export type Store = Calls<'operator', 'credential-store'>;

/** Connect, ask, close. Fails with `no-node`, or as `ask` does. */
export async function withStore<T>(
  options: CommonOptions,
  ask: (store: Store, caller: Caller) => Promise<T>,
): Promise<T> {
  await using caller = await openCaller(options);
  return await ask(caller.client(credentialStoreContract), caller);
}

/** `node`: who answered. `behind`: why it may not know the newest. */
export type KeyList = { node: string; behind?: string; keys: KeyStatus[] };

/** Every key, or every key of a domain, in the order of domain and selector. */
export async function listKeys(store: Store, domain?: string): Promise<KeyList> {
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

/** How many questions are asked at once. */
const AT_ONCE = 16;

/** The answers to all questions, in their order. */
export async function askEach<T, R>(items: readonly T[], ask: (item: T) => Promise<R>): Promise<R[]> {
  const answers = new Array<R>(items.length);
  const queue = items.entries();
  await Promise.all(
    Array.from({ length: Math.min(AT_ONCE, items.length) }, async () => {
      for (const [i, item] of queue) answers[i] = await ask(item);
    }),
  );
  return answers;
}
