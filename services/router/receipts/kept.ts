import { z } from 'zod';
import type { StoreOperation } from '#cluster/store.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import { keys, putBytes } from '../store/records.ts';
import type { SearchIndex } from './search-index.ts';

/**
 * Receipts of other nodes. When a message leaves the queue, the node that has its second copy keeps the receipt in its
 * place, and is asked for it when the other one is gone. It is not the receipt of this node: reports that add up what all
 * nodes have, such as the TLS ledger, leave it out.
 */

/** What is looked at when a receipt comes; the rest of it when it is read. */
const Incoming = z.object({
  reversePath: z.string(),
  finished: z.number(),
  messageId: z.string().optional(),
  recipients: z
    .array(
      z.object({
        recipient: EnvelopeRecipient.pick({ address: true, original: true, orcpt: true, reversePath: true }),
      }),
    )
    .min(1),
});

/** What keeps a receipt, which is JSON, of a node. Throws `malformed`. */
export function keepReceipt(index: SearchIndex, id: string, receipt: string, node: string): StoreOperation[] {
  const searchable = parsed(id, receipt);
  // The first member of the object that it is.
  const json = `{"node":${JSON.stringify(node)},${receipt.slice(1)}`;
  return [putBytes(keys.receiptCopy(id), Buffer.from(json)), ...index.add(id, searchable)];
}

function parsed(id: string, receipt: string): z.output<typeof Incoming> {
  try {
    return Incoming.parse(JSON.parse(receipt));
  } catch (cause) {
    throw new SealpostError(CALL_ERRORS.malformed, `the receipt of message ${id} is not one`, { cause });
  }
}
