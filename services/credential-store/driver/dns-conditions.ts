import { SealpostError } from '#shared/errors.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import type { Expected } from '../dns/views.ts';
import type { KeyRecord } from '../records/domain-record.ts';
import { disagreeing } from './agreement.ts';
import type { DriverEffects } from './effects.ts';
import { everyNode } from './nodes.ts';

/**
 * The records of keys in DNS: written by us where we may, and seen by every live store. Where an update fails, the record
 * may be right all the same, because somebody wrote it by hand: then nothing waits for the update. Keys of domains that
 * are not in DNS pass.
 */

/** The record of a new key begins to appear: it is written, or a server returns what an administrator publishes. */
export async function begun(effects: DriverEffects, domain: string, key: KeyRecord): Promise<void> {
  const { by } = key.publication;
  if (by === 'none') return;
  if (by === 'manual') await appeared(effects, domain, key);
  else
    await effects.publish(domain, key).catch((error: unknown) =>
      seen(effects, domain, key, 'key').catch(() => {
        throw error;
      }),
    );
}

/** The record stands as it should. One that was removed is written again. */
export async function standing(effects: DriverEffects, domain: string, key: KeyRecord): Promise<void> {
  if (key.publication.by === 'none') return;
  try {
    await seen(effects, domain, key, 'key');
  } catch (error) {
    if (isOurs(key)) await effects.publish(domain, key);
    throw error;
  }
}

/** The record is revoked, or gone. */
export async function settled(
  effects: DriverEffects,
  domain: string,
  key: KeyRecord,
  expected: 'revoked' | 'absent',
): Promise<void> {
  const { by } = key.publication;
  if (by === 'none') return;
  // An administrator may remove a record instead of emptying its p=: no verifier can use the key either way.
  const byHand: DnsView['verdict'][] = expected === 'revoked' ? ['ok', 'missing'] : ['ok'];
  if (!isOurs(key)) return seen(effects, domain, key, expected, byHand);
  try {
    if (expected === 'revoked') await effects.publishRevocation(domain, key);
    else await effects.removeRecord(domain, key);
  } catch (error) {
    return seen(effects, domain, key, expected, byHand).catch(() => {
      throw error;
    });
  }
  await seen(effects, domain, key, expected);
}

const isOurs = ({ publication: { by } }: KeyRecord): boolean => by === 'update' || by === 'cname';

/** The administrator has begun to publish the record: a server returns it. */
async function appeared(effects: DriverEffects, domain: string, key: KeyRecord): Promise<void> {
  const view = await effects.look(effects.node, domain, key, 'key');
  if (view.verdict === 'ok' || view.servers.some((s) => s.verdict === 'ok')) return;
  throw new SealpostError('waiting', `its record must be published by hand: ${view.summary}`);
}

/** `right`: the verdicts that are as expected. */
async function seen(
  effects: DriverEffects,
  domain: string,
  key: KeyRecord,
  expected: Expected,
  right: readonly DnsView['verdict'][] = ['ok'],
): Promise<void> {
  const look = async (node: string) => ({ node, view: await effects.look(node, domain, key, expected) });
  const wrong = disagreeing(await everyNode(effects, 'credential-store', look), right);
  if (wrong !== undefined) throw new SealpostError('waiting', `node ${wrong.node}: ${wrong.view.summary}`);
}
