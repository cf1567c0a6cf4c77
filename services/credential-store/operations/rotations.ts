import { normalizeDomain } from '#shared/address.ts';
import type { Handlers } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { CredentialStoreContract, RotationStatus } from '../contract.ts';
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
import { type Office, requireRecord } from './deps.ts';

/** Operations on rotations and their schedules. Each is one compare-and-set: of two administrators one wins. */

type RotationOperations = Pick<
  Handlers<CredentialStoreContract>,
  'rotation-start' | 'rotation-freeze' | 'rotation-resume' | 'rotation-rollback' | 'schedule-set'
>;

export function rotationOperations(office: () => Office): RotationOperations {
  return {
    async 'rotation-start'({ from, to, sideBySide, ...request }) {
      const { records, maker, settings, log } = office();
      const domain = normalizeDomain(request.domain);
      const old = from?.map((s) => s.toLowerCase());
      const by = settings.current.node.name;
      const before = requireRecord(records.get(domain), domain);
      // Before seconds are spent on keys; the change below looks again.
      assertNoRotation(before);
      const newKeys = await maker.successors(
        before,
        old,
        to?.map((s) => s.toLowerCase()),
      );
      const status = await change(office(), domain, (record) => {
        for (const { wrapped } of newKeys) if (wrapped !== undefined) assertCurrent(records, wrapped);
        return startRotation(record, {
          newKeys,
          ...(old === undefined ? {} : { from: old }),
          sideBySide,
          by,
          node: by,
          now: Date.now(),
        });
      });
      log.info({ domain, to: status.to, from: status.from }, 'rotation begun');
      return status;
    },

    'rotation-freeze': ({ domain, reason }) => {
      const by = office().settings.current.node.name;
      return change(office(), domain, (record) => freezeRotation(record, { by, reason, now: Date.now() }));
    },

    async 'rotation-resume'({ domain }) {
      const node = office().settings.current.node.name;
      await update(office(), domain, (record) => resumeDomain(record, { node, now: Date.now() }));
      return {};
    },

    'rotation-rollback': ({ domain }) => {
      const node = office().settings.current.node.name;
      return change(office(), domain, (record) => rollbackRotation(record, { node, now: Date.now() }));
    },

    async 'schedule-set'({ days, at, parallel, ...request }) {
      const domain = normalizeDomain(request.domain);
      const zone = request.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
      const now = Date.now();
      const schedule =
        days === undefined ? undefined : { days, at, zone, parallel, next: nextOccurrence({ days, at, zone }, now) };
      const record = await update(office(), domain, (before) => setSchedule(before, schedule));
      return record.schedule === undefined ? {} : { schedule: { domain, ...record.schedule } };
    },
  };
}

async function update(
  office: Office,
  name: string,
  step: (record: DomainRecord) => DomainRecord,
): Promise<DomainRecord> {
  const domain = normalizeDomain(name);
  requireRecord(office.records.get(domain), domain);
  const { record } = await office.records.update(domain, (before) => step(requireRecord(before, domain)));
  return requireRecord(record, domain);
}

async function change(
  office: Office,
  domain: string,
  step: (record: DomainRecord) => DomainRecord,
): Promise<RotationStatus> {
  const status = rotationStatus(await update(office, domain, step));
  if (status === undefined) throw new SealpostError('not-found', `the keys of ${domain} were never rotated`);
  return status;
}
