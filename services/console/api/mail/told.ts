import { stateOf } from '#shared/mail/message-search.ts';
import { formatReply } from '#shared/mail/reply.ts';
import { authenticationResults } from '../../reports/mail/authentication.ts';
import { factsOf, notesOf, stepsOf } from '../../reports/mail/journey.ts';
import type { Entry } from '../../reports/mail/queued.ts';
import type { MailFacts } from '../../reports/mail/why/facts.ts';
import { adviceText, explained } from '../../reports/mail/why/sentence.ts';
import type { MessageReply } from '../../schemas/messages.ts';
import { refusalFacts } from './rows.ts';

/** One message, as its page shows it. Pure: `now` is ms since 1970. */

type Told = Omit<MessageReply, 'may' | 'silent'>;

export function toldMail(facts: MailFacts, id: string, now: number): Told {
  const { cause, node, ...explanation } = explained(facts, now);
  const why = { id, cause, sentence: adviceText(explanation), ...(node !== undefined && { node }) };
  switch (facts.kind) {
    case 'queued':
      return { ...why, ...toldEntry(facts.entry, false, facts.queued.second) };
    case 'left':
      return { ...why, ...toldEntry(facts.entry, true, undefined) };
    case 'refused': {
      const { at, from } = facts.refusal;
      const known = { state: 'refused' as const, arrived: at, ...(from !== undefined && { from }) };
      return { ...why, ...known, ...NOTHING, facts: refusalFacts(facts.node, facts.refusal) };
    }
    default:
      return { ...why, state: facts.kind === 'damaged' ? 'failed' : 'waiting', ...NOTHING };
  }
}

const NOTHING = { facts: [], authentication: [], recipients: [], steps: [], leftOut: 0, queued: false };

function toldEntry(entry: Entry, isFinished: boolean, second: string | undefined) {
  const { arrived, size, reversePath: from, messageId, authenticity, recipients } = entry;
  const counts = Object.fromEntries(recipients.map(({ status }) => [status.state, 1]));
  return {
    state: stateOf({ state: isFinished ? 'finished' : entry.state, counts }),
    ...{ arrived, size, from, ...(messageId !== undefined && { messageId }) },
    facts: factsOf(entry, second),
    authentication: authenticity === undefined ? [] : authenticationResults(authenticity),
    recipients: recipients.map((one) => toldRecipient(one, entry.state === 'hold')),
    steps: stepsOf(entry, isFinished),
    leftOut: Math.max(0, ...recipients.map(({ earlier }) => earlier?.leftOut ?? 0)),
    queued: !isFinished,
  };
}

function toldRecipient(one: Entry['recipients'][number], isHeld: boolean): Told['recipients'][number] {
  const { recipient, status, nextHop, suspended } = one;
  const { address, original } = recipient;
  const outcome = status.state === 'waiting' ? undefined : status.outcome;
  const isTried = status.state === 'deferred' && !isHeld && suspended === undefined;
  return {
    ...{ address, state: status.state, nextHop, notes: notesOf(one) },
    ...(original !== undefined && { original }),
    ...(outcome !== undefined && { reply: formatReply(outcome.reply) }),
    ...(outcome?.host !== undefined && { host: outcome.host }),
    ...(isTried && { next: status.nextAttempt }),
  };
}
