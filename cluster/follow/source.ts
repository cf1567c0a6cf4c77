import { describeNeks, type Nek } from '#shared/dkim/nek.ts';
import type { NekMac, Verdict } from '#shared/dkim/nek-mac.ts';
import { SealpostError } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import type { NekOption } from '../config/nek.ts';
import { Heard } from '../members/heard.ts';

/**
 * Where a service that holds a copy of what the credential-stores have gets it: from the store of this node; when that does
 * not answer, from any; and when the answer is older than what is held or than what another live node has, from the stores
 * that have newer, newest first. Signers get their keys this way, policy the directory.
 *
 * From a store that was asked before only what changed since then is fetched (`since`). Records may change between the
 * pages of an answer: then what changed since its first page is fetched on top, until nothing changed meanwhile.
 *
 * The revision says which answer is newer: it is the same on every node that has seen the same changes and never goes
 * down. A store that answers less than what is held has lost changes, or has not read them yet: its answer is never
 * adopted.
 *
 * An answer is used when it proves to come from a process with the NEK, to this question (shared/dkim/list-proof.ts): so
 * nobody else can add a record, or bring back one that was revoked. Stores of the version before prove nothing. They are
 * believed where there are only such: when this process has heard stores for a while, and none that proves. Somebody
 * without the NEK can pretend to be one of them, but cannot keep the others from being heard.
 *
 * Which stores are live is known from what they announce. One that is silent is not asked for what it said it had; so
 * silence delays newer records at most, it never takes away those that are held.
 */

/** Everything that one store gave. */
export type Read<Item> = {
  readonly items: ReadonlyMap<string, readonly Item[]>;
  /**
   * The groups in which it may differ from what `adopted` was told last; undefined: in all of them.
   */
  readonly touched: ReadonlySet<string> | undefined;
};

export type Fetched<Item> = {
  /** The node whose store answered. */
  node: string;
  revision: number;
  /** Why this may not be the newest. */
  behind: string | undefined;
  read: Read<Item>;
};

/** A part of an answer. `next`, `changed`, `cursor` and `macs` are as in the operation `signing-key-list`. */
export type SourcePage<Item> = {
  node: string;
  revision: number;
  behind?: string | undefined;
  next?: string | undefined;
  changed?: readonly string[] | undefined;
  cursor?: string | undefined;
  macs?: readonly NekMac[] | undefined;
  items: readonly Item[];
};

export type SourceRequest = { since?: string; after?: string; nonce: string };

export type SourceDeps<Item> = {
  ask: (request: SourceRequest, options: { timeout: number; node?: string }) => Promise<SourcePage<Item>>;
  /** The group that an item belongs to: what changes as one. */
  groupOf: (item: Item) => string;
  judge: (neks: readonly Nek[], question: SourceRequest, page: SourcePage<Item>, macs: readonly NekMac[]) => Verdict;
  /** What the items are, in the plural, which service holds them, and the option with its NEKs, for people. */
  words: { items: string; holder: string; neks?: NekOption };
  node: string;
  /** There is no bus, hence no other store. */
  alone: boolean;
  /** The NEKs of the configuration; none where they cannot be read, and nothing can be unwrapped or checked. */
  neks: () => Promise<readonly Nek[]>;
};

/** How long a store may take for one page, in milliseconds. */
const PAGE_TIMEOUT_MS = 5000;
/** How often a fetch starts over because something changed between its pages. */
const FETCH_TRIES = 5;
/** A store that was silent for longer may be gone, and what it knew with it; in milliseconds. */
const LIVE_MS = 5000;
/** How long stores are heard, each of which announces itself every second, before it is known that none of them proves. */
const LISTEN_MS = 3000;

/** As a store gave it, and the cursor that it gave with it. Changed in place: it may be large, and a change is small. */
type KeptRead<Item> = { cursor: string | undefined; items: Map<string, Item[]>; touched: Set<string> | undefined };

export class StoreSource<Item> {
  readonly #deps: SourceDeps<Item>;
  /** The revision of each store. */
  readonly #heard = new Heard<number>({ liveMs: LIVE_MS });
  /** What this node's store gave, what the last other one gave, and which of the two was the last. */
  readonly #reads = new Map<string, KeptRead<Item>>();
  #last: KeptRead<Item> = { cursor: undefined, items: new Map(), touched: undefined };
  /** A store has proven an answer, or said that it does. */
  #proving = false;
  /** When the first store announced itself, by `performance.now`. */
  #firstPresent = Number.POSITIVE_INFINITY;

  constructor(deps: SourceDeps<Item>) {
    this.#deps = deps;
  }

  /** Name of this node. */
  get own(): string {
    return this.#deps.node;
  }

  /** A store said which revision it has. Answers whether that is news. */
  hear(node: string, revision: number): boolean {
    const before = this.#heard.get(node)?.said;
    const came = this.#heard.hear(node, revision);
    return came || before !== revision;
  }

  /** A store announced itself; `seals`: its answers are proven. */
  present({ seals }: { seals?: boolean | undefined }): void {
    this.#firstPresent = Math.min(this.#firstPresent, performance.now());
    if (seals === true) this.#proving = true;
  }

  /** Whether this node's store is live, and will soon have what the store of another node says it has. */
  mayWaitForOwn(node: string): boolean {
    return node !== this.own && this.#heard.get(this.own)?.live === true;
  }

  /** The newest revision that a live store said it has; 0 where none is live. */
  get newest(): number {
    return Math.max(0, ...this.#heard.live().map(({ said }) => said));
  }

  /**
   * The newest that can be had; `held` is the revision of what is at hand. Fails with `store-went-back` when every
   * store that answers has older, and where none answers with the error of the last one.
   */
  async fetch(held: number): Promise<Fetched<Item>> {
    const { own } = this;
    let best = await this.#fetchAny();
    const asked = new Set([own, best.node]);
    for (const { key: node, said: revision } of this.#heard.live().sort((a, b) => b.said - a.said)) {
      if (best.revision >= Math.max(held, this.newest)) break;
      if (asked.has(node) || revision <= best.revision) continue;
      const other = await this.#fetchFrom(node).catch(() => undefined);
      if (other !== undefined && other.revision > best.revision) best = other;
    }
    if (best.revision < held) throw this.#wentBack(best, held);
    return best;
  }

  /** What was fetched is in use now. */
  adopted({ read }: Fetched<Item>): void {
    for (const kept of [...this.#reads.values(), this.#last]) kept.touched = kept === read ? new Set() : undefined;
  }

  /** From this node's store, else any, else those that are live, one after the other. */
  async #fetchAny(): Promise<Fetched<Item>> {
    const { own } = this;
    const others = this.#heard.live().flatMap(({ key }) => (key === own ? [] : [key]));
    let failure: unknown;
    for (const node of this.#deps.alone ? [own] : [own, undefined, ...others]) {
      try {
        return await this.#fetchFrom(node);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Everything that one store has; what did not change since the last time is not asked again. */
  async #fetchFrom(node: string | undefined): Promise<Fetched<Item>> {
    let from = node;
    for (let attempt = 0; attempt < FETCH_TRIES; attempt++) {
      const { node: answering, revision, behind, whole } = await this.#fetchPages(from);
      if (whole) return { node: answering, revision, behind, read: this.#last };
      from = answering;
    }
    throw new SealpostError('busy', `the ${this.#deps.words.items} change faster than they can be read`);
  }

  /** Read on from where the last reading ended. `whole`: nothing changed between the pages. */
  async #fetchPages(from: string | undefined): Promise<Omit<Fetched<Item>, 'read'> & { whole: boolean }> {
    const { groupOf } = this.#deps;
    const base = from === undefined ? this.#last : this.#reads.get(from);
    const since = base?.cursor;
    const options = (node: string | undefined) => ({ timeout: PAGE_TIMEOUT_MS, ...(node !== undefined && { node }) });
    const more = since === undefined ? {} : { since };
    const neks = await this.#deps.neks();
    let page = await this.#fetchPage(more, options(from), neks);
    const { node, revision, behind, cursor } = page;
    const changed = page.changed && new Set(page.changed);
    const items = new Map<string, Item[]>();
    let whole = true;
    for (;;) {
      for (const item of page.items) {
        const group = groupOf(item);
        // What changed after the first page is fetched whole when that is asked for.
        if (changed?.has(group) === false) continue;
        const members = items.get(group);
        if (members === undefined) items.set(group, [item]);
        else members.push(item);
      }
      if (page.next === undefined) break;
      page = await this.#fetchPage({ ...more, after: page.next }, options(node), neks);
      if (page.revision !== revision) whole = false;
      // It was restarted: asked for changes, it answers with everything.
      if ((page.changed === undefined) !== (changed === undefined)) return { node, revision, behind, whole: false };
    }
    if (whole || cursor !== undefined) this.#remember(node, merged(base, { cursor, changed, items }));
    return { node, revision, behind, whole };
  }

  /** One answer. Fails with `nek-mismatch` when it should be proven and is not. */
  async #fetchPage(
    request: { since?: string; after?: string },
    options: { timeout: number; node?: string },
    neks: readonly Nek[],
  ): Promise<SourcePage<Item>> {
    const question = { ...request, nonce: newId() };
    const page = await this.#deps.ask(question, options);
    const { node, macs } = page;
    if (neks.length === 0 || (macs === undefined && this.#nobodyProves)) return page;
    const verdict = this.#deps.judge(neks, question, page, macs ?? []);
    if (verdict === 'authentic') this.#proving = true;
    else throw this.#unproven(node, verdict === 'unknown' ? macs : undefined, neks);
    return page;
  }

  /** All stores are of the version before; a store of this process needs no proof before the first. */
  get #nobodyProves(): boolean {
    return !this.#proving && (this.#deps.alone || performance.now() - this.#firstPresent >= LISTEN_MS);
  }

  /** Each read is as large as all that there is: only those of this node's store and of one other are kept. */
  #remember(node: string, read: KeptRead<Item>): void {
    if (node !== this.own) for (const name of this.#reads.keys()) if (name !== this.own) this.#reads.delete(name);
    this.#reads.set(node, read);
    this.#last = read;
  }

  #unproven(node: string, macs: readonly NekMac[] | undefined, neks: readonly Nek[]): SealpostError {
    const { items, neks: option = 'credentials.nek' } = this.#deps.words;
    const why =
      macs === undefined
        ? 'did not prove that it has the NEK: it is of an older version, or an impostor'
        : `has NEK ${macs.map(({ nek }) => nek).join(', ')}, but configured (${option}) is ${describeNeks(neks)}`;
    return new SealpostError('nek-mismatch', `the credential-store of node ${node} ${why}; its ${items} are not used`);
  }

  #wentBack(best: Fetched<Item>, held: number): SealpostError {
    const { items, holder } = this.#deps.words;
    const count = allItems(best.read).length;
    const went = `node ${best.node} has revision ${best.revision} instead of ${held}, ${count} ${items}`;
    return new SealpostError(
      'store-went-back',
      `the credential-store lost changes (${went}): restore its data, or restart ${holder} to use what it has`,
    );
  }
}

/** What was held and what changed since, or all there is where `changed` is undefined. */
function merged<Item>(
  base: KeptRead<Item> | undefined,
  {
    cursor,
    changed,
    items,
  }: { cursor: string | undefined; changed: Set<string> | undefined; items: Map<string, Item[]> },
): KeptRead<Item> {
  if (changed === undefined || base === undefined) return { cursor, items, touched: undefined };
  for (const group of changed) {
    const now = items.get(group);
    if (now === undefined) base.items.delete(group);
    else base.items.set(group, now);
    base.touched?.add(group);
  }
  base.cursor = cursor;
  return base;
}

export const allItems = <Item>({ items }: Read<Item>): Item[] => [...items.values()].flat();

/** Why what was fetched is not the newest, where `newest` was known before; undefined when it is. */
export function lagOf(fetched: Fetched<unknown>, newest: number): string | undefined {
  const { node, revision, behind } = fetched;
  if (behind !== undefined) return `the credential-store of node ${node}: ${behind}`;
  return revision >= newest ? undefined : `node ${node} answered revision ${revision}, another node has ${newest}`;
}
