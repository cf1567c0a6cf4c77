import type { StoreOperation } from '#cluster/store.ts';
import type { SealpostError } from '#shared/errors.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Message } from '../store/message.ts';
import type { CopyPlace, MessageRecord } from '../store/records.ts';
import type { IntakeTransfer } from './transfer.ts';

/**
 * The last step of the intake: a message is written to disk. Whether this disk is enough, or another node's must have
 * it too, is not the intake's business: service.ts hands in a writer that knows (copies/copy-sender.ts).
 */

export type MessageToWrite = {
  id: string;
  record: MessageRecord;
  /** What makes it a message on this node: its records, and every piece of its body that no earlier write held. */
  operations: () => StoreOperation[];
  /** What is written in the same batch, and is no part of the message: a second copy is without it. */
  beside: StoreOperation[];
  /** How many pieces of its body were written before. */
  earlier: number;
  /**
   * Called when all is on disk, with the place of the second copy, if it has one. False: the message is not wanted any
   * more; the intake deletes it, and its copy is withdrawn.
   */
  onWritten: (copy: CopyPlace | undefined) => boolean;
};

export type MessageWriter = {
  /** Why no message can be written right now as the configuration asks for; undefined where one can. */
  refusal(): SealpostError | undefined;
  /** Rejects as `Store.write` does, or with `not-accepting`; the message is not accepted then. */
  commit(message: MessageToWrite): Promise<void>;
};

/** What the intake says for the reports, and what it writes for them (sent-reports/reports.ts). */
export type MessageReports = {
  /** `beside` goes with the message, `written` is called when it is on disk; undefined: reports do not know it. */
  accepted(
    message: Message,
    found: Authenticity | undefined,
  ): { beside: StoreOperation[]; written: () => void } | undefined;
  /** It was refused for good; resolves when that is on disk. */
  refused(transfer: IntakeTransfer, found: Authenticity): Promise<void>;
};
