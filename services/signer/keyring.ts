import type { KeyObject } from 'node:crypto';
import { readNeks } from '#cluster/config/nek.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { Following } from '#cluster/follow/following.ts';
import { allItems, type Fetched } from '#cluster/follow/source.ts';
import type { Calls, Hears } from '#services/topology.ts';
import { KEY_TYPES, keyTypeOf } from '#shared/dkim/algorithms.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { errorText } from '#shared/errors.ts';
import type { SigningKey } from '#shared/keys/key.ts';
import type { Logger } from '#shared/log.ts';
import { KeySource } from './key-source.ts';
import { identityOf, nameOf, unwrap } from './unwrap.ts';

/**
 * The private keys, unwrapped, in memory only: those that sign, and those that will or did sign, so that this node can
 * prove that it has them and switches to new ones immediately. They follow the credential-stores
 * (cluster/follow/following.ts): while none has answered it is not known which domains have keys; the held keys continue to
 * sign while the stores are away. The stores are asked at every change of the configuration too.
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

export type KeyringDeps = {
  settings: Settings;
  log: Logger;
  credentials: Calls<'signer', 'credential-store'>;
  onStores: Hears<'signer', 'credential-store'>;
};

export class Keyring {
  readonly #deps: KeyringDeps;
  readonly #source: KeySource;
  readonly #following: Following<SigningKey>;
  /** Every held key by its name, and the active ones of each domain. */
  #held = new Map<string, AnyKey>();
  #signing = new Map<string, HeldKey[]>();
  /** Private keys by their identity: they stay when they are re-wrapped. */
  #unwrapped = new Map<string, KeyObject>();
  /** Keys that were unwrapped, so that an answer costs only what is new in it. */
  #opened = new WeakMap<SigningKey, Opened>();
  /** The NEKs of the configuration as last read, or why there are none. */
  #neks: Nek[] | string = [];
  #stopListening: (() => void)[] = [];
  #reported = new Set<string>();

  constructor(deps: KeyringDeps) {
    this.#deps = deps;
    const { node, bus } = deps.settings.current;
    const alone = bus.servers.length === 0;
    const neks = (): Promise<Nek[]> => this.#readNeks();
    this.#source = new KeySource({ credentials: deps.credentials, node: node.name, alone, neks });
    this.#following = new Following({
      source: this.#source,
      log: deps.log,
      adopt: (fetched) => this.#adopt(fetched),
      failed: () => {
        const held = this.loaded ? `signing continues with ${this.#unwrapped.size} keys` : 'mail to be signed waits';
        return `signing keys could not be fetched: ${held}`;
      },
    });
  }

  /** Resolves when the stores were asked once, whether one answered or not. */
  async open(): Promise<void> {
    const { onStores, settings } = this.#deps;
    this.#stopListening = [
      onStores('changed', (said) => this.#following.changed(said)),
      onStores('present', (said) => {
        this.#source.present(said);
        this.#following.hear(said);
      }),
      settings.onChange(() => this.#following.askSoon()),
    ];
    await this.#readNeks();
    await this.#following.open();
  }

  close(): void {
    for (const stop of this.#stopListening) stop();
    this.#following.close();
    this.#held.clear();
    this.#signing.clear();
    this.#unwrapped.clear();
    this.#opened = new WeakMap();
  }

  get loaded(): boolean {
    return this.#following.loaded;
  }

  get revision(): number {
    return this.#following.revision;
  }

  /** The node from whose credential-store the keys come. */
  get store(): string | undefined {
    return this.#following.store;
  }

  /** Why these may not be the newest keys; undefined when they are. */
  get behind(): string | undefined {
    return this.#following.behind;
  }

  get upToDate(): boolean {
    return this.#following.upToDate;
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
    return this.#following.onNews(listener);
  }

  /** Read the configured NEKs again: one may have been added for keys that could not be unwrapped. Never rejects. */
  async refreshNeks(): Promise<void> {
    const before = this.neks.join();
    await this.#readNeks();
    if (this.neks.join() !== before && this.all().some((k) => !k.usable)) this.#following.askSoon();
  }

  #adopt({ node, revision, read }: Fetched<SigningKey>): void {
    const held = new Map<string, AnyKey>();
    const signing = new Map<string, HeldKey[]>();
    const unwrapped = new Map<string, KeyObject>();
    for (const key of allItems(read).sort((a, b) => rank(a) - rank(b))) {
      const opened = this.#opened.get(key);
      const one = opened?.key ?? this.#hold(key);
      held.set(opened?.name ?? nameOf(key), one);
      if (one.usable) unwrapped.set(opened?.id ?? identityOf(key), one.privateKey);
      if (key.state === 'active') signing.set(key.domain, [...(signing.get(key.domain) ?? []), one]);
    }
    const changed = !this.loaded || revision !== this.revision;
    this.#held = held;
    this.#signing = signing;
    this.#unwrapped = unwrapped;
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
