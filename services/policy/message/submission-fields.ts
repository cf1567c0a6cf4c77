import { rfc5322Date } from '#shared/mail/header.ts';
import type { SessionFacts } from '../contract.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/**
 * Submitted mail gets the Date and the Message-ID that it lacks (RFC 6409 §8.2, §8.3); so does the mail of a trusted host,
 * a scanner or a script, unless somebody has signed it already: a field that is added can break a signature.
 */
export const submissionFields: PolicyCheck<'message'> = (facts, accepted) => {
  const { session, fields, rules, queueId, hostname, now } = facts;
  const originates =
    isSubmitted(session) || (rules.trustedHost(session) !== undefined && !fields.has('dkim-signature'));
  if (!originates) return goOn();
  const added: string[] = [];
  if (!fields.has('date')) added.push(`Date: ${rfc5322Date(now)}\r\n`);
  if (!fields.has('message-id')) added.push(`Message-ID: <${queueId}@${hostname}>\r\n`);
  if (added.length === 0) return goOn();
  return goOn(['missing Date or Message-ID added'], { ...accepted, prepend: [...accepted.prepend, ...added] });
};

/** Mail of an authenticated user on any listener, or of a submission listener. */
export function isSubmitted(session: SessionFacts): boolean {
  return session.kind === 'submission' || session.user !== undefined;
}
