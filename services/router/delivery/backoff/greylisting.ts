import type { Reply } from '#shared/mail/reply.ts';

/** What hosts say that refuse the mail of a stranger for a while (RFC 6647), and how long the wait is that a reply asks for. */

const GREYLISTED = /gr[ae]y-?list/i;

/** Such a refusal is about a sender and a recipient that are new to each other. */
export function isGreylisting({ code, text }: Reply): boolean {
  return code >= 400 && code < 500 && GREYLISTED.test(text);
}

/** A longer wait is a figure of speech, or about something else. */
const LONGEST_MS = 86_400_000;
/** Characters of a reply that are read. */
const READ = 1000;
/** Numbers in them are none of a wait. */
const URLS_AND_ADDRESSES = /\bhttps?:\/\/\S+|\S+@\S+/gi;

const UNIT = '(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])';
const NUMBER = '\\d{1,6}(?:\\.\\d{1,3})?';
const PART = `(?:${NUMBER}[ -]?|(?:an?|one) )${UNIT}`;
/** `300 seconds`, `4m59s`, `1 hour and 30 minutes`, `00:05:00`. */
const SPAN = `(?<![\\w.:-])(?:\\d{1,2}:\\d\\d:\\d\\d(?![\\w:])|${PART}(?:,? ?(?:and )?${PART})*)`;

/** In a reply that names greylisting, any span but that of a window. */
const ANY_SPAN = new RegExp(`(?<!\\bwithin )(${SPAN})`, 'i');
const AFTER_WORDS = new RegExp(
  `\\b(?:again|retry|retrying|back|wait|later)\\b[^a-z0-9]+(?:(?!within\\b)[a-z]+[^a-z0-9]+){0,3}?(${SPAN})`,
  'i',
);
const PARTS = new RegExp(`(?:(${NUMBER})[ -]?|(?:an?|one) )(${UNIT})`, 'gi');

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The wait in ms that a temporary refusal asks for, if it says one: "Greylisted for 300 seconds", "retry after 5 minutes". */
export function askedWait(said: Reply): number | undefined {
  if (said.code < 400 || said.code >= 500) return undefined;
  const text = said.text.slice(0, READ).replaceAll(URLS_AND_ADDRESSES, ' ');
  const span = (isGreylisting(said) ? ANY_SPAN : AFTER_WORDS).exec(text)?.[1];
  const ms = span === undefined ? 0 : milliseconds(span);
  return ms > 0 && ms <= LONGEST_MS ? ms : undefined;
}

function milliseconds(span: string): number {
  const clock = /^(\d+):(\d+):(\d+)$/.exec(span);
  if (clock !== null) {
    const [hours = 0, minutes = 0, seconds = 0] = clock.slice(1).map(Number);
    return ((hours * 60 + minutes) * 60 + seconds) * 1000;
  }
  let sum = 0;
  for (const [, count = '1', unit = ''] of span.matchAll(PARTS))
    sum += Number(count) * (UNIT_MS[unit.charAt(0).toLowerCase()] ?? 0);
  return Math.round(sum);
}
