import { Unreadable } from './unreadable.ts';

/** A report covers a day; some a week. */
const LONGEST_SPAN_MS = 40 * 86_400_000;

/** The time that a report covers, in ms since 1970. Throws `Unreadable`. */
export function rangeOfReport(begin: number, end: number): { begin: number; end: number } {
  if (begin >= 0 && begin <= end && end - begin <= LONGEST_SPAN_MS) return { begin, end };
  throw new Unreadable('the date range of the report in it makes no sense');
}
