import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { needsSmtpUtf8 } from '#shared/address/address.ts';
import { errorCode } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import type { Job, JobRecipient, NextHop, Opened, RecipientResult } from '../delivery/job.ts';
import type { SuspendedMail } from '../directives/suspended.ts';
import type { Bodies } from '../store/bodies.ts';
import { sizeOf } from '../store/content.ts';
import type { Corrupt } from '../store/corrupt.ts';
import type { Message } from '../store/message.ts';
import type { SigningKeyRef } from '../store/records.ts';
import type { Slot } from '../store/slots.ts';
import { asksForSmtpUtf8, type Group } from './grouping.ts';
import { isEightBit } from './opening/journal-report.ts';
import { type NotOpened, notNow, type Obstacle, Opening } from './opening/opening.ts';
import type { Signing } from './opening/signing.ts';
import type { OnSettled, Settlement } from './settling/settlement.ts';

/**
 * One attempt at one message for recipients that share a next hop: the job that delivery gets.
 *
 *   submitted → opened → finished, or submitted → finished
 *
 * Opening checks whether the mail may still go (an operator may have held it while it waited for a connection), signs
 * it, and gives the bytes. Finishing happens once; the attempt is over when its outcome is on disk.
 */

export type AttemptDeps = {
  settings: Settings;
  log: Logger;
  store: Store;
  bodies: Bodies;
  corrupt: Corrupt;
  signing: Signing;
  settlement: Settlement;
  obstacle: Obstacle;
  suspended: SuspendedMail;
  onSettled: OnSettled;
};

/** What an attempt changes in the queue that started it. */
export type AttemptQueue = {
  /** No further attempt starts. */
  readonly ended: boolean;
  add(message: Message): void;
  remove(slot: Slot, message: Message): void;
  attemptOpened(hop: NextHop): void;
  attemptEnded(slot: Slot, message: Message, hop: NextHop): void;
};

/** What is tried: the recipients of a message that share a next hop. */
export type AttemptOf = Omit<Group, 'hop'> & { slot: Slot; message: Message; hop: NextHop; urgent: boolean };

export class Attempt implements Job {
  readonly #deps: AttemptDeps;
  readonly #queue: AttemptQueue;
  readonly #slot: Slot;
  readonly #message: Message;
  readonly #hop: NextHop;
  readonly recipients: JobRecipient[];
  readonly junk: boolean;
  readonly urgent: boolean;
  readonly #report: boolean;
  #signatures: SigningKeyRef[] | undefined;
  #finished = false;
  /** Where an operator had sent the message when the attempt was made. */
  readonly #via: string | undefined;

  constructor(
    deps: AttemptDeps,
    queue: AttemptQueue,
    { slot, message, hop, junk, report, recipients, urgent }: AttemptOf,
  ) {
    this.#deps = deps;
    this.#queue = queue;
    this.#slot = slot;
    this.#message = message;
    this.#via = message.record.via;
    this.#hop = hop;
    this.junk = junk;
    this.urgent = urgent;
    this.#report = report;
    this.recipients = recipients;
  }

  get queueId(): string {
    return this.#message.id;
  }

  get sender(): number {
    return this.#slot.sender;
  }

  get trace(): string {
    return this.#message.record.trace;
  }

  /** Recipients with different ones are not tried together (grouping.ts). */
  get reversePath(): string {
    return this.recipients[0]?.recipient.reversePath ?? this.#message.record.reversePath;
  }

  get size(): number {
    return sizeOf(this.#message.record, this.junk);
  }

  get eightBitBody(): boolean {
    return this.#report ? isEightBit(this.#message) : this.#message.record.facts.eightBitBody;
  }

  get smtpUtf8(): boolean {
    const whole = asksForSmtpUtf8(this.#message, this.reversePath, this.#report);
    return whole || this.recipients.some((r) => needsSmtpUtf8(r.recipient.address));
  }

  get ret(): 'FULL' | 'HDRS' | undefined {
    return this.#message.record.ret;
  }

  get envid(): string | undefined {
    return this.#message.record.envid;
  }

  get authenticity(): Authenticity | undefined {
    return this.#message.record.authenticity;
  }

  async open(): Promise<Opened> {
    this.#queue.attemptOpened(this.#hop);
    const { junk } = this;
    const opening = new Opening(
      this.#deps,
      { slot: this.#slot, message: this.#message, hop: this.#hop, junk, report: this.#report },
      {
        obstacle: () => this.#obstacle(),
        onSigned: (keys) => {
          this.#signatures = keys;
        },
        onUnreadable: (error) => this.#noteDamage(error),
      },
    );
    return opening.open();
  }

  async finish(results: RecipientResult[]): Promise<void> {
    if (this.#finished) {
      this.#deps.log.error({ queueId: this.queueId, trace: this.trace }, 'an attempt was finished twice');
      return;
    }
    this.#finished = true;
    try {
      const settled = await this.#deps.settlement.settle({
        slot: this.#slot,
        message: this.#message,
        hop: this.#hop,
        junk: this.junk,
        recipients: this.recipients,
        signatures: this.#signatures,
        results,
        stopped: this.#slot.state === 'hold' || this.#isRerouted || this.#queue.ended,
        kept: results.some(({ state }) => state === 'deferred') && this.#kept() !== undefined,
      });
      if (this.#message.gone) this.#queue.remove(this.#slot, this.#message);
      for (const notice of settled.notices) this.#queue.add(notice);
      await this.#deps.onSettled(this.#slot, settled);
    } catch (error) {
      // The store was closed before it worked again: what was delivered is delivered again after the restart.
      this.#deps.log.error(
        { queueId: this.queueId, trace: this.trace, results, err: error },
        'the outcome of an attempt could not be recorded',
      );
    } finally {
      for (const { index } of this.recipients) {
        const recipient = this.#message.recipients[index];
        if (recipient !== undefined) recipient.busy = false;
      }
      this.#queue.attemptEnded(this.#slot, this.#message, this.#hop);
    }
  }

  /** The same result for every recipient. */
  finishAll(state: RecipientResult['state'], with_: Reply, local: boolean): Promise<void> {
    const outcome = { at: Date.now(), reply: with_ };
    return this.finish(this.recipients.map(({ index }) => ({ index, state, outcome, local })));
  }

  get #isRerouted(): boolean {
    return this.#message.record.via !== this.#via;
  }

  #obstacle(): NotOpened | undefined {
    if (this.#message.gone) return notNow(reply(451, '4.3.0', 'the message has left the queue'));
    if (this.#slot.state === 'hold') return notNow(reply(451, '4.3.0', 'an operator holds the message'));
    if (this.#isRerouted) return notNow(reply(451, '4.3.0', 'an operator sent the message another way'));
    if (this.#deps.store.failure !== undefined) {
      return notNow(reply(451, '4.3.1', 'the queue cannot write to its disk'));
    }
    const kept = this.#kept();
    return kept === undefined ? undefined : notNow(reply(451, '4.3.2', kept));
  }

  /** An operator has suspended the mail, or another node may deliver it. */
  #kept(): string | undefined {
    const suspended = this.#deps.suspended.reason(this.#message, this.recipients, this.#hop);
    return suspended ?? this.#deps.obstacle(this.#slot);
  }

  #noteDamage(error: unknown): void {
    if (errorCode(error) !== 'corrupt' || this.#message.gone) return;
    this.#queue.remove(this.#slot, this.#message);
    this.#deps.corrupt.setAside(this.queueId, error);
  }
}
