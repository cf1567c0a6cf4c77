import { randomBytes } from 'node:crypto';
import type { Settings } from '#cluster/config/settings.ts';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Calls } from '#services/topology.ts';
import { verifyProof } from '#shared/dkim/prove.ts';
import { dkimRecordValue, revokedRecordValue } from '#shared/dkim/record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { recordName, zoneToUpdate } from '../dns/publication.ts';
import { publishTxt, removeTxt, replaceTxt } from '../dns/publish.ts';
import type { DnsViews } from '../dns/views.ts';
import type { KeyMaker } from '../making/key-maker.ts';
import type { Presence } from '../presence.ts';
import type { CredentialRecord, KeyRecord } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';
import type { DriverWorld } from './effects.ts';

/** The driver's hands: the records, the other nodes, DNS. */
export type WorldDeps = {
  settings: Settings;
  log: Logger;
  map: ReplicatedMap<CredentialRecord>;
  records: Records;
  presence: Presence;
  views: DnsViews;
  maker: KeyMaker;
  signer: Calls<'credential-store', 'signer'>;
  /** The credential-stores, that of this node among them. */
  stores: Calls<'credential-store', 'credential-store'>;
};

/** How long another node may take for one answer, in milliseconds. */
const ANSWER_MS = 15_000;

export function createWorld(deps: WorldDeps): DriverWorld {
  const { settings, log, map, records, presence, views, maker, signer, stores } = deps;
  const node = settings.current.node.name;
  return {
    node,
    now: () => Date.now(),
    records,
    log,

    live() {
      if (!mayAct(map, presence, node)) return undefined;
      const holders = presence.live();
      // No signer: nothing can be proven, and nothing signs.
      return holders.some((h) => h.kind === 'signer') ? holders : undefined;
    },

    async prove(at, domain, key) {
      const challenge = randomBytes(24).toString('base64');
      const request = { domain, selector: key.selector, challenge };
      const answer = await signer['key-prove'](request, { node: at, timeout: ANSWER_MS });
      verifyProof({ domain, ...key }, challenge, answer);
    },

    publish: (domain, key) =>
      published(key, async () => {
        const { zone, name } = place(settings, domain, key);
        await publishTxt(zone, name, dkimRecordValue(key), key.ttl);
      }),

    publishRevocation: (domain, key) =>
      published(key, async () => {
        const { zone, name } = place(settings, domain, key);
        await replaceTxt(zone, name, [dkimRecordValue(key)], revokedRecordValue(key), key.ttl);
      }),

    removeRecord: (domain, key) =>
      published(key, async () => {
        const { zone, name } = place(settings, domain, key);
        await removeTxt(zone, name, [dkimRecordValue(key), revokedRecordValue(key)]);
      }),

    look(at, domain, key, expected) {
      if (at === node) return views.look(domain, key, expected);
      return stores['record-resolve']({ domain, selector: key.selector, expected }, { node: at, timeout: ANSWER_MS });
    },

    timing: () => timingOf(settings),

    makeKeys: (record) => maker.successors(record),
  };
}

/** How long a replaced key stays in DNS, and how long its empty record; in ms. */
function timingOf(settings: Settings): { retireAfter: number; keepRevoked: number } {
  const { keys, queue } = settings.current;
  const retireAfter = keys['retire-after'] === 0 ? queue.expire + keys.ttl : keys['retire-after'];
  return { retireAfter, keepRevoked: keys['keep-revoked'] };
}

/**
 * Whether this process knows what is and who lives, so that it may act for all: it follows, has listened for a while, and
 * is the only one of its node's name, or the oldest.
 */
export function mayAct(map: Pick<ReplicatedMap<CredentialRecord>, 'state'>, presence: Presence, node: string): boolean {
  return map.state === 'local' || (map.state === 'following' && presence.settled && !presence.hasElder(node));
}

/** What an administrator publishes by hand is only looked at. */
async function published(key: KeyRecord, act: () => Promise<void>): Promise<void> {
  if (key.publication.by === 'update' || key.publication.by === 'cname') await act();
}

function place(settings: Settings, domain: string, key: KeyRecord) {
  try {
    return { zone: zoneToUpdate(domain, key, settings.current), name: recordName(domain, key) };
  } catch (error) {
    // The node lacks a setting: that is no verdict of the zone's server, and may be mended any time.
    throw error instanceof SealpostError ? new SealpostError('dns-failed', error.message) : error;
  }
}
