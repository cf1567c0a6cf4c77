import type { Logger } from '#shared/log.ts';
import type { DnsView, Holder } from '../contract.ts';
import type { Expected } from '../dns/views.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';

/** All that the driver knows of the world, and all that it can do to it. */
export type DriverWorld = {
  node: string;
  /** ms since 1970 */
  now(): number;
  records: Pick<Records, 'get' | 'all' | 'update' | 'revision'>;
  /**
   * Stores and signers that live, this node's among them; undefined while this node must not drive: cut off, not
   * caught up, or has not listened for long enough. `clock` is theirs minus ours in ms.
   */
  live(): Holder[] | undefined;
  /** The signers of a node prove that they can sign with exactly this key. Rejects with the reason. */
  prove(node: string, domain: string, key: KeyRecord): Promise<void>;
  /** Rejects with `dns-refused` where trying again is of no use. */
  publish(domain: string, key: KeyRecord): Promise<void>;
  publishRevocation(domain: string, key: KeyRecord): Promise<void>;
  removeRecord(domain: string, key: KeyRecord): Promise<void>;
  /** What DNS says, seen from a node. */
  look(node: string, domain: string, key: KeyRecord, expected: Expected): Promise<DnsView>;
  /** ms */
  timing(): { retireAfter: number; keepRevoked: number };
  /** New keys for a scheduled rotation of a domain, generated and wrapped. */
  makeKeys(record: DomainRecord): Promise<KeyRecord[]>;
  log: Logger;
};
