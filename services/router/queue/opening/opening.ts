import type { Settings } from '#cluster/config/settings.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { notOurs } from '../../delivery/channel.ts';
import type { NextHop, Opened } from '../../delivery/job.ts';
import { type Converted, convertToSevenBit } from '../../delivery/seven-bit/conversion.ts';
import { NotConvertible } from '../../delivery/seven-bit/not-convertible.ts';
import type { Bodies } from '../../store/bodies.ts';
import { contentOf } from '../../store/content.ts';
import type { Message } from '../../store/message.ts';
import type { SigningKeyRef } from '../../store/records.ts';
import type { Slot } from '../../store/slots.ts';
import { journalReport } from './journal-report.ts';
import type { Signing } from './signing.ts';

/** Why this node must not deliver a message although its time has come; undefined where it may. */
export type Obstacle = (slot: Slot) => string | undefined;

/** What an attempt sends: the message, the same in 7 bit, or a journal report, each with the signatures of this moment. */

export type OpeningDeps = { settings: Settings; bodies: Bodies; signing: Signing; obstacle: Obstacle };

export type OpeningOf = { slot: Slot; message: Message; hop: NextHop; junk: boolean; report: boolean };

export type OpeningEvents = {
  /** Why the mail must not go now; undefined where it may. */
  obstacle: () => NotOpened | undefined;
  onSigned: (keys: SigningKeyRef[]) => void;
  onUnreadable: (error: unknown) => void;
};

export type NotOpened = Exclude<Opened, { ok: true }>;

export function notNow(with_: Reply): NotOpened {
  return { ok: false, state: 'deferred', reply: with_, local: true };
}

export class Opening {
  readonly #deps: OpeningDeps;
  readonly #slot: Slot;
  readonly #message: Message;
  readonly #hop: NextHop;
  readonly #junk: boolean;
  readonly #report: boolean;
  readonly #on: OpeningEvents;

  constructor(deps: OpeningDeps, { slot, message, hop, junk, report }: OpeningOf, on: OpeningEvents) {
    this.#deps = deps;
    this.#slot = slot;
    this.#message = message;
    this.#hop = hop;
    this.#junk = junk;
    this.#report = report;
    this.#on = on;
  }

  async open(): Promise<Opened> {
    const { bodies } = this.#deps;
    const { record } = this.#message;
    const obstacle = this.#on.obstacle();
    if (obstacle !== undefined) return obstacle;
    try {
      if (record.chunks.length === 1 && this.#message.body === undefined) {
        const piece = await bodies.piece(this.#message, 0);
        if (!this.#message.gone) bodies.keep(this.#message, piece);
      }
    } catch (error) {
      return this.#unreadable(error);
    }
    return this.#report ? this.#openReport() : this.#openMessage();
  }

  async #openMessage(): Promise<Opened> {
    const { record } = this.#message;
    try {
      const { front, replaced } = contentOf(record, this.#junk);
      let head = front;
      if (record.originating) {
        const signed = await this.#sign(await this.#header(front, replaced));
        if (!signed.ok) return signed;
        if (signed.header !== '') head = Buffer.concat([Buffer.from(signed.header), front]);
      }
      const { body } = this.#message;
      const unguarded = body !== undefined && this.#slot.copy === undefined;
      const read = unguarded ? () => [head, body.subarray(replaced)] : () => this.#guarded(this.#bytes(head, replaced));
      const size = head.length + record.facts.size - replaced;
      return { ok: true, size, read, sevenBit: () => this.#sevenBit() };
    } catch (error) {
      return this.#unreadable(error);
    }
  }

  async #header(front: Buffer, replaced: number): Promise<Buffer> {
    if (replaced > 0) return front;
    return Buffer.concat([front, await this.#deps.bodies.head(this.#message, this.#message.record.facts.headerBytes)]);
  }

  /** Sign what is to be sent, if it may still go after that. */
  async #sign(header: Buffer, bodyHash?: string): Promise<NotOpened | { ok: true; header: string }> {
    const signed = await this.#deps.signing.sign(this.#message, header, bodyHash);
    if (!signed.ok) return signed;
    const obstacle = this.#on.obstacle();
    if (obstacle !== undefined) return obstacle;
    this.#on.onSigned(signed.keys);
    return signed;
  }

  async #openReport(): Promise<Opened> {
    const opened = await this.#reportAs({ sevenBit: false });
    return opened.ok ? { ...opened, sevenBit: () => this.#reportAs({ sevenBit: true }) } : opened;
  }

  async #reportAs({ sevenBit }: { sevenBit: boolean }): Promise<Opened> {
    const { front, replaced } = contentOf(this.#message.record);
    const { hostname } = this.#deps.settings.current.node;
    try {
      const source = { header: await this.#header(front, replaced), content: () => this.#bytes(front, replaced) };
      return await this.#opened(await journalReport(this.#message, source, { hostname, sevenBit }), true);
    } catch (error) {
      return this.#unreadable(error);
    }
  }

  /**
   * The message in 7 bit, signed anew: a signature covers what is sent. Where it may be converted, a mail of ours to one of
   * our domains arrives with a valid signature; those of others are the business of `conversion`.
   */
  async #sevenBit(): Promise<Opened | string> {
    const { record } = this.#message;
    const { conversion } = this.#hop;
    if (conversion === undefined) return 'its route does not say 8bit: convert';
    try {
      const { front, replaced } = contentOf(record, this.#junk);
      const converted = await convertToSevenBit(() => this.#bytes(front, replaced), conversion === 'always');
      const opened = await this.#opened(converted, record.originating);
      return opened.ok ? { ...opened, converted: true } : opened;
    } catch (error) {
      return error instanceof NotConvertible ? error.message : this.#unreadable(error);
    }
  }

  /** What was made of the message, `ours`: with our signatures. */
  async #opened({ header, bodyHash, size, body }: Converted, ours: boolean): Promise<Opened> {
    const signed = ours ? await this.#sign(header, bodyHash) : { ok: true as const, header: '' };
    if (!signed.ok) return signed;
    const head = Buffer.concat([Buffer.from(signed.header), header]);
    const content = async function* (): AsyncGenerator<Uint8Array> {
      yield head;
      yield* body();
    };
    return { ok: true, size: size + head.length - header.length, read: () => this.#guarded(content()) };
  }

  #unreadable(error: unknown): NotOpened {
    this.#on.onUnreadable(error);
    return notNow(notOurs(error) ?? reply(451, '4.3.0', `the queue cannot read this message: ${errorText(error)}`));
  }

  async *#bytes(head: Buffer, replaced: number): AsyncGenerator<Uint8Array> {
    yield head;
    try {
      yield* this.#deps.bodies.pieces(this.#message, replaced);
    } catch (error) {
      this.#on.onUnreadable(error);
      throw error;
    }
  }

  async *#guarded(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    yield* content;
    // The end of the message follows: the last moment at which it can be left to another node.
    const obstacle = this.#deps.obstacle(this.#slot);
    if (obstacle !== undefined) throw new SealpostError('not-ours', obstacle);
  }
}
