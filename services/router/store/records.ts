import { z } from 'zod';
import type { StoreOperation } from '#cluster/store.ts';
import { Directive } from '#shared/directive.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { EarlierAttempts, TriedHost } from '#shared/mail/attempt.ts';
import { Authenticity } from '#shared/mail/authenticity.ts';
import { EnvelopeRecipient, Origin, RecipientStatus } from '#shared/mail/envelope.ts';
import { MessageFacts } from '#shared/mail/message-facts.ts';
import { MessageTls } from '#shared/mail/message-tls.ts';
import { MessageHold, SentNotice } from '#shared/mail/queue-entry.ts';
import { seal, sealJson, unseal } from './seal.ts';

/**
 * The records of the queue and their keys. Every value is sealed (seal.ts), those below `copy!` and `corrupt!` under the keys that
 * they had before.
 *
 *   message!<queueId>             what the queue knows of a message as a whole
 *   recipient!<queueId>!<nnnnn>   one recipient and its status
 *   body!<queueId>!<nnnnn>        the message as received, in pieces
 *   transfer!<queueId>            pieces of this message are on disk and it is not committed: the commit deletes it
 *   place!<queueId>               where the second copy of this message is; without it there is no copy
 *   receipt!<queueId>             the fate of a message that has left the queue
 *   receipt-copy!<queueId>        that of one that left another node's, which had its copy on this one (receipts/kept.ts)
 *   index!<below>!<from>          by what the messages with these ids, and their receipts, are found (receipts/search-index.ts)
 *   unindexed!<queueId>           this message is in no record of the index, and came too late to be found without this mark
 *   report!<key>                  a DMARC report that came (received-reports/report-store.ts)
 *   report-rows!<key>!<nnnnn>     a part of its rows; tls-report!…, tls-report-rows!…: those of a TLS report
 *   dmarc-note!<queueId>          what of this message counts for reports, until it is counted (sent-reports/dmarc/counts.ts)
 *   tls-post!<id>                 a TLS report that is to be posted (sent-reports/tls/outbox.ts)
 *   tls!<kind>!<name>             what is remembered of the TLS of a domain or host (tls-memory/)
 *   directive!<kind>!<about>!<name>  what an operator told the routers to do (directives/)
 *   webhook!<name>!<time>!<event>  what a webhook is to be told; it and webhook-paused!<name> are not sealed (cluster/webhooks/)
 *   store                         the name of this store
 *   store!damaged                 what was found there, where the name could not be told
 *   adopted                       what it took over of other stores (copies/adoptions.ts)
 *   copy!<pair>!<queueId>!<key>   a record of another node's message, kept for that node (copies/held-copies.ts)
 *   corrupt!<queueId>!<key>       a record of a damaged message, as it was found
 */

export const SigningKeyRef = z.object({ domain: z.string(), selector: z.string() });
export type SigningKeyRef = z.infer<typeof SigningKeyRef>;

export const MessageRecord = z.object({
  reversePath: z.string(),
  ret: z.enum(['FULL', 'HDRS']).optional(),
  envid: z.string().optional(),
  smtpUtf8: z.boolean(),
  origin: Origin,
  trace: z.string(),
  /** ms since 1970 */
  arrived: z.number(),
  facts: MessageFacts,
  /** Header fields in front of the stored message, each with its CRLF. */
  prepend: z.string(),
  /** The header block in place of the stored one, where it was rewritten; latin1. `facts` and `chunks` are of what came. */
  header: z.string().optional(),
  originating: z.boolean(),
  junk: z.boolean(),
  /** What was found out about it; absent for mail that was not checked. */
  authenticity: Authenticity.optional(),
  /** What each mail filter said that was asked. */
  filters: z.record(z.string(), z.string()).optional(),
  /** What it asks of TLS on its way; absent: what its routes say. */
  tls: MessageTls.optional(),
  /** Sizes of the pieces of the body in bytes. */
  chunks: z.array(z.number().int().positive()),
  /** How many recipient records there are. */
  recipients: z.number().int().positive(),
  held: z.boolean(),
  /** By whom; absent where the version before held it. */
  hold: MessageHold.optional(),
  /** The last notices about it. */
  notices: z.array(SentNotice).optional(),
  /** An operator sent it this way, as the `via` of a route says it; absent: its routes say. */
  via: z.string().optional(),
  /** An operator asked at this time (ms since 1970) that it be tried now: recipients that were tried before only are due. */
  retry: z.number().optional(),
  /** The sender was told that the mail is late. */
  delayNoticed: z.boolean(),
  /** The sender was told of the lists among the recipients. */
  listsNoticed: z.boolean().optional(),
  /** It was accepted with one copy although two are configured: there was no other router. */
  alone: z.boolean().optional(),
  /** It was taken over from this node, at this time (ms since 1970). */
  takenOver: z.object({ from: z.string(), at: z.number() }).optional(),
  /** A report of ours about TLS, which goes out whatever becomes of TLS (RFC 8460 §3). */
  tlsReport: z.boolean().optional(),
});
export type MessageRecord = z.infer<typeof MessageRecord>;

export const RecipientRecord = z.object({
  recipient: EnvelopeRecipient,
  status: RecipientStatus,
  /** Of the last attempt: where it went, which keys signed it, and the hosts that it tried beside the one that decided. */
  nextHop: z.string().optional(),
  signatures: z.array(SigningKeyRef).optional(),
  /** Why it did not go where its route says. */
  redirected: Directive.optional(),
  others: z.array(TriedHost).optional(),
  /** The attempts before the last one; absent where there was none. */
  earlier: EarlierAttempts.optional(),
  /** The mailbox for junk refused the mail for good: it goes to the recipient's own, with the mark of junk. */
  junkToRefused: z.boolean().optional(),
  /** Delivery failed, and the mail cannot be returned: it is kept until an operator decides (dsn.null-reverse-path). */
  dead: z.boolean().optional(),
});
export type RecipientRecord = z.infer<typeof RecipientRecord>;

export const Receipt = z.object({
  reversePath: z.string(),
  origin: Origin,
  trace: z.string(),
  arrived: z.number(),
  /** ms since 1970: when the last recipient got its final status. */
  finished: z.number(),
  size: z.number(),
  messageId: z.string().optional(),
  junk: z.boolean().optional(),
  authenticity: Authenticity.optional(),
  filters: z.record(z.string(), z.string()).optional(),
  tls: MessageTls.optional(),
  alone: z.boolean().optional(),
  /** As that of the message. */
  via: z.string().optional(),
  takenOver: z.object({ from: z.string(), at: z.number() }).optional(),
  notices: z.array(SentNotice).optional(),
  recipients: z.array(RecipientRecord),
});
export type Receipt = z.infer<typeof Receipt>;

/** The receipt of another node. */
export const KeptReceipt = Receipt.extend({ node: z.string() });
export type KeptReceipt = z.infer<typeof KeptReceipt>;

/** Where the second copy of a message is: the store and its node, and the generation of the pair (copies/claims.ts). */
export const CopyPlace = z.object({ store: z.string(), node: z.string(), generation: z.number().int().positive() });
export type CopyPlace = z.infer<typeof CopyPlace>;

export const StoreName = z.object({ name: z.string() });

/** The generation of the pair with each owner that was taken over last. */
export const Adopted = z.object({ owners: z.record(z.string(), z.number().int().positive()) });

/** Most pieces and recipients of one message: keys have five digits. */
export const MOST_NUMBERED = 100_000;

export const numbered = (n: number): string => String(n).padStart(5, '0');

export const keys = {
  message: (id: string): string => `message!${id}`,
  recipient: (id: string, n: number): string => `recipient!${id}!${numbered(n)}`,
  body: (id: string, n: number): string => `body!${id}!${numbered(n)}`,
  transfer: (id: string): string => `transfer!${id}`,
  store: 'store',
  damagedStore: 'store!damaged',
  adopted: 'adopted',
  place: (id: string): string => `place!${id}`,
  receipt: (id: string): string => `receipt!${id}`,
  receiptCopy: (id: string): string => `receipt-copy!${id}`,
  index: (below: string, from: string, late?: string): string =>
    `index!${below}!${from}${late === undefined ? '' : `!${late}`}`,
  unindexed: (id: string): string => `unindexed!${id}`,
  tls: (key: string): string => `tls!${key}`,
  directive: (key: string): string => `directive!${key}`,
  copy: (pair: string, id: string, key: string): string => `copy!${pair}!${id}!${key}`,
  tlsPost: (id: string): string => `tls-post!${id}`,
  reportNote: (id: string): string => `dmarc-note!${id}`,
  corrupt: (id: string, key: string): string => `corrupt!${id}!${key}`,
};

/** All keys of one kind (`message`), or those of one message (`body!<queueId>`). */
export function rangeOf(prefix: string): { gte: string; lt: string } {
  return { gte: `${prefix}!`, lt: `${prefix}"` };
}

/** The queue id in a key, or in a key below `corrupt!`. */
export function queueIdOf(key: string): string {
  return key.split('!', 2)[1] ?? '';
}

export function putJson(key: string, value: unknown): StoreOperation {
  return { type: 'put', key, value: sealJson(key, value) };
}

export function putBytes(key: string, bytes: Uint8Array): StoreOperation {
  return { type: 'put', key, value: seal(key, bytes) };
}

/** Read a record back. Throws `corrupt` when the value is missing, damaged, or not of this form. */
export function parseRecord<S extends z.ZodType>(schema: S, key: string, sealed: Buffer | undefined): z.output<S> {
  if (sealed === undefined) throw new SealpostError('corrupt', `${key}: the record is missing`);
  const text = unseal(key, sealed).toString();
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new SealpostError('corrupt', `${key}: not a record of this program: ${errorText(error)}`, { cause: error });
  }
}
