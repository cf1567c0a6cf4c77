import type { Settings } from '#cluster/config/settings.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import type { Prepared } from '#cluster/webhooks/webhooks.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { describeMessageTls } from '#shared/mail/message-tls.ts';
import { reply } from '#shared/mail/reply.ts';
import { countChange, sentNotices } from '../../metrics.ts';
import { noticeMessages, rememberNotice } from '../../notices/notice-message.ts';
import {
  anyNotice,
  isFailure,
  NO_NOTICES,
  type Notices,
  noteTold,
  planNotices,
  planWhileKept,
  type StatusChange,
  untold,
} from '../../notices/notices.ts';
import { keepAttempt } from '../../receipts/attempts.ts';
import { receiptOf } from '../../receipts/receipt.ts';
import type { SearchIndex } from '../../receipts/search-index.ts';
import type { Bodies } from '../../store/bodies.ts';
import { isFinished, type Message, putRecipient, removalOf } from '../../store/message.ts';
import { keys, putJson } from '../../store/records.ts';
import type { Slot, Slots } from '../../store/slots.ts';
import type { MessageEvents } from '../../webhooks/message-events.ts';
import { type AttemptOutcome, statusChanges } from './changes.ts';
import { changeFields, HELD, type HoldReason, reasonToHold, removalChanges } from './results.ts';

/**
 * Turns the outcome of an attempt into what is on disk, in one batch: statuses; when the last recipient has its final
 * one, the deletion of the message and its receipt; the notices that must not be lost when a recipient leaves
 * (a recipient leaves the queue only when its next hop took it or a notice about it is committed); and what webhooks are told.
 *
 * Reading for a notice comes first. From there to the write nothing is awaited, so two attempts that end at the same
 * time take effect one after the other, in memory and on disk.
 */

/**
 * What has changed on disk: records of messages, those of `id` among them. `own`: nothing but trouble of this node,
 * which a second copy of the message need not know; nor is `events` for it, what webhooks are told.
 */
export type Written = {
  id: string;
  gone: boolean;
  own?: boolean;
  operations: readonly StoreOperation[];
  notices: readonly Message[];
  events?: Prepared | undefined;
};

/**
 * Told what was written about a message; the slot is undefined where it has none. The attempt, or the operator's
 * command, is over when the promise resolves. Never rejects.
 */
export type OnSettled = (slot: Slot | undefined, written: Written) => Promise<void>;

export type SettlementDeps = {
  settings: Settings;
  store: Store;
  bodies: Bodies;
  slots: Slots;
  index: SearchIndex;
  events: MessageEvents;
  log: Logger;
};

/** What a batch is made of. `original`: the first bytes of the message, where a notice quotes them. */
type Batch = {
  changes: StatusChange[];
  plan: Notices;
  original: Buffer | undefined;
  now: number;
  /** Why an operator has to decide what becomes of the message; `ends`: one has, and nothing holds what is left of it. */
  hold: HoldReason | 'ends' | undefined;
};

export class Settlement {
  readonly #deps: SettlementDeps;

  constructor(deps: SettlementDeps) {
    this.#deps = deps;
  }

  /**
   * Record an attempt; resolves when it is on disk, to what was written: with it notices, which are messages for the
   * queue. Rejects only when the store was closed.
   */
  async settle(attempt: AttemptOutcome): Promise<Written> {
    const { message } = attempt;
    const now = Date.now();
    const changes = statusChanges(attempt, now, this.#deps.settings.current);
    const plan = (attempt.kept ? planWhileKept : planNotices)(message, changes, now, this.#deps.settings.current);
    const original = anyNotice(plan) ? await this.#original(message) : undefined;
    for (const change of changes) this.#logChange(attempt, change, now);
    if (message.gone) return this.#settleGone(message, changes, now);
    if (message.record.reversePath === '' && changes.some((c) => isFailure(c.status)) && !anyNotice(plan)) {
      this.#deps.log.info(
        { queueId: message.id, trace: message.record.trace },
        'delivery failed, and no notice is sent: the mail has the null reverse-path',
      );
    }
    return this.#commit(message, { changes, plan, original, now, hold: reasonToHold(message, changes) });
  }

  /**
   * Remove the recipients that are left of these messages, as an operator decided, in one write; with `notify` their senders are
   * told. Resolves when that is on disk, to what was written; undefined for a message that has left the queue meanwhile.
   */
  async remove(
    messages: readonly Message[],
    { notify, reason }: { notify: boolean; reason?: string | undefined },
  ): Promise<(Written | undefined)[]> {
    const now = Date.now();
    const why = reason === undefined ? '' : `: ${reason}`;
    const outcome = { at: now, reply: reply(550, '5.3.0', `an operator took the message out of the queue${why}`) };
    const changesOf = (message: Message): StatusChange[] => removalChanges(message, outcome);
    const planOf = (message: Message, changes: StatusChange[]): Notices =>
      notify ? { ...planNotices(message, changes, now, this.#deps.settings.current), delayed: [] } : NO_NOTICES;
    const originals = await Promise.all(
      messages.map((one) => (anyNotice(planOf(one, changesOf(one))) ? this.#original(one) : undefined)),
    );
    const all = messages.map((message, n) => {
      if (message.gone) return undefined;
      const changes = changesOf(message);
      for (const { recipient } of changes) keepAttempt(message, recipient);
      const plan = planOf(message, changes);
      return this.#prepare(message, { changes, plan, original: originals[n], now, hold: 'ends' });
    });
    await this.#write(all.filter((written) => written !== undefined));
    return all;
  }

  /** Delete a message whose recipients all had their final status when it was read, and write its receipt. */
  async close(message: Message): Promise<Written> {
    const nothingNew = { changes: [], plan: NO_NOTICES, original: undefined, hold: undefined };
    const written = { ...this.#prepare(message, { ...nothingNew, now: Date.now() }), own: false };
    await this.#write([written]);
    return written;
  }

  async #commit(message: Message, batch: Batch): Promise<Written> {
    const written = this.#prepare(message, batch);
    await this.#write([written]);
    return written;
  }

  /** What is to be written, which is so in memory already. */
  #prepare(message: Message, batch: Batch): Written {
    const { changes, now, hold } = batch;
    for (const { recipient, status } of changes) recipient.status = status;
    message.gone = isFinished(message);
    const plan = untold(batch.plan, message.record);
    const told = noteTold(message.record, plan);
    const { notices, operations } = this.#notices(message, { ...batch, plan });
    if (message.gone) {
      operations.push(...this.#removal(message), putJson(keys.receipt(message.id), receiptOf(message, now)));
    } else {
      for (const { recipient, silent } of changes) if (!silent) operations.push(putRecipient(message, recipient));
    }
    if (!message.gone && (told || notices.length > 0 || hold !== undefined)) {
      if (hold === 'ends') Object.assign(message.record, { held: false, hold: undefined });
      else if (hold !== undefined) this.#hold(message, hold);
      operations.push(putJson(keys.message(message.id), message.record));
    }
    const own = changes.every((change) => change.local === true) && notices.length === 0;
    const events = this.#deps.events.prepare(message, changes, now);
    return { id: message.id, gone: message.gone, own, operations, notices, events };
  }

  async #write(all: readonly Written[]): Promise<void> {
    const operations = all.flatMap((written) => written.operations);
    for (const { events } of all) if (events !== undefined) operations.push(...events.operations);
    if (operations.length > 0) await this.#deps.store.persist(operations);
    for (const { id: about, notices, events } of all) {
      events?.written();
      for (const { id: queueId, record, recipients } of notices) {
        const fields = { queueId, trace: record.trace, about, to: recipients[0]?.recipient.address };
        sentNotices.inc();
        this.#deps.log.info(fields, 'notice to the sender committed');
      }
    }
  }

  /** From now on no attempt at it begins. */
  #hold({ id, record, recipients }: Message, reason: HoldReason): void {
    const rule = reason === 'journal' ? recipients.find(({ dead }) => dead)?.recipient.journal?.rule : undefined;
    record.held = true;
    record.hold = { by: reason, ...(rule !== undefined && { rule }), at: Date.now() };
    const slot = this.#deps.slots.get(id);
    if (slot !== undefined) this.#deps.slots.move(slot, 'hold');
    const fields = { queueId: id, trace: record.trace, rule, asks: record.tls && describeMessageTls(record.tls) };
    this.#deps.log[reason === 'journal' ? 'error' : 'warn'](fields, HELD[reason]);
  }

  /**
   * The message left the queue while the attempt was under way: what was delivered all the same goes into its receipt.
   */
  async #settleGone(message: Message, changes: StatusChange[], now: number): Promise<Written> {
    const delivered = changes.filter((c) => c.status.state === 'delivered');
    if (delivered.length === 0 || !isFinished(message)) return nothing(message);
    for (const { recipient, status } of delivered) recipient.status = status;
    const operations = [putJson(keys.receipt(message.id), receiptOf(message, now))];
    const events = this.#deps.events.prepare(message, delivered, now);
    const written = { id: message.id, gone: true, operations, notices: [], events };
    await this.#write([written]);
    return written;
  }

  /** The notices of a plan, which the message remembers, and what writes them. */
  #notices(message: Message, { plan, original, now }: Batch): { notices: Message[]; operations: StoreOperation[] } {
    // Most mail is delivered, and nobody wants to be told of it.
    if (!anyNotice(plan)) return { notices: [], operations: [] };
    const made = noticeMessages(plan, { about: message, original, now }, this.#deps.settings.current);
    const operations: StoreOperation[] = [];
    for (const notice of made) {
      operations.push(...notice.operations, ...this.#deps.index.addMessage(notice.message));
      this.#deps.bodies.keep(notice.message, notice.body);
      rememberNotice(message.record, notice.sent);
    }
    return { notices: made.map((one) => one.message), operations };
  }

  /** The bytes of the original that notices may quote: all of a small message, the header block of a large one. */
  async #original(message: Message): Promise<Buffer | undefined> {
    const { facts, ret } = message.record;
    try {
      return await this.#deps.bodies.head(
        message,
        ret === 'FULL' && facts.size <= QUOTED_BYTES ? facts.size : facts.headerBytes,
      );
    } catch (error) {
      this.#deps.log.error(
        { queueId: message.id, trace: message.record.trace, error: errorText(error) },
        'a message cannot be read: its notice is sent without a quotation of it',
      );
      return undefined;
    }
  }

  #removal(message: Message): StoreOperation[] {
    return removalOf(message, this.#deps.slots.get(message.id)?.copy !== undefined);
  }

  #logChange(attempt: AttemptOutcome, change: StatusChange, now: number): void {
    const { state } = change.status;
    const level = state === 'failed' || state === 'expired' ? 'warn' : 'info';
    countChange(attempt, change.status, now);
    this.#deps.log[level](changeFields(attempt, change, now), state);
  }
}

/** Bytes up to which RET=FULL is honoured: RFC 3461 §6.3 leaves it to the sender of the notice how much it quotes. */
const QUOTED_BYTES = 50 * 1024;

/** Nothing was written that another node must know. */
function nothing({ id }: Message): Written {
  return { id, gone: false, operations: [], notices: [] };
}
