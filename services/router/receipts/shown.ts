import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import type { QueuedFacts, QueueEntry } from '#shared/mail/queue-entry.ts';
import { KeptReceipt, keys, parseRecord, Receipt, type RecipientRecord } from '../store/records.ts';
import { shortened } from './attempts.ts';

/** One message for operators, in the queue or finished. `copy`: its receipt is that of another node. */
export type Shown = { entry: QueueEntry; finished: boolean; copy?: true; queued?: QueuedFacts };

/** `node`: whose receipt it is. */
export type ReadReceipt = Receipt & { node: string; copy?: true };

/** Characters of JSON that the attempts of one message may have: an answer crosses the bus. */
const MOST_CHARACTERS = 256 * 1024;

/** The receipt of a message: that of this node, or else one of another node that is kept here. Throws `corrupt`. */
export async function readReceipt(
  { settings, store }: { settings: Settings; store: Store },
  id: string,
): Promise<ReadReceipt | undefined> {
  const [own, other] = [keys.receipt(id), keys.receiptCopy(id)];
  const [receipt, copy] = await store.getMany([own, other]);
  if (receipt !== undefined) return { node: settings.current.node.name, ...parseRecord(Receipt, own, receipt) };
  return copy && { copy: true, ...parseRecord(KeptReceipt, other, copy) };
}

export function shownReceipt(queueId: string, receipt: ReadReceipt): Shown {
  const { recipients: all, copy, finished: _, ...facts } = receipt;
  const recipients = all.map(({ recipient, status, nextHop = '', signatures, redirected }) => ({
    ...{ recipient, status, nextHop, signatures, redirected },
  }));
  const entry = withAttempts({ queueId, state: 'active', ...facts, recipients }, all);
  return { entry, finished: true, ...(copy && { copy }) };
}

/** An entry with the earlier attempts of its recipients, and all hosts of the last one. */
export function withAttempts(entry: QueueEntry, recipients: readonly RecipientRecord[]): QueueEntry {
  if (recipients.every(({ earlier, others }) => earlier === undefined && others === undefined)) return entry;
  const attempts = shortened(
    recipients.map(({ earlier }) => earlier),
    MOST_CHARACTERS,
  );
  const withThem = entry.recipients.map((one, n) => ({ ...one, earlier: attempts[n], others: recipients[n]?.others }));
  return { ...entry, recipients: withThem };
}
