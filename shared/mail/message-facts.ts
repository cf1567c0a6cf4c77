import { z } from 'zod';

/** What the listener learned about a message while its bytes passed. */
export const MessageFacts = z.object({
  /** Bytes of the header block as received, the empty line included. */
  headerBytes: z.number().int().nonnegative(),
  /** Bytes of the whole message as received. */
  size: z.number().int().nonnegative(),
  /** Base64 SHA-256 of the relaxed body (RFC 6376 §3.4.4), which signatures at delivery cover. */
  bodyHash: z.string(),
  /** Octets above 127 occur in the body / in the header: the next hop must offer 8BITMIME / SMTPUTF8. */
  eightBitBody: z.boolean(),
  eightBitHeader: z.boolean(),
  /** Its Message-ID as it is written, with the angle brackets; absent where it has none. */
  messageId: z.string().max(1000).optional(),
});
export type MessageFacts = z.infer<typeof MessageFacts>;
