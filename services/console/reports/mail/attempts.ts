import type { Attempt } from '#shared/mail/attempt.ts';
import type { Entry } from './queued.ts';

/** The attempts at a message. Pure. */

type Recipient = Entry['recipients'][number];

/** Alike for the recipients `to`. `status`: what it made of those for whom it was the last; absent where more attempts followed. */
export type SharedAttempt = { attempt: Attempt; to: string[]; status?: Recipient['status']['state'] };

/** Oldest first; those that ended alike for several recipients together. */
export function attemptsAt({ recipients }: Pick<Entry, 'recipients'>): SharedAttempt[] {
  const shared = new Map<string, SharedAttempt>();
  for (const recipient of recipients) {
    for (const { attempt, status } of attemptsOf(recipient)) {
      const key = JSON.stringify([attempt.at, attempt.nextHop, attempt.host, attempt.reply, attempt.others]);
      const known = shared.get(key) ?? { attempt, to: [] };
      known.to.push(recipient.recipient.address);
      if (status !== undefined) known.status = status;
      shared.set(key, known);
    }
  }
  return [...shared.values()].toSorted((a, b) => a.attempt.at - b.attempt.at);
}

/** All that are known, the last one too. */
function attemptsOf({ earlier, status, nextHop, others, signatures }: Recipient): Omit<SharedAttempt, 'to'>[] {
  const before = (earlier?.attempts ?? []).map((attempt) => ({ attempt }));
  if (status.state === 'waiting') return before;
  return [...before, { attempt: { ...status.outcome, nextHop, others, signatures }, status: status.state }];
}
