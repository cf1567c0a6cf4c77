import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { isWeak } from '#shared/dkim/algorithms.ts';
import { checkKeyName, type KeyName } from '#shared/dkim/key-name.ts';
import { type WrappedKey, wrapKey } from '#shared/dkim/key-wrap.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyAlgorithm } from '#shared/keys/key.ts';
import type { Logger } from '#shared/log.ts';
import { fixedSelectors, publicationFor } from '../dns/publication.ts';
import type { Neks } from '../neks/neks.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import { generateKey } from './generate-key.ts';
import { newSelectors } from './selector-name.ts';

/** Makes keys: a name, a pair (generate-key.ts), wrapped by the current NEK. Nothing is stored. */
export class KeyMaker {
  readonly #settings: Settings;
  readonly #neks: Neks;
  readonly #log: Logger;

  constructor(settings: Settings, neks: Neks, log: Logger) {
    this.#settings = settings;
    this.#neks = neks;
    this.#log = log;
  }

  /** A new key. Fails with `invalid-name`, `weak-key`, `no-nek`, `nek-mismatch` or `not-configured`. */
  async make(
    name: KeyName,
    algorithm: KeyAlgorithm,
    options: { activate: boolean; allowWeak?: boolean },
  ): Promise<KeyRecord> {
    const checked = checkKeyName(name);
    this.assertStrong(checked, algorithm, options.allowWeak ?? false);
    const publication = publicationFor(checked, this.#settings.current);
    const nek = await this.#neks.current();
    const { privateKey, publicKey, fingerprint } = await generateKey(algorithm);
    const wrapped = wrapKey(nek, { ...checked, algorithm }, privateKey);
    return this.record(checked, algorithm, { publicKey, fingerprint, wrapped, publication }, options.activate);
  }

  /**
   * The keys that replace every active key of a domain, or those of the selectors `from`; `to` names them in the order of
   * `from`. None where one of `from` is not active: the rotation then fails with the reason. Fails like `make` and with
   * `no-selector`.
   */
  async successors(record: DomainRecord, from?: readonly string[], to?: readonly string[]): Promise<KeyRecord[]> {
    const { domain } = record;
    const active = record.keys.filter((k) => k.state === 'active');
    const replaced = active.filter((k) => from?.includes(k.selector) ?? true);
    const wanted = from ?? active.map((k) => k.selector);
    if (replaced.length === 0 || replaced.length < new Set(wanted).size) return [];
    const { domains } = this.#settings.current;
    this.#assertUnrestricted(domain, domains);
    const algorithms = replaced.map((k) => k.algorithm);
    if (to !== undefined && to.length !== wanted.length) {
      const text = `${wanted.length} keys of ${domain} are being replaced, but ${to.length} new selectors are given`;
      throw new SealpostError('invalid-name', text);
    }
    const selectors =
      to === undefined
        ? newSelectors(record, algorithms, { now: Date.now(), fixed: fixedSelectors(domain, domains) })
        : replaced.map((k) => to[wanted.indexOf(k.selector)]);
    const made = algorithms.map((algorithm, i) =>
      // A weak key is replaced by one that is as weak; doctor asks for a better one.
      this.make({ domain, selector: selectors[i] ?? '' }, algorithm, {
        activate: true,
        allowWeak: true,
      }),
    );
    return Promise.all(made);
  }

  /** A key at the start of its life. */
  record(
    name: KeyName,
    algorithm: KeyAlgorithm,
    parts: { publicKey: string; fingerprint: string; wrapped: WrappedKey; publication: KeyRecord['publication'] },
    activate: boolean,
  ): KeyRecord {
    const now = Date.now();
    const ttl = Math.max(1, Math.round(this.#settings.current.keys.ttl / 1000));
    const { selector } = name;
    return { selector, algorithm, state: 'created', created: now, since: now, activate, signed: false, ttl, ...parts };
  }

  /** Fails with `weak-key` for a weak algorithm that is not allowed. */
  assertStrong(name: KeyName, algorithm: KeyAlgorithm, allowWeak: boolean): void {
    if (!isWeak(algorithm)) return;
    if (!allowWeak) {
      throw new SealpostError(
        'weak-key',
        'an RSA key of 1024 bits can be broken: use rsa-2048 or ed25519; only where DNS cannot publish a longer one, allow it with --allow-weak',
      );
    }
    this.#log.warn({ ...name, algorithm }, 'the key is weak: replace it with rsa-2048 as soon as DNS can publish it');
  }

  /** With `signing.selectors` a new key could not sign. Fails with `not-configured`. */
  #assertUnrestricted(domain: string, domains: Config['domains']): void {
    const selectors = domains.find((d) => d.name === domain)?.signing.selectors;
    if (selectors === undefined) return;
    throw new SealpostError(
      'not-configured',
      `signing.selectors of ${domain} lets only ${selectors.join(', ')} sign, so a new key could not: remove it, then rotate`,
    );
  }
}
