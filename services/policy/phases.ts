import { decide } from './checks.ts';
import type { RecipientQuestion, SenderQuestion } from './contract.ts';
import { connectFacts } from './gathering/connect.ts';
import { messageFacts } from './gathering/message.ts';
import { recipientFacts } from './gathering/recipient.ts';
import { senderFacts } from './gathering/sender.ts';
import type { Sources } from './gathering/sources.ts';
import { whenKnown } from './gathering/when-known.ts';
import type { Rates } from './rates/rates.ts';
import { noteAttempt } from './recipient/greylisted.ts';

/**
 * How the question of a phase becomes a verdict, in three steps: its facts are gathered (`gathering/`), the checks of the
 * phase decide (`checks.ts`), and what they accept is counted for the rates; what became of a recipient is noted for the
 * greylist. Only the last step remembers anything, and only where `settle` is `count`; with `look` it tells what would be
 * refused as too much.
 */
export type Settle = 'count' | 'look';

type PhasesDeps = { sources: Sources; rates: Rates };

export function createPhases({ sources, rates }: PhasesDeps) {
  return {
    connect: (question: Parameters<typeof connectFacts>[0]) =>
      whenKnown(connectFacts(question, { ...sources.now(), dns: sources.dns }), (facts) => decide('connect', facts)),
    sender: (question: SenderQuestion, settle: Settle) =>
      whenKnown(senderFacts(question, sources.now()), (facts) => {
        const verdict = decide('sender', facts);
        // Recipients are counted for the same sender.
        const { reversePath = question.reversePath } = verdict.action === 'accept' ? verdict : {};
        return rates[settle]('messages', { ...question, reversePath }, verdict);
      }),
    recipient: (question: RecipientQuestion, settle: Settle) =>
      whenKnown(recipientFacts(question, sources.now()), (facts) => {
        const verdict = rates[settle]('recipients', question, decide('recipient', facts));
        return settle === 'count' ? noteAttempt(sources.checks.greylist, facts, verdict) : verdict;
      }),
    message: (question: Parameters<typeof messageFacts>[0], header: Uint8Array) =>
      whenKnown(messageFacts(question, header, sources.now()), (facts) => decide('message', facts)),
    explainMessage: (question: Parameters<typeof messageFacts>[0], header: Uint8Array) =>
      whenKnown(messageFacts(question, header, sources.now()), (facts) => {
        const verdict = decide('message', facts);
        // That of the verdict tells also what was done for it.
        const { authenticity = facts.authenticity } = verdict.action === 'defer' ? {} : verdict;
        return { verdict, authenticity };
      }),
  };
}
