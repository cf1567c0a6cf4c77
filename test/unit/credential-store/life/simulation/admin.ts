import {
  activateKey,
  activatesByItself,
  addKey,
  deleteKey,
  retireKey,
  revokeKey,
} from '#services/credential-store/life/life-cycle.ts';
import {
  freezeRotation,
  resumeDomain,
  rollbackRotation,
  startRotation,
} from '#services/credential-store/life/rotation.ts';
import { setSchedule } from '#services/credential-store/life/schedule.ts';
import type { DomainRecord } from '#services/credential-store/records/domain-record.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Cluster } from './cluster.ts';
import type { Invariants } from './invariants.ts';
import { nameOf, type SimulatedNode } from './node.ts';

/** Administrators: they give orders at random nodes, and publish records by hand. */

type Change = (record: DomainRecord) => DomainRecord;

const ORDERS = {
  create: 4,
  rotate: 8,
  freeze: 1,
  resume: 2,
  rollback: 2,
  retire: 2,
  revoke: 1,
  delete: 2,
  activate: 2,
  schedule: 2,
} as const;
type Order = keyof typeof ORDERS;
const DRAWN = Object.entries(ORDERS).flatMap(([order, weight]) => Array<Order>(weight).fill(order as Order));

/** Refusals that an administrator may meet. */
const REFUSED = new Set([
  'no-quorum',
  'not-found',
  'wrong-state',
  'last-key',
  'exists',
  'rotation-under-way',
  'no-active-key',
  'no-selector',
]);

/** One order. Any failure other than a refusal is a violation. */
export async function giveOrder(cluster: Cluster, checks: Invariants): Promise<void> {
  const { chance } = cluster;
  const node = chance.of(cluster.nodes);
  if (!node.up) return;
  const [domain] = chance.of([...cluster.domains]);
  const force = chance.is(0.1);
  const order = cluster.log.get(domain) === undefined ? 'create' : chance.of(DRAWN);
  try {
    await carryOut(cluster, node, { order, domain, force });
    checks.count(order);
  } catch (error) {
    if (!REFUSED.has(errorCode(error) ?? '')) checks.violated(`${order} of ${domain}: ${errorText(error)}`);
  }
}

async function carryOut(
  cluster: Cluster,
  node: SimulatedNode,
  { order, domain, force }: { order: Order; domain: string; force: boolean },
): Promise<void> {
  const { chance } = cluster;
  const at = { now: node.wallClock, node: node.name };
  const write = (change: Change) => write_(node, domain, force, change);
  const record = node.records.get(domain);
  const selector = record === undefined || record.keys.length === 0 ? 's1' : chance.of(record.keys).selector;
  switch (order) {
    case 'create':
      return create(cluster, node, domain);
    case 'rotate': {
      if (record === undefined) return;
      const newKeys = cluster.successors(record, node);
      const sideBySide = chance.of([0, 0, 5000]);
      return write((newest) => startRotation(newest, { newKeys, sideBySide, by: node.name, ...at }));
    }
    case 'freeze':
      return write((newest) => freezeRotation(newest, { by: node.name, reason: '', now: at.now }));
    case 'resume':
      return write((newest) => resumeDomain(newest, at));
    case 'rollback':
      return write((newest) => rollbackRotation(newest, at));
    case 'retire':
      return write((newest) => retireKey(newest, selector, { ...at, force }));
    case 'revoke':
      return write((newest) => revokeKey(newest, selector, { ...at, force }));
    case 'delete':
      return write((newest) => deleteKey(newest, selector, at));
    case 'activate':
      return write((newest) => activateKey(newest, selector));
    case 'schedule': {
      const next = node.wallClock + chance.between(1000, 20_000);
      return write((newest) =>
        setSchedule(newest, { days: 1, at: '03:00', zone: 'UTC', parallel: chance.is(0.3), next }),
      );
    }
  }
}

async function create(cluster: Cluster, node: SimulatedNode, domain: string): Promise<void> {
  const { chance } = cluster;
  const algorithm = chance.of(['rsa-2048', 'rsa-2048', 'ed25519'] as const);
  const [selector = ''] = cluster.selectors(node.records.get(domain), domain, [algorithm], node);
  const key = cluster.newKey(domain, selector, algorithm, node);
  const wish = chance.of([true, false, undefined]);
  const writer = { node: node.name, life: node.life, role: 'admin' as const, forced: false };
  await node.update(
    domain,
    (newest) => addKey(newest, domain, { ...key, activate: wish ?? activatesByItself(newest, algorithm) }),
    writer,
  );
}

async function write_(node: SimulatedNode, domain: string, forced: boolean, change: Change): Promise<void> {
  const writer = { node: node.name, life: node.life, role: 'admin' as const, forced };
  const changed = (record: DomainRecord | undefined): DomainRecord => {
    if (record === undefined) throw new SealpostError('not-found', 'no keys');
    return change(record);
  };
  await node.update(domain, changed, writer);
}

/** Resume everything that is frozen or stuck. */
export async function resumeAll(cluster: Cluster): Promise<void> {
  const node = cluster.nodes.find((n) => n.up);
  for (const { domain } of cluster.log.all()) {
    if (node === undefined) return;
    const at = { now: node.wallClock, node: node.name };
    await write_(node, domain, false, (record) => resumeDomain(record, at)).catch(() => undefined);
  }
}

/** Publish, revoke and remove by hand what keys ask for; `share` of it, for the lazy. */
export function publishByHand({ log, dns, chance }: Cluster, share: number): void {
  for (const { domain, keys } of log.all()) {
    for (const key of keys) {
      if (key.publication.by !== 'manual' || !chance.is(share)) continue;
      const name = nameOf(domain, key);
      if (key.state === 'replicated' || key.state === 'published') dns.set(name, key.publicKey);
      if (key.state === 'retired') dns.set(name, key.signed && chance.is(0.5) ? '' : undefined);
      if (key.state === 'revoked') dns.set(name, undefined);
    }
  }
}
