import { isIntermediate, isPositive, type Reply } from '#shared/mail/reply.ts';
import type { JobRecipient } from '../../job.ts';

/** What a peer said about one recipient: to its RCPT, and to the message. */
export type Verdict = { recipient: JobRecipient; rcpt: Reply | undefined; final: Reply | undefined };

/** What a peer said to the commands that concern all recipients. */
export type Common = { mail: Reply | undefined; data: Reply | undefined };

/** The reply that decides about a recipient: the first refusal, else the answer to the message. */
export function decisiveReply({ rcpt, final }: Verdict, { mail, data }: Common): Reply | undefined {
  for (const said of [mail, rcpt]) if (said !== undefined && said.code >= 400) return said;
  if (final !== undefined) return isIntermediate(final) ? undefined : final;
  return rcpt !== undefined && data !== undefined && data.code >= 400 ? data : undefined;
}

export function isAccepted(said: Reply | undefined): boolean {
  return said !== undefined && isPositive(said);
}

export function isWelcome(verdict: Verdict): boolean {
  return isAccepted(verdict.rcpt);
}

/**
 * One RCPT too many for a transaction: 452, or 552 by older servers (RFC 5321 §4.5.3.1.10). A full disk and a full
 * mailbox say 452 and 552 too, with 4.3.1 and 5.2.2.
 */
export function isOneTooMany({ code, enhanced }: Reply): boolean {
  return enhanced === '4.5.3' || ((code === 452 || code === 552) && (enhanced === undefined || enhanced === '5.5.3'));
}

/** Codes that ask for TLS or a login (RFC 3207 §4, RFC 4954 §6): they are about the session, not about the message. */
export function isAboutSession({ code }: Reply): boolean {
  return code === 530 || code === 534 || code === 535 || code === 538;
}
