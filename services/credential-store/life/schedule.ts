import { SealpostError } from '#shared/errors.ts';
import type { DomainRecord, Schedule } from '../records/domain-record.ts';
import { withKeys, withoutProblem } from '../records/record-change.ts';

/** When scheduled rotations are due: every so many days, at a time of day where the administrator lives. */

const DAY_MS = 86_400_000;

/**
 * The time, in ms since 1970, that is `at` (HH:MM) in `zone` on the day that comes `days` calendar days after the day
 * of `last`. A time that a clock change skips is taken as if the clock had not been changed (02:30 becomes 03:30), and
 * of one that comes twice the first is taken: RFC 5545 §3.3.5. Fails with `invalid-schedule`.
 */
export function nextOccurrence({ days, at, zone }: Pick<Schedule, 'days' | 'at' | 'zone'>, last: number): number {
  const [, hour, minute] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(at) ?? [];
  if (hour === undefined || minute === undefined)
    throw invalid(`"${at}" is no time of day: write HH:MM, 00:00 to 23:59`);
  if (!Number.isInteger(days) || days < 1)
    throw invalid(`a rotation every ${days} days cannot be: one day is the least`);
  const clock = clockIn(zone);
  const day = Math.floor(clock(last) / DAY_MS) + days;
  const wanted = day * DAY_MS + (Number(hour) * 60 + Number(minute)) * 60_000;
  // What the clock was ahead of UTC a day before, and a day after: where they differ it is changed in between.
  const [before, after] = [-DAY_MS, DAY_MS].map((aside) => wanted - offsetOf(clock, wanted + aside));
  if (before === undefined || after === undefined) throw new Error('unreachable');
  return clock(before) !== wanted && clock(after) === wanted ? after : before;
}

/** Give the domain a schedule, or none. */
export function setSchedule(record: DomainRecord, schedule: Schedule | undefined): DomainRecord {
  const { schedule: _old, ...rest } = withoutRotationTrouble(record);
  return schedule === undefined ? rest : { ...rest, schedule };
}

/** The record without what kept the scheduled rotation from its start; it was noted at the active keys. */
export function withoutRotationTrouble(record: DomainRecord): DomainRecord {
  const active = record.keys.filter((k) => k.state === 'active' && k.problem?.permanent === false);
  return withKeys(
    record,
    active.map((k) => k.selector),
    withoutProblem,
  );
}

type Clock = (time: number) => number;

/** Local time by UTC time, both in ms, the local one counted as if it were UTC. */
function clockIn(zone: string): Clock {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-u-ca-gregory-nu-latn', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch {
    throw invalid(`"${zone}" is no time zone: name one like Europe/Berlin, or UTC`);
  }
  return (time) => {
    const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second) + (time % 1000);
  };
}

const offsetOf = (clock: Clock, time: number): number => clock(time) - time;

function invalid(message: string): SealpostError {
  return new SealpostError('invalid-schedule', message);
}
