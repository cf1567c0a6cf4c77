import type { Holder } from '#shared/keys/holders.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import type { Logger } from '#shared/log.ts';
import type { Expected } from '../dns/views.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';

/** How long the record of a replaced key stays in DNS, and how long its empty one. */
export type Timing = { retireAfterMs: number; keepRevokedMs: number };

/** Everything that the driver reads and does: node-effects.ts on a running node, other ones in tests. */
export type DriverEffects = {
  node: string;
  /** ms since 1970 */
  now(): number;
  records: Pick<Records, 'get' | 'all' | 'update' | 'revision'>;
  /**
   * The live stores and signers, those of this node included; undefined while this node must not drive: it is cut off,
   * has not caught up, or has not listened for long enough. `clock` is theirs minus ours in ms.
   */
  live(): Holder[] | undefined;
  /** The signers of a node prove that they can sign with exactly this key. Rejects with the reason. */
  prove(node: string, domain: string, key: KeyRecord): Promise<void>;
  /** Rejects with `dns-refused` where it needs a person (dns/trouble.ts). */
  publish(domain: string, key: KeyRecord): Promise<void>;
  publishRevocation(domain: string, key: KeyRecord): Promise<void>;
  removeRecord(domain: string, key: KeyRecord): Promise<void>;
  /** What DNS says, as a node sees it. */
  look(node: string, domain: string, key: KeyRecord, expected: Expected): Promise<DnsView>;
  timing(): Timing;
  /** New keys for a scheduled rotation of a domain, generated and wrapped. */
  makeKeys(record: DomainRecord): Promise<KeyRecord[]>;
  log: Logger;
};
