import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextOccurrence, setSchedule } from '#services/credential-store/life/schedule.ts';
import { noteProblem } from '#services/credential-store/life/transitions.ts';
import { AT, keyIn, recordWith } from '#test/unit/credential-store/records/fixture.ts';

const CASES: [what: string, zone: string, at: string, days: number, last: string, next: string][] = [
  // The clock goes from 02:00 to 03:00 on 2026-03-29: 02:30 is not there.
  ['skipped by summer time', 'Europe/Berlin', '02:30', 1, '2026-03-28T12:00:00Z', '2026-03-29T01:30:00Z'],
  // From 03:00 back to 02:00 on 2026-10-25: 02:30 comes twice.
  ['twice at the end of summer time', 'Europe/Berlin', '02:30', 1, '2026-10-24T12:00:00Z', '2026-10-25T00:30:00Z'],
  ['before the change', 'Europe/Berlin', '01:30', 1, '2026-03-28T12:00:00Z', '2026-03-29T00:30:00Z'],
  ['after the change', 'Europe/Berlin', '03:00', 1, '2026-03-28T12:00:00Z', '2026-03-29T01:00:00Z'],
  ['the day after', 'Europe/Berlin', '03:00', 1, '2026-03-29T12:00:00Z', '2026-03-30T01:00:00Z'],
  ['over the change', 'America/New_York', '03:00', 30, '2026-10-20T07:00:04Z', '2026-11-19T08:00:00Z'],
  ['west of midnight', 'America/Los_Angeles', '23:59', 1, '2026-07-01T06:30:00Z', '2026-07-02T06:59:00Z'],
  ['east of midnight', 'Pacific/Kiritimati', '00:00', 1, '2026-07-01T09:59:00Z', '2026-07-01T10:00:00Z'],
  ['half an hour of change', 'Australia/Lord_Howe', '02:15', 1, '2026-10-03T00:00:00Z', '2026-10-03T15:45:00Z'],
  ['no change at all', 'UTC', '03:00', 90, '2026-11-23T03:00:07Z', '2027-02-21T03:00:00Z'],
  ['a day without midnight', 'America/Havana', '00:30', 1, '2026-03-07T12:00:00Z', '2026-03-08T05:30:00Z'],
];

for (const [what, zone, at, days, last, next] of CASES) {
  test(`the next rotation, ${what}`, () => {
    const time = nextOccurrence({ days, at, zone }, Date.parse(last));
    assert.equal(new Date(time).toISOString(), new Date(next).toISOString());
  });
}

test('a year of daily rotations: each comes after the last, 23 to 25 hours apart, never twice a day', () => {
  for (const zone of ['Europe/Berlin', 'America/Havana', 'Australia/Lord_Howe', 'Asia/Kolkata']) {
    for (const at of ['00:00', '00:30', '02:00', '02:30', '03:00']) {
      let last = nextOccurrence({ days: 1, at, zone }, Date.UTC(2026, 0, 1));
      for (let day = 0; day < 366; day++) {
        const next = nextOccurrence({ days: 1, at, zone }, last);
        const hours = (next - last) / 3_600_000;
        assert.ok(hours >= 22 && hours <= 26, `${zone} ${at}: ${hours} h after ${new Date(last).toISOString()}`);
        last = next;
      }
    }
  }
});

for (const [what, schedule, message] of [
  ['no zone', { days: 1, at: '03:00', zone: 'Mars/Olympus' }, /"Mars\/Olympus" is not a time zone/],
  ['no time', { days: 1, at: '24:00', zone: 'UTC' }, /"24:00" is not a time of day/],
  ['no days', { days: 0, at: '03:00', zone: 'UTC' }, /the minimum is one day/],
] as const) {
  test(`a schedule is refused: ${what}`, () => {
    assert.throws(() => nextOccurrence(schedule, 0), { code: 'invalid-schedule', message });
  });
}

test('setting or removing a schedule takes away what kept the old one from its start', () => {
  const schedule = { days: 1, at: '03:00', zone: 'UTC', parallel: false, next: 1 };
  const waiting = noteProblem(recordWith([keyIn('active')], { schedule }), ['s1'], {
    ...AT,
    text: 'x',
    permanent: false,
  });
  assert.equal(setSchedule(waiting, undefined).keys[0]?.problem, undefined);
  assert.equal(setSchedule(waiting, undefined).schedule, undefined);
  assert.equal(setSchedule(waiting, { ...schedule, days: 2 }).schedule?.days, 2);
});
