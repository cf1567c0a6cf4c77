import { rfc5322Date } from '#shared/header.ts';
import type { SessionFacts } from '../contract.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** Submitted mail gets the Date and the Message-ID that it lacks (RFC 6409 §8.2, §8.3). */
export const submissionFields: PolicyCheck<'message'> = ({ session, fields, queueId, hostname, now }, accepted) => {
  if (!isSubmitted(session)) return goOn();
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
