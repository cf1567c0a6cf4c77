import { randomBytes } from 'node:crypto';
import type { Settings } from '#cluster/config/settings.ts';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Calls } from '#services/topology.ts';
import { verifyProof } from '#shared/dkim/prove.ts';
import { dkimRecordValue, revokedRecordValue } from '#shared/dkim/record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import type { Logger } from '#shared/log.ts';
import { recordName, zoneToUpdate } from '../dns/publication.ts';
import { publishTxt, removeTxt, replaceTxt } from '../dns/publish.ts';
import { troubleError } from '../dns/trouble.ts';
import type { DnsViews, Expected } from '../dns/views.ts';
import type { KeyMaker } from '../making/key-maker.ts';
import type { Presence } from '../presence.ts';
import type { CredentialRecord, KeyRecord } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';
import type { DriverEffects, Timing } from './effects.ts';

/** What the driver reads and does on a running node: the records, the other nodes, DNS. */
export type NodeEffectsDeps = {
  settings: Settings;
  log: Logger;
  map: ReplicatedMap<CredentialRecord>;
  records: Records;
  presence: Presence;
  views: DnsViews;
  maker: KeyMaker;
  signer: Calls<'credential-store', 'signer'>;
  /** The credential-stores of all nodes, this one included. */
  stores: Calls<'credential-store', 'credential-store'>;
};

/** How long another node may take for one answer. */
const ANSWER_MS = 15_000;

export function createNodeEffects(deps: NodeEffectsDeps): DriverEffects {
  const { settings, log, records, maker } = deps;
  return {
    node: settings.current.node.name,
    now: () => Date.now(),
    records,
    log,
    live: () => liveHolders(deps),
    prove: (node, domain, key) => prove(deps, node, domain, key),
    look: (node, domain, key, expected) => look(deps, node, domain, { key, expected }),

    publish: (domain, key) =>
      published(key, async () => {
        const { zone, name } = place(settings, domain, key);
        await publishTxt(zone, { name, value: dkimRecordValue(key), ttl: key.ttl });
      }),

    publishRevocation: (domain, key) =>
      published(key, async () => {
        const { zone, name } = place(settings, domain, key);
        await replaceTxt(zone, { name, value: revokedRecordValue(key), ttl: key.ttl }, [dkimRecordValue(key)]);
      }),

    removeRecord: (domain, key) =>
      published(key, async () => {
        const { zone, name } = place(settings, domain, key);
        await removeTxt(zone, name, [dkimRecordValue(key), revokedRecordValue(key)]);
      }),

    timing: () => timingOf(settings),
    makeKeys: (record) => maker.successors(record),
  };
}

function liveHolders({ map, presence, settings }: NodeEffectsDeps): Holder[] | undefined {
  if (!mayAct(map, presence, settings.current.node.name)) return undefined;
  const holders = presence.live();
  // Without a signer nothing can be proven, and nothing signs.
  return holders.some((h) => h.kind === 'signer') ? holders : undefined;
}

async function prove({ signer }: NodeEffectsDeps, node: string, domain: string, key: KeyRecord): Promise<void> {
  const challenge = randomBytes(24).toString('base64');
  const request = { domain, selector: key.selector, challenge };
  const answer = await signer['key-prove'](request, { node, timeout: ANSWER_MS });
  verifyProof({ domain, ...key }, challenge, answer);
}

function look(
  { settings, views, stores }: NodeEffectsDeps,
  node: string,
  domain: string,
  { key, expected }: { key: KeyRecord; expected: Expected },
): Promise<DnsView> {
  if (node === settings.current.node.name) return views.look(domain, key, expected);
  return stores['record-resolve']({ domain, selector: key.selector, expected }, { node, timeout: ANSWER_MS });
}

function timingOf(settings: Settings): Timing {
  const { keys, queue } = settings.current;
  const retireAfterMs = keys['retire-after'] === 0 ? queue.expire + keys.ttl : keys['retire-after'];
  return { retireAfterMs, keepRevokedMs: keys['keep-revoked'] };
}

/**
 * Whether this process knows the records and which processes are live, so that it may act for all: it follows, has
 * listened for a while, has a NEK, and is the only one of its node's name, or the oldest.
 */
export function mayAct(
  map: Pick<ReplicatedMap<CredentialRecord>, 'state' | 'canChange'>,
  presence: Presence,
  node: string,
): boolean {
  if (map.state === 'local') return true;
  return map.state === 'following' && map.canChange && presence.settled && !presence.hasElder(node);
}

/** A record that an administrator publishes by hand is never written. */
async function published(key: KeyRecord, update: () => Promise<void>): Promise<void> {
  if (key.publication.by === 'update' || key.publication.by === 'cname') await update();
}

/** Where the key's record is to be written. */
function place(settings: Settings, domain: string, key: KeyRecord) {
  try {
    return { zone: zoneToUpdate(domain, key, settings.current), name: recordName(domain, key) };
  } catch (error) {
    throw error instanceof SealpostError ? troubleError('settings of one node', error.message) : error;
  }
}
