import { normalizeDomain } from '#shared/address/address.ts';
import { SealpostError } from '#shared/errors.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import {
  assertNoRotation,
  freezeRotation,
  resumeDomain,
  rollbackRotation,
  rotationStatus,
  startRotation,
} from '../life/rotation.ts';
import { nextOccurrence, setSchedule } from '../life/schedule.ts';
import { assertCurrent } from '../neks/nek-check.ts';
import type { DomainRecord } from '../records/domain-record.ts';
import { atNow, type Operation, type OperationDeps, requireRecord } from './deps.ts';

/** Operations on rotations and their schedules. Of two administrators who order at the same time one wins. */

export const rotationStart: Operation<'rotation-start'> = async (deps, { from, to, sideBySide, ...request }) => {
  const { records, maker, log } = deps;
  const domain = normalizeDomain(request.domain);
  const old = from?.map((selector) => selector.toLowerCase());
  const fresh = to?.map((selector) => selector.toLowerCase());
  const before = requireRecord(records.get(domain), domain);
  // Before seconds are spent on keys; the change below looks again.
  assertNoRotation(before);
  const newKeys = await maker.successors(before, old, fresh);
  const status = await change(deps, domain, (record) => {
    for (const { wrapped } of newKeys) if (wrapped !== undefined) assertCurrent(records, wrapped);
    const at = atNow(deps);
    const options = { newKeys, ...(old === undefined ? {} : { from: old }), sideBySide, by: at.node, ...at };
    return startRotation(record, options);
  });
  log.info({ domain, to: status.to, from: status.from }, 'rotation started');
  return status;
};

export const rotationShow: Operation<'rotation-show'> = ({ records }, { domain }) =>
  statusOf(requireRecord(records.get(normalizeDomain(domain)), domain));

export const rotationFreeze: Operation<'rotation-freeze'> = (deps, { domain, reason }) =>
  change(deps, domain, (record) => {
    const { now, node } = atNow(deps);
    return freezeRotation(record, { by: node, reason, now });
  });

export const rotationResume: Operation<'rotation-resume'> = async (deps, { domain }) => {
  await update(deps, domain, (record) => resumeDomain(record, atNow(deps)));
  return {};
};

export const rotationRollback: Operation<'rotation-rollback'> = (deps, { domain }) =>
  change(deps, domain, (record) => rollbackRotation(record, atNow(deps)));

export const scheduleSet: Operation<'schedule-set'> = async (deps, { days, at, parallel, ...request }) => {
  const domain = normalizeDomain(request.domain);
  const zone = request.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  const now = Date.now();
  const schedule =
    days === undefined ? undefined : { days, at, zone, parallel, next: nextOccurrence({ days, at, zone }, now) };
  const record = await update(deps, domain, (before) => setSchedule(before, schedule));
  return record.schedule === undefined ? {} : { schedule: { domain, ...record.schedule } };
};

export const scheduleList: Operation<'schedule-list'> = ({ records }) => ({
  schedules: records.all().flatMap(({ domain, schedule }) => (schedule === undefined ? [] : [{ domain, ...schedule }])),
});

async function change(
  deps: OperationDeps,
  domain: string,
  transition: (record: DomainRecord) => DomainRecord,
): Promise<RotationStatus> {
  return statusOf(await update(deps, domain, transition));
}

async function update(
  { records }: OperationDeps,
  name: string,
  transition: (record: DomainRecord) => DomainRecord,
): Promise<DomainRecord> {
  const domain = normalizeDomain(name);
  requireRecord(records.get(domain), domain);
  const { record } = await records.update(domain, (before) => transition(requireRecord(before, domain)));
  return requireRecord(record, domain);
}

/** Fails with `not-found` when there never was one. */
function statusOf(record: DomainRecord): RotationStatus {
  const status = rotationStatus(record);
  if (status !== undefined) return status;
  throw new SealpostError('not-found', `the keys of ${record.domain} were never rotated`);
}
