import { type Command, Option } from 'commander';
import { QueueState } from '#shared/mail/queue-entry.ts';
import { MOST_IDS, type QueueFilter } from '#shared/queue/filter.ts';
import { parseDuration } from '#shared/units.ts';
import { usageError } from '../../exit.ts';

/** The words that say which mail of the queue a command is about: the same ones for each. */

export type FilterWords = {
  state?: NonNullable<QueueFilter['state']>;
  domain?: string;
  sender?: string;
  recipient?: string;
  olderThan?: string;
  youngerThan?: string;
  reply?: string;
  nextHop?: string;
};

export function withFilter(command: Command): Command {
  return command
    .argument('[ids...]', 'queue ids')
    .option('--domain <domain>', 'mail to this domain or below it')
    .option('--sender <sender>', 'with this reverse-path: an address, a domain, or <>')
    .option('--recipient <recipient>', 'to this address or domain')
    .option('--older-than <time>', 'that arrived longer ago: 30m, 2h, 3d')
    .option('--younger-than <time>', 'that arrived later')
    .option('--reply <text>', 'the last reply begins with this code (451, 4.7.1) or contains this text')
    .addOption(new Option('--state <state>', 'only this state').choices(QueueState.options))
    .option('--next-hop <hop>', 'on its way to this next hop, as queue show names it, or its host alone');
}

/** The filter that they are, of which nothing is all mail. Throws a usage error. */
export function filterOf(ids: readonly string[], words: FilterWords, now: number): QueueFilter {
  const { state, domain, sender, recipient, olderThan, youngerThan, reply, nextHop } = words;
  for (const [name, text] of Object.entries({ domain, recipient, reply, 'next-hop': nextHop }))
    if (text?.trim() === '') throw usageError(`--${name} is empty`);
  if (ids.length > MOST_IDS) throw usageError(`at most ${MOST_IDS} queue ids at a time`);
  return {
    ...(ids.length > 0 && { ids: [...new Set(ids)] }),
    ...(state !== undefined && { state }),
    ...(domain !== undefined && { domain: domain.replace(/^@/, '') }),
    ...(sender !== undefined && { sender: partyOf(sender) }),
    ...(recipient !== undefined && { recipient: partyOf(recipient) }),
    ...(reply !== undefined && { reply }),
    ...(nextHop !== undefined && { nextHop }),
    ...(olderThan !== undefined && { before: now - durationOf(olderThan) }),
    ...(youngerThan !== undefined && { since: now - durationOf(youngerThan) }),
  };
}

/** `<bob@example.net>` is meant as well. */
function partyOf(text: string): string {
  return text.replace(/^<(.*)>$/, '$1').replace(/^@/, '');
}

function durationOf(text: string): number {
  const duration = parseDuration(text);
  if (duration === undefined) throw usageError(`"${text}" is not a time: write 30m, 2h or 3d`);
  return duration;
}
