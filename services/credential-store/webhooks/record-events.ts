import { createHash } from 'node:crypto';
import { z } from 'zod';
import { chainIn, hostNames } from '#cluster/certificates/pair.ts';
import { KeyAlgorithm, KeyState } from '#shared/keys/key.ts';
import type { EventData, EventType, WebhookEvent } from '#shared/webhooks/events.ts';
import type { CertificateRecord } from '../records/certificate-record.ts';
import type { CredentialRecord, DomainRecord, KeyRecord, Rotation } from '../records/domain-record.ts';

/**
 * What webhooks are told of a change of a record: the difference between what they were told before and the record as it is.
 * Pure. An event gets its id and its time from the record, so that every node makes the same event of the same change.
 */

/** A certificate that ends within so long is told of. */
export const EXPIRING_MS = 7 * 86_400_000;

/** What was told of a record. */
export const Told = z.object({
  keys: z
    .record(
      z.string(),
      z.object({ state: KeyState, algorithm: KeyAlgorithm, fingerprint: z.string(), compromised: z.boolean() }),
    )
    .optional(),
  rotation: z.object({ id: z.string(), frozen: z.boolean(), switched: z.boolean(), ended: z.boolean() }).optional(),
  certificate: z
    .object({
      /** SHA-256 of the one in use, and whether it was told that it ends. */
      fingerprint: z.string().optional(),
      expiring: z.boolean(),
      /** The order that was begun last. */
      term: z.number().int(),
      /** Since when orders fail. */
      failing: z.number().optional(),
    })
    .optional(),
});
export type Told = z.infer<typeof Told>;

/** `at`: when the newest version of the record was written, ms since 1970. `now` decides what expires. */
type Moment = { at: number; now: number };

/** What is true of a record now; undefined where webhooks are told nothing of its kind. */
export function toldOf(record: CredentialRecord, now: number): Told | undefined {
  if (record.kind === 'domain') return toldOfDomain(record);
  if (record.kind !== 'certificate') return undefined;
  const { acme, current } = record;
  const own = current && ownCertificate(record.name, current.chain);
  return {
    certificate: {
      ...(own !== undefined && { fingerprint: own.fingerprint }),
      expiring: own !== undefined && own.until - now < EXPIRING_MS,
      term: acme?.term ?? 0,
      ...(acme?.problem !== undefined && { failing: acme.problem.since }),
    },
  };
}

/** What is new since `before`; undefined: nothing was told. A record that is gone is undefined. */
export function eventsOf(
  before: Told | undefined,
  name: string,
  record: CredentialRecord | undefined,
  moment: Moment,
): WebhookEvent[] {
  if (record === undefined) return deletedKeys(name, before?.keys ?? {}, () => moment.at);
  if (record.kind === 'domain')
    return [...keyEvents(before, record, moment), ...rotationEvents(before, record, moment)];
  return record.kind === 'certificate' ? certificateEvents(before, record, moment) : [];
}

function toldOfDomain({ keys, rotation }: DomainRecord): Told {
  return {
    keys: Object.fromEntries(
      keys.map(({ selector, state, algorithm, fingerprint, compromised = false }) => [
        selector,
        { state, algorithm, fingerprint, compromised },
      ]),
    ),
    ...(rotation !== undefined && {
      rotation: {
        id: rotation.id,
        frozen: rotation.frozen !== undefined,
        switched: rotation.switched !== undefined,
        ended: rotation.ended !== undefined,
      },
    }),
  };
}

function keyEvents(before: Told | undefined, { domain, keys, used }: DomainRecord, { at }: Moment): WebhookEvent[] {
  const told = before?.keys ?? {};
  const news = keys.filter(({ selector, state, fingerprint }) => {
    const known = told[selector];
    return known?.state !== state || known.fingerprint !== fingerprint;
  });
  const there = new Set(keys.map(({ fingerprint }) => fingerprint));
  const gone = Object.fromEntries(Object.entries(told).filter(([, { fingerprint }]) => !there.has(fingerprint)));
  const deletedAt = (selector: string): number => used.find((one) => one.selector === selector)?.deleted ?? at;
  return [...deletedKeys(domain, gone, deletedAt), ...news.map((key) => keyEvent(domain, key))];
}

const typeOf = (state: KeyState): EventType => (state === 'active' ? 'key.activated' : `key.${state}`);

function keyEvent(domain: string, { selector, algorithm, state, fingerprint, compromised, since }: KeyRecord) {
  const data = { domain, selector, algorithm, state, fingerprint, compromised: compromised === true };
  return event(typeOf(state), since, data, [domain], [domain, selector, fingerprint]);
}

function deletedKeys(
  domain: string,
  keys: NonNullable<Told['keys']>,
  deletedAt: (selector: string) => number,
): WebhookEvent[] {
  return Object.entries(keys).map(([selector, { algorithm, fingerprint, compromised }]) => {
    const data = { domain, selector, algorithm, state: 'deleted' as const, fingerprint, compromised };
    return event('key.deleted', deletedAt(selector), data, [domain], [domain, selector, fingerprint]);
  });
}

function rotationEvents(before: Told | undefined, { domain, rotation }: DomainRecord, { at }: Moment): WebhookEvent[] {
  if (rotation === undefined) return [];
  const { frozen, switched, ended } = rotation;
  const told = before?.rotation?.id === rotation.id ? before.rotation : undefined;
  const make = (type: EventType, time: number): WebhookEvent => rotationEvent(type, time, domain, rotation);
  const events: WebhookEvent[] = [];
  if (told === undefined) events.push(make('rotation.started', rotation.started));
  if (frozen !== undefined && told?.frozen !== true) events.push(make('rotation.frozen', frozen.at));
  if (frozen === undefined && told?.frozen === true && ended === undefined) events.push(make('rotation.resumed', at));
  if (switched !== undefined && told?.switched !== true) events.push(make('rotation.switched', switched.at));
  if (ended !== undefined && told?.ended !== true)
    events.push(make(ended.how === 'done' ? 'rotation.completed' : 'rotation.rolled_back', ended.at));
  return events;
}

function rotationEvent(type: EventType, time: number, domain: string, { id, by, from, to, frozen }: Rotation) {
  const reason = type === 'rotation.frozen' ? frozen?.reason : undefined;
  const data = { domain, rotation: id, by, from, to, ...(reason !== undefined && { reason }) };
  return event(type, time, data, [domain], [domain, id]);
}

function certificateEvents(before: Told | undefined, record: CertificateRecord, { at, now }: Moment): WebhookEvent[] {
  const { name, current, acme } = record;
  const told = before?.certificate;
  const data = certificateData(record);
  const { fingerprint } = data;
  const make = (type: EventType, time: number, mark: unknown): WebhookEvent =>
    event(type, time, data, data.names, [name, mark]);
  const events: WebhookEvent[] = [];
  if (acme?.node !== undefined && acme.term !== (told?.term ?? 0))
    events.push(make('certificate.ordered', at, acme.term));
  if (acme?.problem !== undefined && acme.problem.since !== told?.failing)
    events.push(make('certificate.failing', acme.problem.since, acme.problem.since));
  if (current === undefined || fingerprint === undefined) return events;
  const isNew = fingerprint !== told?.fingerprint;
  if (isNew) {
    const type = current.origin === 'acme' ? 'certificate.renewed' : 'certificate.imported';
    events.push(make(type, current.since, fingerprint));
  }
  const { until } = ownCertificate(name, current.chain);
  if (until - now < EXPIRING_MS && (isNew || told?.expiring !== true))
    events.push(make('certificate.expiring', Math.max(until - EXPIRING_MS, current.since), fingerprint));
  return events;
}

function certificateData({ name, current, acme }: CertificateRecord): EventData<'certificate.renewed'> {
  const own = current && ownCertificate(name, current.chain);
  const problem = acme?.problem;
  return {
    name,
    names: own?.names ?? acme?.order?.names ?? [],
    ...(own !== undefined && { fingerprint: own.fingerprint, expires: new Date(own.until).toISOString() }),
    ...(problem !== undefined && { problem: problem.text, tries: problem.tries }),
  };
}

function ownCertificate(name: string, chain: string) {
  const [own] = chainIn(`certificate ${name}`, chain);
  return { fingerprint: own.fingerprint256, until: own.validToDate.getTime(), names: hostNames(own) };
}

function event<T extends EventType>(
  type: T,
  at: number,
  data: EventData<T>,
  domains: readonly string[],
  mark: readonly unknown[],
): WebhookEvent {
  const hash = createHash('sha256')
    .update(JSON.stringify([type, at, ...mark]))
    .digest('base64url');
  return { id: `evt_${hash.slice(0, 22)}`, type, at, data, domains };
}
