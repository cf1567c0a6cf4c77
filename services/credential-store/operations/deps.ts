import type { Settings } from '#cluster/config/settings.ts';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Webhooks } from '#cluster/webhooks/webhooks.ts';
import type { Calls } from '#services/topology.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import type { Handlers } from '#shared/contract.ts';
import type { DirectoryRecord } from '#shared/directory/records.ts';
import { type KeyName, normalizeKeyName } from '#shared/dkim/key-name.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { StoreDamage } from '#shared/store-damage.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { CredentialStoreContract } from '../contract.ts';
import type { GroupAddresses } from '../directory/group-addresses.ts';
import type { KnownEmpty } from '../directory/known-empty.ts';
import type { DirectoryRewrap } from '../directory/rewrap.ts';
import type { DnsViews } from '../dns/views.ts';
import type { KeyMaker } from '../making/key-maker.ts';
import type { NekSeal } from '../neks/nek-seal.ts';
import type { Neks } from '../neks/neks.ts';
import type { Presence } from '../presence.ts';
import type { Certificates } from '../records/certificates.ts';
import type { CredentialRecord, DomainRecord, KeyRecord } from '../records/domain-record.ts';
import type { At } from '../records/record-change.ts';
import type { Records } from '../records/records.ts';

/** What the operations of a running credential-store work with. */
export type OperationDeps = {
  settings: Settings;
  log: Logger;
  stores: Calls<'credential-store', 'credential-store'>;
  signer: Calls<'credential-store', 'signer'>;
  map: ReplicatedMap<CredentialRecord>;
  /** The entries of the directory. */
  directory: ReplicatedMap<DirectoryRecord>;
  groups: GroupAddresses;
  knownEmpty: KnownEmpty;
  rewrap: DirectoryRewrap;
  records: Records;
  certificates: Certificates;
  /** The records of all domains, and those of keys of an earlier version that have not been taken over yet. */
  all: () => DomainRecord[];
  presence: Presence;
  neks: Neks;
  seal: NekSeal;
  views: DnsViews;
  maker: KeyMaker;
  audit: AuditLog;
  webhooks: Webhooks;
  /** What was damaged in the store of this node. */
  damage: () => Promise<StoreDamage[]>;
};

/** One operation of the contract: a request that the contract has parsed → its reply, or a declared error. */
export type Operation<Name extends keyof CredentialStoreContract['operations']> = (
  deps: OperationDeps,
  request: Parameters<Handlers<CredentialStoreContract>[Name]>[0],
) => ReturnType<Handlers<CredentialStoreContract>[Name]>;

/** This moment on this node, for a change of a record. */
export const atNow = ({ settings }: Pick<OperationDeps, 'settings'>): At => ({
  now: Date.now(),
  node: settings.current.node.name,
});

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
