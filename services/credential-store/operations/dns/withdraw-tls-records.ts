import { stsRecordName } from '#shared/mta-sts/own-policy.ts';
import { checkRecords } from '../../dns/proof.ts';
import { type UpdatableZone, updatableZone } from '../../dns/publication.ts';
import { removeTxt } from '../../dns/publish.ts';
import { updateTlsa } from '../../dns/publish-tlsa.ts';
import { ageAfter, expectNone, oursAmong, typeAt, waitingFor } from '../../dns/tls-records.ts';
import type { PublishedValue } from '../../records/published-record.ts';
import type { Operation } from '../deps.ts';
import { type Place, settled } from './tls-records.ts';

/** What we published about our TLS, and how it is taken out of DNS again. */

export const tlsRecordList: Operation<'tls-record-list'> = async ({ settings, records }) => ({
  node: settings.current.node.name,
  names: records.publishedNames().toSorted(),
});

export const tlsRecordWithdraw: Operation<'tls-record-withdraw'> = async (deps, { name, write, answered }) => {
  const { settings, records } = deps;
  const { dns, keys } = settings.current;
  const type = typeAt(name);
  const zone = updatableZone(name, dns.zones);
  const before = records.published(name);
  const ours = before.values.map(({ value }) => value);
  const about = {
    ...{ node: settings.current.node.name, name, type, ttl: Math.round(keys.ttl / 1000) },
    by: zone === undefined ? ('manual' as const) : ('update' as const),
  };
  const look = () => checkRecords(dns, name, expectNone(type, ours));
  if (name.startsWith(stsRecordName(''))) {
    const after = ageAfter(before, { maxAge: 0 }, Date.now());
    if (write && ours.length > 0) await records.updatePublished(name, (now) => ({ ...now, ...after }));
    if (after.kept !== undefined && Date.now() < after.kept) {
      const detail = 'senders may have the policy until then, and look for another one here (RFC 8461 §8.3)';
      return { ...about, state: 'kept', detail, values: ours, kept: after.kept };
    }
  }
  const nodes = [...new Set(before.values.flatMap((one) => waitingFor(one, answered)))].sort();
  if (nodes.length > 0) {
    const detail = 'they do not answer, and may come back with the certificate that they had';
    return { ...about, state: 'kept', detail, values: ours, nodes };
  }
  let seen = await look();
  if (write && zone !== undefined && seen.verdict !== 'ok') {
    // Also what no server showed: they may be out of reach for questions alone.
    await remove({ ...about, zone }, [...new Set([...oursAmong(type, seen.found, ours), ...ours])]);
    deps.log.info({ name, type, values: ours }, 'TLS record withdrawn');
    seen = await settled(look);
  }
  if (write && seen.verdict === 'ok') await records.updatePublished(name, () => ({ values: [] }));
  const otherwise = write && zone !== undefined ? 'pending' : 'due';
  const state = seen.verdict === 'ok' ? 'withdrawn' : otherwise;
  return { ...about, state, detail: seen.summary, values: oursAmong(type, seen.found, ours) };
};

async function remove({ name, type, ttl, zone }: Place & { zone: UpdatableZone }, values: string[]): Promise<void> {
  if (type === 'TLSA') await updateTlsa(zone, { name, values: [], ttl }, values);
  else await removeTxt(zone, name, values);
}

export const tlsRecordForget: Operation<'tls-record-forget'> = async ({ records }, { node }) => {
  let count = 0;
  for (const name of records.publishedNames()) {
    const without = (one: PublishedValue): PublishedValue => {
      const { nodes, ...rest } = one;
      const left = nodes?.filter((other) => other !== node) ?? [];
      return left.length > 0 ? { ...rest, nodes: left } : rest;
    };
    const isNamed = records.published(name).values.filter(({ nodes }) => nodes?.includes(node));
    if (isNamed.length === 0) continue;
    await records.updatePublished(name, (before) => ({ ...before, values: before.values.map(without) }));
    count += isNamed.length;
  }
  return { count };
};
