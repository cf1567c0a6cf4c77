import type { SigningKey } from '#services/credential-store/contract.ts';
import type { Calls } from '#services/topology.ts';
import { SealpostError } from '#shared/errors.ts';

/**
 * Where signing keys come from: the credential-store of the own node; when it does not answer, any; and when what was
 * answered is older than what is held or than what another live node has, those that have newer ones, newest first.
 *
 * Of a store that was asked before only what changed since then is fetched (`since`). Keys may change between the pages
 * of an answer: then what changed since its first page is fetched on top, until nothing changed meanwhile.
 *
 * The revision says which answer is newer: it is the same on every node that has seen the same changes and never goes
 * down. Who answers less than what is held has lost changes, or has not read them yet: its answer is never adopted.
 */

/** All keys that a store says a signer must hold. */
export type Fetched = {
  /** Whose store answered. */
  node: string;
  revision: number;
  /** Why they may not be the newest. */
  behind: string | undefined;
  keys: SigningKey[];
};

/** How long a store may take for one page, in milliseconds. */
const PAGE_TIMEOUT = 5000;
/** How often a fetch begins anew because keys changed between its pages. */
const FETCH_TRIES = 5;
/** A store that has not been heard for so long may be gone, and what it knew with it; in milliseconds. */
const LIVE_MS = 5000;

/** The keys of each domain as a store gave them, and the cursor that it gave with them. */
type Read = { cursor: string | undefined; keys: Map<string, SigningKey[]> };

export type KeySourceOptions = {
  credentials: Calls<'signer', 'credential-store'>;
  node: string;
  /** There is no bus, hence no other store. */
  alone: boolean;
};

export class KeySource {
  readonly #options: KeySourceOptions;
  readonly #heard = new Map<string, { revision: number; at: number }>();
  /** What the own node's store gave, what the last other one gave, and which of the two was the last. */
  readonly #reads = new Map<string, Read>();
  #last: Read = { cursor: undefined, keys: new Map() };

  constructor(options: KeySourceOptions) {
    this.#options = options;
  }

  /** Name of the own node. */
  get own(): string {
    return this.#options.node;
  }

  /** A store said which revision it has. Answers whether that is news. */
  hear(node: string, revision: number): boolean {
    const before = this.#heard.get(node);
    const at = performance.now();
    this.#heard.set(node, { revision, at });
    return before === undefined || before.revision !== revision || at - before.at > LIVE_MS;
  }

  /** Whether the own node's store is there, and will soon have what the store of another node says it has. */
  mayWaitForOwn(node: string): boolean {
    return node !== this.own && this.#live().some(([name]) => name === this.own);
  }

  /** The newest revision that a live store said it has; 0 where none is heard. */
  get newest(): number {
    return Math.max(0, ...this.#live().map(([, revision]) => revision));
  }

  /**
   * The newest keys that can be had; `held` is the revision of those at hand. Fails with `store-went-back` when every
   * store that answers has older ones, and where none answers with what the last one failed with.
   */
  async fetch(held: number): Promise<Fetched> {
    const { own } = this;
    let best = await this.#fetchFrom(own).catch((error: unknown) => {
      if (this.#options.alone) throw error;
      return this.#fetchFrom(undefined);
    });
    const asked = new Set([own, best.node]);
    for (const [node, revision] of this.#live()) {
      if (best.revision >= Math.max(held, this.newest)) break;
      if (asked.has(node) || revision <= best.revision) continue;
      const other = await this.#fetchFrom(node).catch(() => undefined);
      if (other !== undefined && other.revision > best.revision) best = other;
    }
    if (best.revision < held) throw wentBack(best, held);
    return best;
  }

  /** Live stores, those with the newest changes first. */
  #live(): [node: string, revision: number][] {
    const now = performance.now();
    return [...this.#heard]
      .filter(([, { at }]) => now - at <= LIVE_MS)
      .map(([node, { revision }]): [string, number] => [node, revision])
      .sort((a, b) => b[1] - a[1]);
  }

  /** Everything that one store has, those changed since the last time. */
  async #fetchFrom(node: string | undefined): Promise<Fetched> {
    let from = node;
    for (let attempt = 0; attempt < FETCH_TRIES; attempt++) {
      const { node: answering, revision, behind, whole } = await this.#fetchPages(from);
      if (whole) return { node: answering, revision, behind, keys: [...this.#last.keys.values()].flat() };
      from = answering;
    }
    throw new SealpostError('busy', 'the keys change faster than they can be read');
  }

  /** Read on from where the last reading came to. `whole`: nothing changed between the pages. */
  async #fetchPages(from: string | undefined): Promise<Omit<Fetched, 'keys'> & { whole: boolean }> {
    const base = from === undefined ? this.#last : this.#reads.get(from);
    const since = base?.cursor;
    const options = (node: string | undefined) => ({ timeout: PAGE_TIMEOUT, ...(node !== undefined && { node }) });
    const more = since === undefined ? {} : { since };
    let page = await this.#options.credentials['signing-key-list'](more, options(from));
    const { node, revision, behind, cursor } = page;
    const changed = page.changed && new Set(page.changed);
    const keys = new Map(changed === undefined ? [] : base?.keys);
    for (const domain of changed ?? []) keys.delete(domain);
    let whole = true;
    for (;;) {
      for (const key of page.keys) {
        // What changed after the first page is fetched whole when that is asked for.
        if (changed?.has(key.domain) !== false) keys.set(key.domain, [...(keys.get(key.domain) ?? []), key]);
      }
      if (page.next === undefined) break;
      page = await this.#options.credentials['signing-key-list']({ ...more, after: page.next }, options(node));
      if (page.revision !== revision) whole = false;
      // It was started anew, and asked for changes it answers all.
      if ((page.changed === undefined) !== (changed === undefined)) return { node, revision, behind, whole: false };
    }
    if (whole || cursor !== undefined) this.#remember(node, { cursor, keys });
    return { node, revision, behind, whole };
  }

  /** Each read is as large as all keys: only of the own store and of one other. */
  #remember(node: string, read: Read): void {
    if (node !== this.own) for (const name of this.#reads.keys()) if (name !== this.own) this.#reads.delete(name);
    this.#reads.set(node, read);
    this.#last = read;
  }
}

function wentBack(best: Fetched, held: number): SealpostError {
  const went = `node ${best.node} has revision ${best.revision} instead of ${held}, ${best.keys.length} keys`;
  return new SealpostError(
    'store-went-back',
    `the credential-store lost changes (${went}): restore its data, or restart the signer to use what it has`,
  );
}

/** Why what was fetched is not the newest, where `newest` was known before; undefined when it is. */
export function lagOf(fetched: Fetched, newest: number): string | undefined {
  const { node, revision, behind } = fetched;
  if (behind !== undefined) return `the credential-store of node ${node}: ${behind}`;
  return revision >= newest ? undefined : `node ${node} answered revision ${revision}, another node has ${newest}`;
}
