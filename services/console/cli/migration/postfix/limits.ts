import { parseDuration, parseSize } from '#shared/units.ts';
import { type Answer, none, problem, taken } from '../plan.ts';
import { durationText, sizeText } from '../units.ts';
import type { State } from './state.ts';

/** Parameters that are a number, a size or a time here too. */

type Kind = 'count' | 'bytes' | 's' | 'h' | 'd';
type Limit = {
  option: string;
  kind: Kind;
  /** In the unit of the option: a count, bytes, milliseconds. Beyond them the nearest is taken. */
  least?: number;
  most?: number;
  /** Instead of the value as it is. */
  as?: (value: number) => unknown;
};

const DAY_MS = 86_400_000;

const LIMITS: Readonly<Record<string, Limit>> = {
  message_size_limit: { option: 'limits.message-size', kind: 'bytes', least: 64 * 1024 },
  header_size_limit: { option: 'limits.header-size', kind: 'bytes', least: 1024, most: 384 * 1024 },
  line_length_limit: { option: 'limits.command-length', kind: 'count', least: 512 },
  smtpd_recipient_limit: { option: 'limits.recipients', kind: 'count', least: 100 },
  smtpd_hard_error_limit: { option: 'limits.errors', kind: 'count', least: 1 },
  smtpd_client_connection_count_limit: { option: 'limits.sessions-per-client', kind: 'count', least: 1 },
  hopcount_limit: { option: 'limits.hops', kind: 'count', least: 10 },
  smtpd_timeout: { option: 'limits.timeout', kind: 's', least: 1000, most: 24 * DAY_MS },
  maximal_queue_lifetime: { option: 'queue.expire', kind: 'd', least: 3_600_000, most: 24 * DAY_MS },
  minimal_backoff_time: { option: 'queue.retry.first', kind: 's', least: 1000, most: 24 * DAY_MS },
  maximal_backoff_time: { option: 'queue.retry.max', kind: 's', least: 1000, most: 24 * DAY_MS },
  delay_warning_time: { option: 'queue.delay-notice', kind: 'h', least: 0, most: 24 * DAY_MS },
  queue_minfree: { option: 'queue.reserve', kind: 'bytes', least: 1024 },
  default_destination_concurrency_limit: { option: 'delivery.connections', kind: 'count', least: 1 },
  smtp_destination_concurrency_limit: { option: 'delivery.connections', kind: 'count', least: 1 },
  default_destination_recipient_limit: { option: 'delivery.recipients-per-transaction', kind: 'count', least: 1 },
  smtp_destination_recipient_limit: { option: 'delivery.recipients-per-transaction', kind: 'count', least: 1 },
  smtp_connect_timeout: { option: 'delivery.timeout.connect', kind: 's', least: 1000, most: 24 * DAY_MS },
  smtp_mail_timeout: { option: 'delivery.timeout.command', kind: 's', least: 1000, most: 24 * DAY_MS },
  smtp_data_done_timeout: { option: 'delivery.timeout.data', kind: 's', least: 1000, most: 24 * DAY_MS },
};

/** Milliseconds of a unit of time. */
const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS, w: 7 * DAY_MS };

export function limits(state: State): void {
  for (const [name, limit] of Object.entries(LIMITS)) {
    if (state.settings.has(name)) state.say(name, limitAnswer(state, name, limit));
  }
  const { draft, say } = state;
  // Combinations that are refused here.
  const [header, message] = ['limits.header-size', 'limits.message-size'].map((o) => bytesOf(draft.get(o)));
  if (message !== undefined && message < (header ?? 256 * 1024)) draft.set('limits.header-size', sizeText(message));
  const first = msOf(draft.get('queue.retry.first')) ?? 300_000;
  const most = msOf(draft.get('queue.retry.max')) ?? 4 * 3_600_000;
  const expire = msOf(draft.get('queue.expire')) ?? 5 * DAY_MS;
  if (first > most || first > expire) {
    draft.set('queue.retry.first', durationText(Math.min(first, most, expire)));
    say(
      'minimal_backoff_time',
      problem('is longer than maximal_backoff_time or maximal_queue_lifetime: cut to that'),
      'together',
    );
  }
}

function limitAnswer({ settings, draft }: State, name: string, { option, kind, least = 0, most }: Limit): Answer {
  const text = settings.text(name);
  const value = amountOf(text, kind);
  if (value === undefined)
    return problem(`"${text}" is not a ${kind === 'count' || kind === 'bytes' ? 'number' : 'time'}: not taken`);
  const noLimit = value === 0 && least > 0;
  if (noLimit) return none('0 has no counterpart: the default is taken');
  const used = Math.min(most ?? Number.MAX_SAFE_INTEGER, Math.max(least, value));
  const written = kind === 'count' ? used : kind === 'bytes' ? sizeText(used) : durationText(used);
  draft.set(option, written);
  return taken(`${written}${used === value ? '' : `, the ${used > value ? 'least' : 'most'} there is`}`, option);
}

/** A count, bytes, or milliseconds; undefined where the text is none of that. */
function amountOf(text: string, kind: Kind): number | undefined {
  const [, digits, unit] = /^(\d{1,12})([smhdw])?$/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  if (kind === 'count' || kind === 'bytes') return unit === undefined ? Number(digits) : undefined;
  return Number(digits) * (UNITS[(unit ?? kind).toLowerCase()] ?? 1000);
}

const bytesOf = (text: unknown): number | undefined => (typeof text === 'string' ? parseSize(text) : undefined);
const msOf = (text: unknown): number | undefined => (typeof text === 'string' ? parseDuration(text) : undefined);
