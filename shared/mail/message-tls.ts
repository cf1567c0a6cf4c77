import { z } from 'zod';

/**
 * What a message asks of TLS on its way, beyond the routes. It is fixed when the message is accepted, so that a later
 * change of the configuration does not weaken it. In the form that lies on disk and crosses the bus.
 */
export const MessageTls = z.object({
  /**
   * The least that a next hop must reach. `requiretls`: verified TLS with a host that is proven to be the right one, and
   * that asks the same of those after it (RFC 8689 §4.2.1). `optional`: what recipient domains ask for (DANE, MTA-STS)
   * stops nothing (RFC 8689 §3).
   */
  level: z.enum(['optional', 'required', 'verified', 'requiretls']),
  /** What asked for it. */
  by: z.enum(['requiretls', 'tls-required', 'sender', 'header', 'subject']),
  /** What becomes of it where a next hop does not reach that. Absent: it is returned. */
  otherwise: z.enum(['return', 'hold']).optional(),
});
export type MessageTls = z.infer<typeof MessageTls>;

/** Whether it asks for more than its routes, and may never be sent in clear text. */
export function needsTls(tls: MessageTls | undefined): boolean {
  return tls !== undefined && tls.level !== 'optional';
}

const WANTED: Record<MessageTls['level'], string> = {
  optional: 'TLS only where it works',
  required: 'TLS',
  verified: 'TLS and a verified certificate',
  requiretls: 'REQUIRETLS',
};

const BECAUSE: Record<MessageTls['by'], string> = {
  requiretls: 'its sender asked for it',
  'tls-required': 'its header says TLS-Required: No',
  sender: 'of its sender',
  header: 'of a field in its header',
  subject: 'of its subject',
};

/** In words, for operators and for the sender: `TLS, because of its subject`. */
export function describeMessageTls({ level, by }: MessageTls): string {
  return `${WANTED[level]}, because ${BECAUSE[by]}`;
}
