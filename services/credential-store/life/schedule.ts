import { SealpostError } from '#shared/errors.ts';
import type { DomainRecord, Schedule } from '../records/domain-record.ts';
import { withKeys, withoutProblem } from '../records/record-change.ts';

/** When scheduled rotations are due: every so many days, at a time of day in the administrator's time zone. */

const DAY_MS = 86_400_000;

/**
 * The time, in ms since 1970, that is `at` (HH:MM) in `zone`, `days` calendar days after the day of `last`. A time that a
 * clock change skips is read as if the clock had not changed (02:30 becomes 03:30), and of a time that occurs twice the
 * first is meant: RFC 5545 §3.3.5. Fails with `invalid-schedule`.
 */
export function nextOccurrence({ days, at, zone }: Pick<Schedule, 'days' | 'at' | 'zone'>, last: number): number {
  const [, hour, minute] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(at) ?? [];
  if (hour === undefined || minute === undefined)
    throw invalid(`"${at}" is not a time of day: write HH:MM, 00:00 to 23:59`);
  if (!Number.isInteger(days) || days < 1)
    throw invalid(`a rotation every ${days} days is not possible: the minimum is one day`);
  const clock = clockIn(zone);
  const day = Math.floor(clock(last) / DAY_MS) + days;
  const wanted = day * DAY_MS + (Number(hour) * 60 + Number(minute)) * 60_000;
  // How far local time is ahead of UTC a day before and a day after: where they differ, the clock changes in between.
  const [before, after] = [-DAY_MS, DAY_MS].map((aside) => wanted - offsetOf(clock, wanted + aside));
  if (before === undefined || after === undefined) throw new Error('unreachable');
  return clock(before) !== wanted && clock(after) === wanted ? after : before;
}

/** Give the domain a schedule, or none. */
export function setSchedule(record: DomainRecord, schedule: Schedule | undefined): DomainRecord {
  const { schedule: _old, ...rest } = withoutScheduleProblem(record);
  return schedule === undefined ? rest : { ...rest, schedule };
}

/** The record without the problem that kept a scheduled rotation from starting, which was recorded in the active keys. */
export function withoutScheduleProblem(record: DomainRecord): DomainRecord {
  const active = record.keys.filter((k) => k.state === 'active' && k.problem?.permanent === false);
  return withKeys(
    record,
    active.map((k) => k.selector),
    withoutProblem,
  );
}

type Clock = (time: number) => number;

/** Local time for a UTC time, both in ms, the local one counted as if it were UTC. */
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
    throw invalid(`"${zone}" is not a time zone: use a name like Europe/Berlin, or UTC`);
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
