import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import {
  type CredentialRecord,
  type DomainRecord,
  domainKey,
  type KeyRecord,
} from '#services/credential-store/records/domain-record.ts';
import { Records } from '#services/credential-store/records/records.ts';
import { unwrapWith, wrapKey } from '#shared/dkim/key-wrap.ts';
import { generateNek, type Nek, parseNek } from '#shared/dkim/nek.ts';
import { publicKeyFingerprint, publishedBytes } from '#shared/dkim/public-key.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';

/** Records in memory, that a test may stop between any two writes, and keys to put into them. */
export class MemoryRecords extends Records {
  readonly #values: Map<string, CredentialRecord>;
  /** Writes that are still made; the next one fails as without a majority. */
  writesLeft = Number.POSITIVE_INFINITY;
  writes = 0;
  /** Called before a write is decided: another node that is faster. */
  rival: (() => void) | undefined;

  constructor() {
    const values = new Map<string, CredentialRecord>();
    const map = {
      get: (key: string) => entry(key, values.get(key)),
      entries: () => [...values.keys()].sort().map((key) => entry(key, values.get(key))),
      without: () => [],
      get revision() {
        return self.writes;
      },
      update: (key: string, change: (value: CredentialRecord | undefined) => CredentialRecord | undefined) =>
        self.#update(key, change),
    };
    super(map as unknown as ReplicatedMap<CredentialRecord>);
    this.#values = values;
    const self = this;
  }

  async #update(key: string, change: (value: CredentialRecord | undefined) => CredentialRecord | undefined) {
    await Promise.resolve();
    for (;;) {
      const current = this.#values.get(key);
      const value = change(current);
      const { rival } = this;
      this.rival = undefined;
      if (rival !== undefined) {
        rival();
        if (this.#values.get(key) !== current) continue;
      }
      if (value !== current) {
        if (this.writesLeft === 0) throw new SealpostError('no-quorum', 'the node was killed here');
        this.writesLeft--;
        this.put(key, value);
      }
      return { value, version: 1, revision: this.writes };
    }
  }

  /** Write past all rules. */
  put(key: string, value: CredentialRecord | undefined): void {
    this.writes++;
    if (value === undefined) this.#values.delete(key);
    else this.#values.set(key, value);
  }

  putDomain(record: DomainRecord): void {
    this.put(domainKey(record.domain), { kind: 'domain', ...record });
  }
}

const entry = (key: string, value: CredentialRecord | undefined) =>
  value === undefined ? undefined : { key, version: 1, value };

export const nekOf = (name: string): Nek => parseNek(generateNek(name));

const pair = generateKeyPairSync('ed25519');
const published = publishedBytes(pair.publicKey);

/** A key under a NEK, or one whose private part is erased. All are the same pair: what they are bound to differs. */
export function keyUnder(nek: Nek | undefined, domain: string, selector: string, privateKey?: KeyObject): KeyRecord {
  const algorithm = 'ed25519';
  return {
    selector,
    algorithm,
    state: nek === undefined ? 'retired' : 'active',
    created: 0,
    since: 0,
    fingerprint: publicKeyFingerprint(published),
    publicKey: published.toString('base64'),
    activate: true,
    signed: true,
    publication: { by: 'manual' },
    ttl: 3600,
    ...(nek && { wrapped: wrapKey(nek, { domain, selector, algorithm }, privateKey ?? pair.privateKey) }),
  };
}

export const domainOf = (domain: string, ...keys: KeyRecord[]): DomainRecord => ({ domain, keys, used: [] });

/** Opens every key that has a private part; throws for one that does not open. Answers how many there are. */
export function openAll(records: Records, neks: Nek[]): number {
  let opened = 0;
  for (const { domain, keys } of records.all()) {
    for (const { wrapped, ...key } of keys) {
      if (wrapped === undefined) continue;
      const privateKey = unwrapWith(neks, { domain, ...key }, wrapped);
      if (!privateKey.equals(pair.privateKey)) throw new Error(`${key.selector} of ${domain} opened as another key`);
      opened++;
    }
  }
  return opened;
}

/** A live process that has these NEKs. */
export function holder(node: string, kind: Holder['kind'], neks: Nek[]): Holder {
  const fingerprints = neks.map((n) => n.fingerprint);
  return { node, kind, instance: `${node}-${kind}`, revision: 0, heard: 0, clock: 0, neks: fingerprints };
}
