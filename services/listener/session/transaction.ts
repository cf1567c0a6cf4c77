import type { Envelope, EnvelopeRecipient } from '#shared/mail/envelope.ts';

/** A mail transaction (RFC 5321 §3.3): from MAIL until the end of DATA, RSET, EHLO or STARTTLS. */
export type MailTransaction = {
  trace: string;
  reversePath: string;
  smtpUtf8: boolean;
  /** Bytes that the client announced. */
  size: number | undefined;
  ret: 'FULL' | 'HDRS' | undefined;
  envid: string | undefined;
  /** REQUIRETLS was given (RFC 8689). */
  requireTls: boolean;
  /** By address: the same mailbox by two ways gets one copy. */
  recipients: Map<string, EnvelopeRecipient>;
  /** Bytes of these recipients as JSON. */
  recipientBytes: number;
  /** Addresses of the RCPT commands that were accepted, as the client named them. */
  named: string[];
  /** RCPT commands that were refused. */
  refused: number;
};

export function envelopeOf(transaction: MailTransaction): Envelope {
  const { reversePath, ret, envid, smtpUtf8, requireTls } = transaction;
  return {
    reversePath,
    recipients: [...transaction.recipients.values()],
    ret,
    envid,
    smtpUtf8,
    ...(requireTls && { requireTls }),
  };
}
