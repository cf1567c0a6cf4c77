import { parseDuration } from '#shared/units.ts';
import { partyOf, subjectOf } from '../../../reports/mail/question.ts';
import type { FindQuestion } from '../../../reports/mail/reader.ts';
import { usageError } from '../../exit.ts';

/** What the words of a command line ask for. Pure. */

export type FindWords = {
  from?: string;
  to?: string;
  messageId?: string;
  since?: string;
  until?: string;
  before?: string;
};

/** `what`: a queue id, a Message-ID, an address or a domain. Throws a usage error. */
export function questionOf(what: string | undefined, words: FindWords, now: number): FindQuestion {
  const { from, to, messageId, since, until, before } = words;
  return {
    ...(what !== undefined && subjectOf(what)),
    ...(from !== undefined && { from: partyOf(from) }),
    ...(to !== undefined && { to: partyOf(to) }),
    ...(messageId !== undefined && { messageId }),
    ...(since !== undefined && { since: momentOf(since, now) }),
    ...(until !== undefined && { until: momentOf(until, now) }),
    ...(before !== undefined && { below: before }),
  };
}

/** ms since 1970: so long ago, or a local time. */
export function momentOf(text: string, now: number): number {
  const ago = parseDuration(text);
  if (ago !== undefined) return now - ago;
  const [, date, time] = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?))?$/.exec(text) ?? [];
  const at = date === undefined ? Number.NaN : new Date(`${date}T${time ?? '00:00'}`).getTime();
  if (Number.isNaN(at)) throw usageError(`"${text}" is no time: write 12h, 7d, 2026-11-30 or "2026-11-30 14:05"`);
  return at;
}
