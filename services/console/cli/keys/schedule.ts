import { parseDuration } from '#shared/units.ts';
import { scheduleText } from '../../reports/keys/text.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { usageError } from '../exit.ts';
import { clean } from '../table.ts';

/** `sealpost keys schedule`: sets, removes and shows when a domain's keys are replaced. */

type ScheduleOptions = CommonOptions & {
  /** Days. */
  every?: number;
  at?: string;
  zone?: string;
  parallel?: boolean;
  off?: boolean;
};

export async function schedule(domain: string | undefined, options: ScheduleOptions): Promise<void> {
  const { every, at, zone, parallel = false, off = false } = options;
  const details = at !== undefined || zone !== undefined || parallel;
  if (off && (every !== undefined || details)) throw usageError('--off removes the schedule: it goes alone');
  if (details && every === undefined) throw usageError('say how often, too: --every 90d');
  if (every === undefined && !off) return show(domain, options);
  if (domain === undefined) throw usageError('say whose keys: sealpost keys schedule <domain> --every 90d');
  const request = {
    domain,
    parallel,
    ...(every !== undefined && { days: every }),
    ...(at !== undefined && { at }),
    ...(zone !== undefined && { zone }),
  };
  const answer = await withStore(options, (store) => store['schedule-set'](request));
  print(options, answer, () =>
    answer.schedule === undefined ? `${domain} has no schedule any more` : clean(scheduleText(answer.schedule)),
  );
}

async function show(domain: string | undefined, options: CommonOptions): Promise<void> {
  const { schedules } = await withStore(options, (store) => store['schedule-list']({}));
  const shown = schedules.filter((s) => domain === undefined || s.domain === domain.toLowerCase());
  print(options, { schedules: shown }, () =>
    shown.length === 0 ? 'no schedule' : shown.map((s) => clean(scheduleText(s))).join('\n'),
  );
}

const DAY_MS = 86_400_000;

/** Days, from `90d`. */
export function parseDays(text: string): number {
  const days = (parseDuration(text) ?? 0) / DAY_MS;
  if (Number.isSafeInteger(days) && days >= 1) return days;
  throw usageError(`"${text}" is not a number of days, such as 90d`);
}

/** `HH:MM`. */
export function parseTimeOfDay(text: string): string {
  if (/^([01]\d|2[0-3]):[0-5]\d$/.test(text)) return text;
  throw usageError(`"${text}" is not a time of day, such as 03:00`);
}
