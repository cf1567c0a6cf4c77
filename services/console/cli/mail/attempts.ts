import type { Attempt } from '#shared/mail/attempt.ts';
import { formatTime } from '#shared/units.ts';
import { table } from '../table.ts';
import { outcomeText } from './outcome.ts';
import type { Entry } from './queued.ts';

/** The attempts at a message, for people: those that ended alike for several recipients in one row. */

/** Where no recipient was tried more than once, nor at several hosts, the table of recipients says all: then there are no lines. */
export function attemptLines(entry: Entry): string[] {
  if (entry.recipients.every(({ earlier, others }) => earlier === undefined && others === undefined)) return [];
  const rows = new Map<string, { attempt: Attempt; to: string[] }>();
  for (const recipient of entry.recipients) {
    for (const attempt of attemptsOf(recipient)) {
      const key = JSON.stringify([attempt.at, attempt.nextHop, attempt.host, attempt.reply, attempt.others]);
      const row = rows.get(key) ?? { attempt, to: [] };
      row.to.push(recipient.recipient.address);
      rows.set(key, row);
    }
  }
  const inOrder = [...rows.values()].toSorted((a, b) => a.attempt.at - b.attempt.at);
  const leftOut = Math.max(...entry.recipients.map(({ earlier }) => earlier?.leftOut ?? 0));
  return [
    '',
    table(
      ['ATTEMPT', 'RECIPIENT', 'NEXT HOP', 'SIGNED BY', 'OUTCOME'],
      inOrder.flatMap(({ attempt, to }) => [cellsOf(attempt, to), ...cellsOfOthers(attempt)]),
    ),
    ...(leftOut === 0 ? [] : [`(attempts between the first ones and the last ones are left out: ${leftOut})`]),
  ];
}

/** All attempts of a recipient that are known, the last one too. */
function attemptsOf({ earlier, status, nextHop, others, signatures }: Entry['recipients'][number]): Attempt[] {
  const last = status.state === 'waiting' ? [] : [{ ...status.outcome, nextHop, others, signatures }];
  return [...(earlier?.attempts ?? []), ...last];
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
