import { formatDuration, formatTime } from '#shared/units.ts';
import type { CopiedMail, DamagedMail, Explanation } from './facts.ts';

/** Mail that no queue has: a node has the copy of another's, or it is damaged. Pure. */

export function copyExplained({ queueId, holder, copy, ownerAnswers }: CopiedMail, now: number): Explanation {
  const { owner, takeOver } = copy;
  const place = { node: holder, queueId };
  const why = ownerAnswers ? `${owner} does not know it any more` : `${owner}, whose mail it is, does not answer`;
  if (copy.claimed) {
    const sentence = `The mail is being taken over: ${why}, and ${holder} moves it into its queue now.`;
    return { cause: 'taking-over', sentence, ...place, takenOverFrom: owner };
  }
  if (copy.void || ownerAnswers) {
    const sentence = `${holder} has a copy of the mail that it does not deliver, because ${owner} has said that it needs it no longer${ownerAnswers ? '' : ', and does not answer now'}.`;
    return { cause: 'copy-not-needed', sentence, ...place };
  }
  if (!copy.complete) {
    const sentence = `${holder} has a part of the mail: ${why}, and had not answered its client that it accepted it.`;
    return { cause: 'copy-incomplete', sentence, ...place };
  }
  const when =
    takeOver === undefined
      ? 'it is not taken over while NATS does not say that its lease ran out'
      : `${holder} takes it over ${takeOver <= now ? 'now' : `in ${formatDuration(takeOver - now)}, at ${formatTime(takeOver)}`}, if it does not return`;
  return {
    cause: 'owner-silent',
    sentence: `The mail is in the queue of ${owner}, which does not answer; ${holder} has its second copy, and ${when}.`,
    help:
      takeOver === undefined
        ? `start ${owner}, or see that NATS runs: "sealpost cluster status" says what is away`
        : `start ${owner}, which then delivers it, or wait until ${holder} does`,
    ...place,
    takenOverFrom: owner,
    ...(takeOver !== undefined && { until: takeOver }),
  };
}

export function damagedExplained({ node, queueId }: DamagedMail): Explanation {
  const sentence = `The mail is damaged on the disk of ${node}, which has set it aside and does not deliver it; its sender was not told.`;
  const help = '"sealpost doctor" names its sender and recipients as far as they are known, and what to do';
  return { cause: 'damaged', sentence, help, node, queueId };
}
