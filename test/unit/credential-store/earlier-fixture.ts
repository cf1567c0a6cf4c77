import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Store } from '#cluster/store.ts';
import { generateKey } from '#services/credential-store/making/generate-key.ts';
import { wrapKey } from '#shared/dkim/key-wrap.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import type { KeyAlgorithm, SigningKey } from '#shared/keys/key.ts';
import { silentLogger } from '#shared/log.ts';

/** The store of a version that knew no cluster, as that version wrote it. */

/** A key as it was made then. */
export async function earlierKey(
  nek: Nek,
  domain: string,
  selector: string,
  algorithm: KeyAlgorithm = 'ed25519',
): Promise<SigningKey> {
  const { privateKey, publicKey, fingerprint } = await generateKey(algorithm);
  const name = { domain, selector, algorithm };
  const created = Date.parse('2026-03-01');
  return { ...name, state: 'active', created, fingerprint, publicKey, wrapped: wrapKey(nek, name, privateKey) };
}

export const recordOf = (key: { domain: string; selector: string }): string => `key!${key.domain}!${key.selector}`;

/** The bytes of a record; `change` damages its JSON. */
export function earlierRecord(key: object, change = (text: string): string => text): Buffer {
  const digest = createHash('sha256').update(JSON.stringify(key)).digest('hex');
  return Buffer.from(change(JSON.stringify({ version: 1, key, digest })));
}

/** Write a store with these records into the data folder of a node. */
export async function writeEarlierStore(data: string, records: ReadonlyMap<string, Buffer>): Promise<void> {
  const level = await Store.open(join(data, 'credentials'), silentLogger);
  const operations = [...records].map(([key, value]) => ({ type: 'put' as const, key, value }));
  const revision = { type: 'put' as const, key: 'meta!revision', value: Buffer.from(String(records.size)) };
  await level.write([...operations, revision]);
  await level.close();
}

/** What is left of it. */
export async function earlierRecords(data: string): Promise<Map<string, Buffer>> {
  const level = await Store.open(join(data, 'credentials'), silentLogger);
  const records = new Map<string, Buffer>();
  for await (const [key, value] of level.entries({ gte: 'key!', lt: 'key"' })) records.set(key, value);
  await level.close();
  return records;
}
