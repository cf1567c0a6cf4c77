import type { KeyObject } from 'node:crypto';
import type { Settings } from '#cluster/config/settings.ts';
import type { SigningKey } from '#services/credential-store/contract.ts';
import type { Calls, Hears } from '#services/topology.ts';
import { KEY_TYPES, keyTypeOf } from '#shared/dkim/algorithms.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { type Fetched, KeySource, lagOf } from './key-source.ts';
import { identityOf, nameOf, readNeks, unwrap } from './unwrap.ts';

/**
 * The private keys, unwrapped, in memory only: those that sign, and those that will or did sign, so that this node can
 * prove that it has them and switches to new ones immediately.
 *
 * States:
 *   empty    from the start until a credential-store answers. It is not known which domains have keys. → current
 *   current  the last answer is adopted and nothing newer was announced. → stale
 *   stale    a newer revision was announced, or no store answered; the held keys continue to sign. → current
 *   closed   after `close`.
 *
 * The stores are asked (`key-source.ts`) at the start, when one announces a revision newer than the held one, at every
 * change of the configuration, and every 30 s, because announcements may be lost; sooner while stale: a store that comes
 * back may have nothing new to announce, and mail may wait for it.
 * Answers with a revision below the held one are never adopted. When there is no other answer, the stores have lost
 * their data: that is reported.
 *
 * A held key, identified by its name, algorithm and public key, stays usable even if its NEK is removed or it is
 * re-wrapped with a NEK that this node lacks. A key that does not unwrap is unusable and tried again at every answer.
 */

export type HeldKey = { domain: string; selector: string } & (
  | { usable: true; privateKey: KeyObject }
  | { usable: false; reason: string }
);

/** A held key whatever its state. */
export type AnyKey = HeldKey & { fingerprint: string };

type Opened = { name: string; id: string; key: AnyKey & { usable: true } };

const REFRESH_MS = 30_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 4000;
/** How long this node's store may take to catch up with that of another node before the latter is asked. */
const OWN_STORE_MS = 500;

export type KeyringDeps = {
  settings: Settings;
  log: Logger;
  credentials: Calls<'signer', 'credential-store'>;
  onStores: Hears<'signer', 'credential-store'>;
};

export class Keyring {
  readonly #deps: KeyringDeps;
  readonly #source: KeySource;
  /** Every held key by its name, and the active ones of each domain. */
  #held = new Map<string, AnyKey>();
  #signing = new Map<string, HeldKey[]>();
  /** Private keys by their identity: they stay when they are re-wrapped. */
  #unwrapped = new Map<string, KeyObject>();
  /** Keys that were unwrapped, so that an answer costs only what is new in it. */
  #opened = new WeakMap<SigningKey, Opened>();
  #revision: number | undefined;
  /** The node whose store was adopted last. */
  #store: string | undefined;
  #behind: string | undefined = 'no credential-store was asked yet';
  /** The NEKs of the configuration as last read, or why there are none. */
  #neks: Nek[] | string = [];
  /** Questions since the keys were last up to date. */
  #tries = 0;
  /** The last question had no answer that can be adopted. */
  #failing = false;
  #later: NodeJS.Timeout | undefined;
  #closed = false;
  /** Something happened since the last question: ask again immediately. */
  #woken = false;
  #wake: () => void = () => undefined;
  #stopListening: (() => void)[] = [];
  #listeners = new Set<() => void>();
  #reported = new Set<string>();

  constructor(deps: KeyringDeps) {
    this.#deps = deps;
    const { node, bus } = deps.settings.current;
    const alone = bus.servers.length === 0;
    const neks = (): Promise<Nek[]> => this.#readNeks();
    this.#source = new KeySource({ credentials: deps.credentials, node: node.name, alone, neks });
  }

  /** Resolves when the stores were asked once, whether one answered or not. */
  async open(): Promise<void> {
    const { onStores, settings } = this.#deps;
    this.#stopListening = [
      onStores('changed', (said) => {
        this.#hear(said);
        // A store that lost a change and accepted another one has other keys under the same revision.
        if (said.node === this.#source.own && said.revision === this.revision) this.#askSoon();
      }),
      onStores('present', (said) => {
        this.#source.present(said);
        this.#hear(said);
      }),
      settings.onChange(() => this.#askSoon()),
    ];
    await this.#readNeks();
    await this.#ask();
    void this.#keepAsking();
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stopListening) stop();
    clearTimeout(this.#later);
    this.#held.clear();
    this.#signing.clear();
    this.#unwrapped.clear();
    this.#opened = new WeakMap();
    this.#askSoon();
  }

  get loaded(): boolean {
    return this.#revision !== undefined;
  }

  get revision(): number {
    return this.#revision ?? 0;
  }

  /** The node from whose credential-store the keys come. */
  get store(): string | undefined {
    return this.#store;
  }

  /** Why these may not be the newest keys; undefined when they are. */
  get behind(): string | undefined {
    return this.#behind;
  }

  get upToDate(): boolean {
    return this.loaded && this.#behind === undefined && this.revision >= this.#source.newest;
  }

  /** Fingerprints of the NEKs in the configuration, as last read. */
  get neks(): readonly string[] {
    return typeof this.#neks === 'string' ? [] : this.#neks.map((nek) => nek.fingerprint);
  }

  /** Active keys of exactly this domain, in the order of their signatures (`KEY_TYPES`). */
  keysOf(domain: string): readonly HeldKey[] {
    return this.#signing.get(domain) ?? [];
  }

  /** Active keys. */
  signing(): HeldKey[] {
    return [...this.#signing.values()].flat();
  }

  /** A key whatever its state, also before and after it signs. */
  held(domain: string, selector: string): AnyKey | undefined {
    return this.#held.get(nameOf({ domain, selector }));
  }

  all(): AnyKey[] {
    return [...this.#held.values()];
  }

  /** Called when another revision is adopted, or why it is behind changes. */
  onNews(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Read the configured NEKs again: one may have been added for keys that could not be unwrapped. Never rejects. */
  async refreshNeks(): Promise<void> {
    const before = this.neks.join();
    await this.#readNeks();
    if (this.neks.join() !== before && this.all().some((k) => !k.usable)) this.#askSoon();
  }

  /** This node's store has a change a moment later than the store that made it, and is asked instead of that one. */
  #hear({ node, revision }: { node: string; revision: number }): void {
    const news = this.#source.hear(node, revision);
    // If this node's store has an older revision than the held one, it lost data or has yet to catch up: find out now.
    const wentBack = node === this.#source.own && revision < this.revision;
    if (!news || (this.upToDate && !wentBack)) return;
    if (this.#source.mayWaitForOwn(node)) {
      this.#later ??= setTimeout(() => {
        this.#later = undefined;
        if (!this.upToDate) this.#askSoon();
      }, OWN_STORE_MS);
    } else this.#askSoon();
  }

  #askSoon(): void {
    this.#woken = true;
    this.#wake();
  }

  async #keepAsking(): Promise<void> {
    while (!this.#closed) {
      if (!this.#woken) {
        const delayMs =
          this.#tries === 0 ? REFRESH_MS : Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#tries - 1));
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, delayMs);
          this.#wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      if (!this.#closed) await this.#ask();
    }
  }

  async #ask(): Promise<void> {
    this.#woken = false;
    const before = { revision: this.#revision, behind: this.#behind };
    const { newest } = this.#source;
    try {
      const fetched = await this.#source.fetch(this.revision);
      if (this.#closed) return;
      this.#adopt(fetched);
      this.#behind = lagOf(fetched, newest);
      if (this.#failing) {
        this.#deps.log.info({ store: fetched.node, revision: fetched.revision }, 'the credential-store answers again');
      }
      this.#failing = false;
    } catch (error) {
      if (this.#closed) return;
      this.#behind = errorText(error);
      // One line when it begins; the status says the rest.
      if (!this.#failing) {
        const held = this.loaded ? `signing continues with ${this.#unwrapped.size} keys` : 'mail to be signed waits';
        this.#deps.log.error({ error: this.#behind }, `signing keys could not be fetched: ${held}`);
      }
      this.#failing = true;
    }
    this.#tries = this.upToDate ? 0 : this.#tries + 1;
    if (before.revision !== this.#revision || before.behind !== this.#behind) {
      for (const listener of this.#listeners) listener();
    }
  }

  #adopt({ node, revision, keys }: Fetched): void {
    const held = new Map<string, AnyKey>();
    const signing = new Map<string, HeldKey[]>();
    const unwrapped = new Map<string, KeyObject>();
    for (const key of keys.toSorted((a, b) => rank(a) - rank(b))) {
      const opened = this.#opened.get(key);
      const one = opened?.key ?? this.#hold(key);
      held.set(opened?.name ?? nameOf(key), one);
      if (one.usable) unwrapped.set(opened?.id ?? identityOf(key), one.privateKey);
      if (key.state === 'active') signing.set(key.domain, [...(signing.get(key.domain) ?? []), one]);
    }
    const changed = revision !== this.#revision;
    this.#held = held;
    this.#signing = signing;
    this.#unwrapped = unwrapped;
    this.#revision = revision;
    this.#store = node;
    this.#reportUnusable();
    if (changed) this.#deps.log.info({ revision, store: node, keys: unwrapped.size }, 'signing keys loaded');
  }

  #hold(key: SigningKey): AnyKey {
    const { domain, selector, fingerprint } = key;
    const [name, id] = [nameOf(key), identityOf(key)];
    try {
      const privateKey = this.#unwrapped.get(id) ?? unwrap(key, this.#neks);
      const usable = { domain, selector, fingerprint, usable: true as const, privateKey };
      this.#opened.set(key, { name, id, key: usable });
      return usable;
    } catch (error) {
      return { domain, selector, fingerprint, usable: false, reason: errorText(error) };
    }
  }

  async #readNeks(): Promise<Nek[]> {
    this.#neks = await readNeks(this.#deps.settings.current.credentials.nek);
    return typeof this.#neks === 'string' ? [] : this.#neks;
  }

  /** Each reason once, until it changes. */
  #reportUnusable(): void {
    const reported = new Set<string>();
    for (const key of this.all()) {
      if (key.usable) continue;
      const { domain, selector, reason: error } = key;
      const id = `${domain}!${selector}!${error}`;
      reported.add(id);
      if (!this.#reported.has(id)) this.#deps.log.error({ domain, selector, error }, 'signing key cannot be used');
    }
    this.#reported = reported;
  }
}

const rank = (key: SigningKey): number => KEY_TYPES[keyTypeOf(key.algorithm)].order;
