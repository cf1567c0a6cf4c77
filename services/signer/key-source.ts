import { Heard } from '#cluster/members/heard.ts';
import type { SigningKey } from '#services/credential-store/contract.ts';
import type { Calls } from '#services/topology.ts';
import { judgeKeyList } from '#shared/dkim/key-list-proof.ts';
import { describeNeks, type Nek } from '#shared/dkim/nek.ts';
import type { NekMac } from '#shared/dkim/nek-mac.ts';
import { SealpostError } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';

/**
 * Where signing keys come from: the credential-store of this node; when it does not answer, any; and when the answer is
 * older than what is held or than what another live node has, the stores that have newer keys, newest first.
 *
 * From a store that was asked before only what changed since then is fetched (`since`). Keys may change between the pages
 * of an answer: then what changed since its first page is fetched on top, until nothing changed meanwhile.
 *
 * The revision says which answer is newer: it is the same on every node that has seen the same changes and never goes
 * down. A store that answers less than what is held has lost changes, or has not read them yet: its answer is never
 * adopted.
 *
 * An answer is used when it proves to come from a process with the NEK, to this question (shared/dkim/key-list-proof.ts): so
 * nobody else can add a key, or bring back one that was revoked. Stores of the version before prove nothing. They are
 * believed where there are only such: when this process has heard stores for a while, and none that proves. Somebody
 * without the NEK can pretend to be one of them, but cannot keep the others from being heard.
 *
 * Which stores are live is known from what they announce. One that is silent is not asked for what it said it had; so
 * silence delays newer keys at most, it never takes away those that are held.
 */

/** All keys that a store says a signer must hold. */
export type Fetched = {
  /** The node whose store answered. */
  node: string;
  revision: number;
  /** Why they may not be the newest. */
  behind: string | undefined;
  keys: SigningKey[];
};

/** How long a store may take for one page, in milliseconds. */
const PAGE_TIMEOUT_MS = 5000;
/** How often a fetch starts over because keys changed between its pages. */
const FETCH_TRIES = 5;
/** A store that was silent for longer may be gone, and what it knew with it; in milliseconds. */
const LIVE_MS = 5000;
/** How long stores are heard, each of which announces itself every second, before it is known that none of them proves. */
const LISTEN_MS = 3000;

/** The keys of each domain as a store gave them, and the cursor that it gave with them. */
type Read = { cursor: string | undefined; keys: Map<string, SigningKey[]> };

export type KeySourceDeps = {
  credentials: Calls<'signer', 'credential-store'>;
  node: string;
  /** There is no bus, hence no other store. */
  alone: boolean;
  /** The NEKs of the configuration; none where they cannot be read, and nothing can be unwrapped or checked. */
  neks: () => Promise<readonly Nek[]>;
};

export class KeySource {
  readonly #deps: KeySourceDeps;
  /** The revision of each store. */
  readonly #heard = new Heard<number>({ liveMs: LIVE_MS });
  /** What this node's store gave, what the last other one gave, and which of the two was the last. */
  readonly #reads = new Map<string, Read>();
  #last: Read = { cursor: undefined, keys: new Map() };
  /** A store has proven an answer, or said that it does. */
  #proving = false;
  /** When the first store announced itself, by `performance.now`. */
  #firstPresent = Number.POSITIVE_INFINITY;

  constructor(deps: KeySourceDeps) {
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
   * The newest keys that can be had; `held` is the revision of those at hand. Fails with `store-went-back` when every
   * store that answers has older ones, and where none answers with the error of the last one.
   */
  async fetch(held: number): Promise<Fetched> {
    const { own } = this;
    let best = await this.#fetchAny();
    const asked = new Set([own, best.node]);
    for (const { key: node, said: revision } of this.#heard.live().sort((a, b) => b.said - a.said)) {
      if (best.revision >= Math.max(held, this.newest)) break;
      if (asked.has(node) || revision <= best.revision) continue;
      const other = await this.#fetchFrom(node).catch(() => undefined);
      if (other !== undefined && other.revision > best.revision) best = other;
    }
    if (best.revision < held) throw wentBack(best, held);
    return best;
  }

  /** From this node's store, else any, else those that are live, one after the other. */
  async #fetchAny(): Promise<Fetched> {
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
  async #fetchFrom(node: string | undefined): Promise<Fetched> {
    let from = node;
    for (let attempt = 0; attempt < FETCH_TRIES; attempt++) {
      const { node: answering, revision, behind, whole } = await this.#fetchPages(from);
      if (whole) return { node: answering, revision, behind, keys: [...this.#last.keys.values()].flat() };
      from = answering;
    }
    throw new SealpostError('busy', 'the keys change faster than they can be read');
  }

  /** Read on from where the last reading ended. `whole`: nothing changed between the pages. */
  async #fetchPages(from: string | undefined): Promise<Omit<Fetched, 'keys'> & { whole: boolean }> {
    const base = from === undefined ? this.#last : this.#reads.get(from);
    const since = base?.cursor;
    const options = (node: string | undefined) => ({ timeout: PAGE_TIMEOUT_MS, ...(node !== undefined && { node }) });
    const more = since === undefined ? {} : { since };
    const neks = await this.#deps.neks();
    let page = await this.#fetchPage(more, options(from), neks);
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
      page = await this.#fetchPage({ ...more, after: page.next }, options(node), neks);
      if (page.revision !== revision) whole = false;
      // It was restarted: asked for changes, it answers with everything.
      if ((page.changed === undefined) !== (changed === undefined)) return { node, revision, behind, whole: false };
    }
    if (whole || cursor !== undefined) this.#remember(node, { cursor, keys });
    return { node, revision, behind, whole };
  }

  /** One answer. Fails with `nek-mismatch` when it should be proven and is not. */
  async #fetchPage(
    request: { since?: string; after?: string },
    options: { timeout: number; node?: string },
    neks: readonly Nek[],
  ) {
    const nonce = newId();
    const page = await this.#deps.credentials['signing-key-list']({ ...request, nonce }, options);
    const { node, macs } = page;
    if (neks.length === 0 || (macs === undefined && this.#nobodyProves)) return page;
    const verdict = judgeKeyList(neks, nonce, page, macs ?? []);
    if (verdict === 'authentic') this.#proving = true;
    else throw unproven(node, verdict === 'unknown' ? macs : undefined, neks);
    return page;
  }

  /** All stores are of the version before; a store of this process needs no proof before the first. */
  get #nobodyProves(): boolean {
    return !this.#proving && (this.#deps.alone || performance.now() - this.#firstPresent >= LISTEN_MS);
  }

  /** Each read is as large as all keys: only those of this node's store and of one other are kept. */
  #remember(node: string, read: Read): void {
    if (node !== this.own) for (const name of this.#reads.keys()) if (name !== this.own) this.#reads.delete(name);
    this.#reads.set(node, read);
    this.#last = read;
  }
}

function unproven(node: string, macs: readonly NekMac[] | undefined, neks: readonly Nek[]): SealpostError {
  const why =
    macs === undefined
      ? 'did not prove that it has the NEK: it is of an older version, or an impostor'
      : `has NEK ${macs.map(({ nek }) => nek).join(', ')}, but configured (credentials.nek) is ${describeNeks(neks)}`;
  return new SealpostError('nek-mismatch', `the credential-store of node ${node} ${why}; its keys are not used`);
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
