import type { ReplicatedMap } from '#cluster/replicated-map.ts';
import type { Settings } from '#cluster/settings.ts';
import type { Calls } from '#cluster/topology.ts';
import type { CredentialStoreContract } from '#services/credential-store/contract.ts';
import type { DnsViews } from '#services/credential-store/dns-views.ts';
import type { CredentialRecord, DomainRecord, KeyRecord } from '#services/credential-store/domain-record.ts';
import type { KeyMaker } from '#services/credential-store/key-maker.ts';
import { type KeyName, normalizeKeyName } from '#services/credential-store/key-name.ts';
import type { Neks } from '#services/credential-store/neks.ts';
import type { Presence } from '#services/credential-store/presence.ts';
import type { Records } from '#services/credential-store/records.ts';
import { normalizeDomain } from '#shared/address.ts';
import type { Announce } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Nek } from '#shared/nek.ts';

/** What the operations of a running credential-store work with. */
export type Office = {
  settings: Settings;
  log: Logger;
  announce: Announce<CredentialStoreContract>;
  stores: Calls<'credential-store', 'credential-store'>;
  signer: Calls<'credential-store', 'signer'>;
  map: ReplicatedMap<CredentialRecord>;
  records: Records;
  /** The domains' records, and those of keys of an earlier version that are not taken over yet. */
  all: () => DomainRecord[];
  presence: Presence;
  neks: Neks;
  views: DnsViews;
  maker: KeyMaker;
  /** The NEKs in the configuration of this node as it is now. */
  configured: () => Promise<Nek[]>;
};

/** A key by its name, or `not-found`. */
export function findKey(records: Records, request: KeyName): { domain: string; record: DomainRecord; key: KeyRecord } {
  const name = normalizeKeyName(request);
  const record = records.get(name.domain);
  const key = record?.keys.find((k) => k.selector === name.selector);
  if (record !== undefined && key !== undefined) return { domain: name.domain, record, key };
  const gone = record?.used.find((u) => u.selector === name.selector);
  const deleted = gone === undefined ? '' : `; it was deleted on ${new Date(gone.deleted).toISOString().slice(0, 10)}`;
  throw new SealpostError('not-found', `${name.domain} has no key with selector ${name.selector}${deleted}`);
}

/** The record of a domain, or `not-found`. */
export function requireRecord(record: DomainRecord | undefined, domain: string): DomainRecord {
  if (record !== undefined) return record;
  throw new SealpostError('not-found', `there are no keys for ${normalizeDomain(domain)}`);
}
