import type { KeyObject } from 'node:crypto';
import { loadNek } from '#cluster/config/nek.ts';
import type { Settings } from '#cluster/settings.ts';
import type { CredentialStoreContract, SigningKey } from '#services/credential-store/contract.ts';
import type { Client, Listen } from '#shared/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { unwrapKey } from '#shared/key-wrap.ts';
import type { Logger } from '#shared/log.ts';
import type { Nek } from '#shared/nek.ts';

/**
 * The keys that sign, unwrapped, in memory only.
 *
 * States:
 *   empty    since the start; the credential-store has not answered yet. Nobody knows which domains have keys.
 *            → current by the first answer
 *   current  the last answer is adopted and nothing newer was announced. → stale
 *   stale    a newer revision was announced, or the store did not answer; what is held goes on signing. → current
 *   closed   by `close`.
 *
 * The store is asked at the start, at every announcement of a revision that is not held, at every change of the
 * configuration, and every 30 s, because an announcement may get lost; after a failure sooner: a store that comes back
 * announces nothing, and mail may wait for it.
 * A revision below the held one means that the store lost its data: it is reported, and not adopted.
 *
 * A key that is held stays usable though its NEK goes away. A key that does not unwrap is listed as unusable and tried
 * again at every answer.
 */

export type HeldKey = { domain: string; selector: string } & (
  | { usable: true; privateKey: KeyObject }
  | { usable: false; reason: string }
);

const CATCH_UP = 30_000;
const FIRST_RETRY = 250;
const LAST_RETRY = 4000;
const FETCH_TIMEOUT = 5000;
/** How often a fetch begins anew because keys changed between its pages. */
const FETCH_TRIES = 5;

export type KeyringDeps = {
  settings: Settings;
  log: Logger;
  credentials: Client<CredentialStoreContract>;
  onChanged: Listen<CredentialStoreContract>;
};

type Fetched = { revision: number; keys: SigningKey[] };

export class Keyring {
  readonly #deps: KeyringDeps;
  #byDomain = new Map<string, HeldKey[]>();
  /** Private keys by what they were unwrapped from, so that an answer costs only what is new in it. */
  #unwrapped = new Map<string, KeyObject>();
  #revision: number | undefined;
  #announced: number | undefined;
  #failures = 0;
  #closed = false;
  /** Something happened since the last question: ask again at once. */
  #woken = false;
  #wake: () => void = () => undefined;
  #stopListening: (() => void)[] = [];
  #reported = new Set<string>();

  constructor(deps: KeyringDeps) {
    this.#deps = deps;
  }

  /** Begin. Resolves when the store was asked once, whether it answered or not. */
  async open(): Promise<void> {
    this.#stopListening = [
      this.#deps.onChanged('changed', ({ revision }) => {
        this.#announced = revision;
        if (revision !== this.#revision) this.#askSoon();
      }),
      this.#deps.settings.onChange(() => this.#askSoon()),
    ];
    await this.#ask();
    void this.#keepAsking();
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stopListening) stop();
    this.#byDomain.clear();
    this.#unwrapped.clear();
    this.#askSoon();
  }

  get loaded(): boolean {
    return this.#revision !== undefined;
  }

  get revision(): number {
    return this.#revision ?? 0;
  }

  get upToDate(): boolean {
    const newest = this.#announced ?? this.#revision;
    return this.loaded && this.#failures === 0 && this.#revision === newest;
  }

  /** Keys of exactly this domain, RSA before Ed25519: some verifiers look at the first signature alone. */
  keysOf(domain: string): readonly HeldKey[] {
    return this.#byDomain.get(domain) ?? [];
  }

  all(): HeldKey[] {
    return [...this.#byDomain.values()].flat();
  }

  #askSoon(): void {
    this.#woken = true;
    this.#wake();
  }

  async #keepAsking(): Promise<void> {
    while (!this.#closed) {
      if (!this.#woken) {
        const delay = this.#failures === 0 ? CATCH_UP : Math.min(LAST_RETRY, FIRST_RETRY * 2 ** (this.#failures - 1));
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, delay);
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
    const { log } = this.#deps;
    try {
      const fetched = await this.#fetch();
      if (fetched.revision < this.revision) {
        const went = `revision ${fetched.revision} instead of ${this.revision}, ${fetched.keys.length} keys`;
        throw new SealpostError(
          'store-went-back',
          `the credential-store lost changes (${went}): restore its data, or restart the signer to use what it has`,
        );
      }
      await this.#adopt(fetched);
      if (this.#failures > 0) log.info({ revision: fetched.revision }, 'the credential-store answers again');
      this.#failures = 0;
    } catch (error) {
      if (this.#closed) return;
      // One line when it begins; status tells the rest.
      if (this.#failures++ === 0) {
        const held = this.loaded ? `signing goes on with ${this.#unwrapped.size} keys` : 'mail to be signed waits';
        log.error({ reason: errorText(error) }, `signing keys could not be fetched: ${held}`);
      }
    }
  }

  async #fetch(): Promise<Fetched> {
    for (let attempt = 0; attempt < FETCH_TRIES; attempt++) {
      const fetched = await this.#fetchPages();
      if (fetched !== undefined) return fetched;
    }
    throw new SealpostError('busy', 'the keys change faster than they can be read');
  }

  /** Undefined when the revision changed between two pages. */
  async #fetchPages(): Promise<Fetched | undefined> {
    const { credentials } = this.#deps;
    let page = await credentials.signingKeys({}, { timeout: FETCH_TIMEOUT });
    const { revision } = page;
    const keys = [...page.keys];
    while (page.next !== undefined) {
      page = await credentials.signingKeys({ after: page.next }, { timeout: FETCH_TIMEOUT });
      if (page.revision !== revision) return undefined;
      keys.push(...page.keys);
    }
    return { revision, keys };
  }

  async #adopt({ revision, keys }: Fetched): Promise<void> {
    const fresh = keys.some((k) => !this.#unwrapped.has(wrappedId(k)));
    const nek = fresh ? await this.#nek() : 'not needed';
    if (this.#closed) return;
    const byDomain = new Map<string, HeldKey[]>();
    const unwrapped = new Map<string, KeyObject>();
    for (const key of keys.toSorted((a, b) => rank(a) - rank(b))) {
      const held = this.#hold(key, nek, unwrapped);
      byDomain.set(key.domain, [...(byDomain.get(key.domain) ?? []), held]);
    }
    const changed = revision !== this.#revision;
    this.#byDomain = byDomain;
    this.#unwrapped = unwrapped;
    this.#revision = revision;
    this.#reportUnusable();
    if (changed) this.#deps.log.info({ revision, keys: unwrapped.size }, 'signing keys loaded');
  }

  #hold(key: SigningKey, nek: Nek | string, unwrapped: Map<string, KeyObject>): HeldKey {
    const { domain, selector } = key;
    const id = wrappedId(key);
    try {
      const privateKey = this.#unwrapped.get(id) ?? unwrap(key, nek);
      unwrapped.set(id, privateKey);
      return { domain, selector, usable: true, privateKey };
    } catch (error) {
      return { domain, selector, usable: false, reason: errorText(error) };
    }
  }

  /** The NEK, or why there is none. */
  async #nek(): Promise<Nek | string> {
    try {
      const nek = await loadNek(this.#deps.settings.current.credentials.nek, this.#deps.log);
      return nek ?? 'no named encryption key is configured: set credentials.nek to the one the keys were made with';
    } catch (error) {
      return errorText(error);
    }
  }

  /** Each reason once, until it changes. */
  #reportUnusable(): void {
    const reported = new Set<string>();
    for (const key of this.all()) {
      if (key.usable) continue;
      const { domain, selector, reason } = key;
      const id = `${domain}!${selector}!${reason}`;
      reported.add(id);
      if (!this.#reported.has(id)) this.#deps.log.error({ domain, selector, reason }, 'a signing key cannot be used');
    }
    this.#reported = reported;
  }
}

/** The GCM tag stands for all that was wrapped. */
const wrappedId = (key: SigningKey): string => `${key.domain}!${key.selector}!${key.wrapped.tag}`;

const rank = (key: SigningKey): number => (key.algorithm === 'ed25519' ? 1 : 0);

function unwrap(key: SigningKey, nek: Nek | string): KeyObject {
  if (typeof nek === 'string') throw new SealpostError('no-nek', nek);
  return unwrapKey(nek, key, key.wrapped);
}
