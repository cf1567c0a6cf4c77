import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '#cluster/config/schema/schema.ts';
import { isSameText } from '#shared/dns/txt.ts';
import { SealpostError } from '#shared/errors.ts';
import { stsRecordValue } from '#shared/mta-sts/own-policy.ts';
import type { TlsDnsRecord, TlsDnsRecordStatus } from '#shared/tls/dns-record.ts';
import { authorityOf, ResolverChain } from '../../dns/authority.ts';
import { isSigned } from '../../dns/dnssec.ts';
import { checkRecords, DNS_PORT, type DnsVerdict } from '../../dns/proof.ts';
import { type UpdatableZone, updatableZone } from '../../dns/publication.ts';
import { replaceTxt } from '../../dns/publish.ts';
import { updateTlsa } from '../../dns/publish-tlsa.ts';
import { ageAfter, expectPlan, placeOf, planOf, type RecordPlan } from '../../dns/tls-records.ts';
import type { Published, PublishedValue } from '../../records/published-record.ts';
import type { Operation, OperationDeps } from '../deps.ts';

/** The records that tell other servers of our TLS: what they should be, what DNS has, and how the one becomes the other. */

/** How long secondaries may take before the answer says that they have not followed yet. */
const SETTLE_MS = 20_000;
const LOOK_AGAIN_MS = 500;

export const tlsRecordPublish: Operation<'tls-record-publish'> = async (deps, { record, write, replace }) => {
  const { settings, records } = deps;
  const { dns, keys } = settings.current;
  const { name, type } = placeOf(record);
  const zone = updatableZone(name, dns.zones);
  const ttl = Math.round(keys.ttl / 1000);
  const before = records.published(name);
  const plan = planOf(record, before.values);
  const { kept } = record.kind === 'mta-sts' && record.maxAge === 0 ? agesOf(record, before) : {};
  const place: Place = { name, type, ttl, zone };
  if (record.kind === 'tlsa') {
    const unsigned = await unsignedZone(dns, record);
    if (unsigned !== undefined) return statusOf(deps, place, plan, { state: 'no-effect', detail: unsigned, found: [] });
  }
  const look = (): Promise<DnsVerdict> => checkRecords(dns, name, expectPlan(type, plan));
  let seen = await look();
  if (!write) return { ...statusOf(deps, place, plan, seenAs(seen, 'due')), ...(kept !== undefined && { kept }) };
  await records.updatePublished(name, (before) => ({
    ...before,
    values: remembered(planOf(record, before.values)),
    ...(record.kind === 'mta-sts' && agesOf(record, before)),
  }));
  const replaced = replace ? othersOf(type, plan, seen.found) : [];
  if (zone !== undefined && (seen.verdict !== 'ok' || replaced.length > 0)) {
    await change(place, zone, plan, replaced);
    deps.log.info({ name, type, values: plan.values.map(({ value }) => value) }, 'TLS record published');
    seen = await settled(look);
  }
  const values = seen.verdict === 'ok' ? await noteSeen(deps, name, plan) : plan.values;
  const status = statusOf(deps, place, { ...plan, values }, seenAs(seen, zone === undefined ? 'due' : 'pending'));
  return { ...status, ...(kept !== undefined && { kept }) };
};

function agesOf(record: TlsDnsRecord & { kind: 'mta-sts' }, before: Published): Partial<Published> {
  const { maxAge } = record;
  // A command of an earlier version does not say.
  if (maxAge === undefined) return {};
  return ageAfter(before, { value: stsRecordValue(record.id), maxAge }, Date.now());
}

export type Place = {
  name: string;
  type: 'TXT' | 'TLSA';
  ttl: number;
  zone: UpdatableZone | undefined;
};
type Seen = Pick<TlsDnsRecordStatus, 'state' | 'detail'> & { found: readonly string[] };

/** Why a TLSA record would do nothing; undefined where it does. Fails as DNS does. */
async function unsignedZone(dns: Config['dns'], record: TlsDnsRecord & { kind: 'tlsa' }): Promise<string | undefined> {
  const resolver = new ResolverChain(dns);
  try {
    const { zone } = await authorityOf(dns, resolver, placeOf(record).name, DNS_PORT);
    if (await isSigned(resolver, zone)) return undefined;
    return `the zone ${zone} is not signed (DNSSEC), and others follow TLSA records only where DNSSEC proves them: sign the zone, and have its DS record entered at the registrar`;
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    const text = `whether DNSSEC protects ${record.host} cannot be told: ${resolver.text} ${error.message}`;
    throw new SealpostError(error.code, text, { cause: error });
  }
}

/** What is ours at the name from now on: also what should go, until all servers say that it has gone. */
function remembered({ values, obsolete }: RecordPlan): PublishedValue[] {
  return [...values, ...obsolete.map((value) => ({ value, role: 'current' as const }))];
}

async function change(
  { name, type, ttl }: Place,
  zone: UpdatableZone,
  { values, obsolete }: RecordPlan,
  replaced: readonly string[],
): Promise<void> {
  const remove = [...obsolete, ...replaced];
  if (type === 'TLSA') {
    await updateTlsa(zone, { name, values: values.map(({ value }) => value), ttl }, remove);
    return;
  }
  const otherwise = 'remove it, or let --replace put ours in its place';
  for (const { value } of values) await replaceTxt(zone, { name, value, ttl }, remove, { otherwise });
}

/** What DNS says when all servers have it, or after a while. */
export async function settled(look: () => Promise<DnsVerdict>): Promise<DnsVerdict> {
  const end = performance.now() + SETTLE_MS;
  for (;;) {
    const seen = await look();
    if (seen.verdict === 'ok' || performance.now() > end) return seen;
    await delay(LOOK_AGAIN_MS);
  }
}

/** All servers have exactly what is ours: caches that ask from now on get that, and what has gone is forgotten. */
async function noteSeen({ records }: OperationDeps, name: string, plan: RecordPlan): Promise<PublishedValue[]> {
  const now = Date.now();
  const values = plan.values.map((one) => ({ ...one, seen: one.seen ?? now }));
  await records.updatePublished(name, (before) => ({ ...before, values }));
  return values;
}

/** `otherwise`: the state where not every server has it. */
function seenAs({ verdict, summary, found }: DnsVerdict, otherwise: TlsDnsRecordStatus['state']): Seen {
  return { state: verdict === 'ok' ? 'published' : otherwise, detail: summary, found };
}

/** Records at the name that we did not publish, of the same kind. */
function othersOf(type: Place['type'], { values, obsolete }: RecordPlan, found: readonly string[]): string[] {
  const own = [...values.map(({ value }) => value), ...obsolete];
  const version = own[0]?.split(';')[0] ?? '';
  return found.filter((text) =>
    type === 'TLSA' ? !own.includes(text) : text.startsWith(version) && !own.some((value) => isSameText(text, value)),
  );
}

function statusOf(
  { settings }: OperationDeps,
  { name, type, ttl, zone }: Place,
  plan: RecordPlan,
  { state, detail, found }: Seen,
): TlsDnsRecordStatus {
  const next = plan.values.filter(({ role }) => role === 'next');
  const isThere = state === 'published' && next.length > 0 && next.every(({ seen }) => seen !== undefined);
  // After one TTL no cache has the former set (RFC 7671 §8.1); the second is for servers that cannot be asked one by one.
  const usable = Math.max(...next.map(({ seen = 0 }) => seen)) + 2 * ttl * 1000;
  return {
    node: settings.current.node.name,
    ...{ name, type, ttl, state, detail },
    values: plan.values.map((one) => {
      const nodes = plan.stays.get(one.value) ?? [];
      return { value: one.value, role: one.role, ...(nodes.length > 0 && { nodes }) };
    }),
    by: zone === undefined ? 'manual' : 'update',
    obsolete: plan.obsolete.filter((value) => found.includes(value)),
    others: othersOf(type, plan, found),
    ...(isThere && { usable }),
  };
}
