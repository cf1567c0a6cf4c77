import type { StoreOperation } from '#cluster/store.ts';
import { type Message, recipientRecord } from '../store/message.ts';
import type { Receipt } from '../store/records.ts';
import { entriesOf } from './terms.ts';

/** What stays of a message when its last recipient has a final status. */
export function receiptOf({ record, recipients }: Message, finished: number): Receipt {
  const {
    reversePath,
    origin,
    trace,
    arrived,
    facts,
    junk,
    authenticity,
    filters,
    tls,
    alone,
    via,
    takenOver,
    notices,
  } = record;
  return {
    ...{ reversePath, origin, trace, arrived, finished, size: facts.size, messageId: facts.messageId },
    ...{ junk, authenticity, filters, tls, alone, via, takenOver, notices },
    recipients: recipients.map(recipientRecord),
  };
}

/** What writes the entries by which a new message, and its receipt later, are found. */
export function searchEntries({ id, record, recipients }: Message): StoreOperation[] {
  return entriesOf('put', id, { reversePath: record.reversePath, messageId: record.facts.messageId, recipients });
}
