import { collected, counter } from '#shared/metrics.ts';

/** What listeners count. */

export const sessions = counter('smtp_sessions_total', 'SMTP sessions that have ended, by their TLS', [
  'listener',
  'tls',
]);
/** By listener and code. A mail is half a dozen of them. */
const replies = new Map<string, Map<number, number>>();

export function countReply(listener: string, code: number): void {
  const ofListener = replies.get(listener) ?? new Map<number, number>();
  replies.set(listener, ofListener);
  ofListener.set(code, (ofListener.get(code) ?? 0) + 1);
}

// 235 and 535 are log-ins that succeeded and failed; 4xx and 5xx are refusals of any command.
collected('counter', 'smtp_replies_total', 'Replies to SMTP clients, by their code', () =>
  [...replies].flatMap(([listener, codes]) =>
    [...codes].map(([code, value]) => ({ labels: { listener, code }, value })),
  ),
);

/** `outcome`: accepted, refused (5xx), deferred (4xx), discarded (by a mail filter) */
export const messages = counter('messages_total', 'Messages whose end was read, by what became of them', [
  'listener',
  'outcome',
]);
export const bytes = counter('message_bytes_total', 'Bytes of messages that were accepted', ['listener']);
export const authenticity = counter('authenticity_total', 'Incoming messages, by what a check of their sender found', [
  'check',
  'result',
]);
