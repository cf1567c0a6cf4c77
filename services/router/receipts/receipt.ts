import { type Message, recipientRecord } from '../store/message.ts';
import type { Receipt } from '../store/records.ts';
import type { Searchable } from './terms.ts';

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

/** By what a message is found, and its receipt later. */
export function searchableOf({
  record,
  recipients,
}: Pick<Message, 'record'> & Pick<Searchable, 'recipients'>): Searchable {
  return { reversePath: record.reversePath, messageId: record.facts.messageId, recipients };
}
