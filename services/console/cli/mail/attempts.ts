import type { Attempt } from '#shared/mail/attempt.ts';
import { formatTime } from '#shared/units.ts';
import { attemptsAt } from '../../reports/mail/attempts.ts';
import { outcomeText } from '../../reports/mail/outcome.ts';
import type { Entry } from '../../reports/mail/queued.ts';
import { table } from '../table.ts';

/** The attempts at a message, for people: those that ended alike for several recipients in one row. */

/** Where no recipient was tried more than once, nor at several hosts, the table of recipients says all: then there are no lines. */
export function attemptLines(entry: Entry): string[] {
  if (entry.recipients.every(({ earlier, others }) => earlier === undefined && others === undefined)) return [];
  const leftOut = Math.max(...entry.recipients.map(({ earlier }) => earlier?.leftOut ?? 0));
  return [
    '',
    table(
      ['ATTEMPT', 'RECIPIENT', 'NEXT HOP', 'SIGNED BY', 'OUTCOME'],
      attemptsAt(entry).flatMap(({ attempt, to }) => [cellsOf(attempt, to), ...cellsOfOthers(attempt)]),
    ),
    ...(leftOut === 0 ? [] : [`(attempts between the first ones and the last ones are left out: ${leftOut})`]),
  ];
}

function cellsOf(attempt: Attempt, to: readonly string[]): string[] {
  const { at, nextHop = '', signatures = [] } = attempt;
  return [
    formatTime(at),
    to.length === 1 ? (to[0] ?? '') : `${to.length} recipients`,
    nextHop,
    signatures.map(({ selector, domain }) => `${selector}.${domain}`).join(', '),
    outcomeText(attempt),
  ];
}

/** The other hosts of an attempt, below it. */
function cellsOfOthers({ at, others = [] }: Attempt): string[][] {
  return others.map(({ host, reply }) => ['', '', 'other host', '', outcomeText({ at, reply, ...(host && { host }) })]);
}
