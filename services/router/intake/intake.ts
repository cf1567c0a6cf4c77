import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '#cluster/config/settings.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import type { Envelope, Origin } from '#shared/envelope.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { newId, newQueueId } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import { formatSize } from '#shared/units.ts';
import { CHUNK_BYTES, type MessageFacts } from '../contract.ts';
import type { CopySender } from '../copies/copy-sender.ts';
import type { Bodies } from '../store/bodies.ts';
import { loadedMessage, type Message, messageRecords } from '../store/message.ts';
import { type CopyPlace, keys, type MessageRecord, MOST_NUMBERED, putBytes } from '../store/records.ts';
import { payloadOf } from '../store/seal.ts';
import type { Space } from '../store/space.ts';
import { stopping, storeRefusal } from './refusals.ts';
import type { Transfer } from './transfer.ts';

/**
 * Takes messages in: open → chunk* → commit | abort.
 *
 * A transfer is open until its commit, its abort, its first failure, or ten minutes of silence (its listener has
 * died). Nothing of a message of one piece is written before the commit, which is one batch. Of a longer one, every
 * piece is written and synced as it comes, with a mark (`transfer!`) that the commit deletes in the batch that makes
 * it a message: what is marked at the next start was never answered and goes.
 *
 * What a failed write left behind is deleted as soon as the store works again, so that a message that was refused,
 * and that the client will send again, does not come up at the next start as well.
 */

export type Commit = {
  transfer: string;
  sequence: number;
  facts: MessageFacts;
  prepend: string[];
  originating: boolean;
  junk: boolean;
};

export type IntakeParts = {
  settings: Settings;
  log: Logger;
  store: Store;
  space: Space;
  bodies: Bodies;
  copies: Pick<CopySender, 'refusal' | 'commit'>;
  /** Called with each committed message, and where its second copy is. */
  deliver: (message: Message, copy: CopyPlace | undefined) => void;
};

const IDLE_MS = 10 * 60_000;
const EMPTY_LOOK_MS = 20;

export class Intake {
  readonly #parts: IntakeParts;
  readonly #transfers = new Map<string, Transfer>();
  /** Commits that have not been answered. */
  #committing = 0;
  #closed = false;
  #draining = false;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  /** Transfers that are open. */
  get size(): number {
    return this.#transfers.size;
  }

  /** Begin no more transfers; those that are open go on. */
  close(): void {
    this.#closed = true;
  }

  /** Resolves when no transfer is open and no commit under way, or after `ms`. */
  async emptied(ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (this.#transfers.size + this.#committing > 0 && performance.now() < end) await delay(EMPTY_LOOK_MS);
  }

  /** Resolves when no commit is under way. */
  async committed(): Promise<void> {
    while (this.#committing > 0) await delay(EMPTY_LOOK_MS);
  }

  /** Take no more mail. */
  drain(): void {
    this.#draining = true;
  }

  /** Why a message of this size is not taken right now, if it is not. */
  refusal(bytes = 0): SealpostError | undefined {
    const { copies } = this.#parts;
    if (this.#closed) return stopping();
    return this.roomFor(bytes) ?? copies.refusal();
  }

  /** Why nothing of this size is written right now, a copy of another node's mail among it, if it is not. */
  roomFor(bytes: number): SealpostError | undefined {
    const { store, space, settings } = this.#parts;
    if (this.#draining) return stopping();
    if (store.failure !== undefined) return storeRefusal(store.failure);
    const available = space.available();
    if (available > bytes) return undefined;
    const reserve = formatSize(settings.current.queue.reserve);
    return new SealpostError(
      'full',
      available > 0
        ? `no room for a message of ${formatSize(bytes)}: free space in ${settings.current.node.data} must stay above ${reserve}`
        : `free space in ${settings.current.node.data} is below queue.reserve (${reserve}): free some`,
    );
  }

  /** Begin a transfer. Throws `full` or `not-accepting`. */
  open(envelope: Envelope, origin: Origin, sizeHint: number, trace: string | undefined): Transfer {
    const refusal = this.refusal(sizeHint);
    if (refusal !== undefined) throw refusal;
    const now = Date.now();
    const transfer: Transfer = {
      id: newId(),
      queueId: newQueueId(now),
      envelope,
      origin,
      trace: trace ?? newId(),
      arrived: now,
      next: 0,
      written: [],
      bytes: 0,
      touched: now,
      begun: false,
    };
    this.#transfers.set(transfer.id, transfer);
    return transfer;
  }

  /** Take a piece that is not the last; resolves when it is on disk. */
  async chunk(id: string, sequence: number, bytes: Uint8Array): Promise<void> {
    const transfer = this.#next(id, sequence, bytes);
    if (bytes.length === 0) return;
    try {
      this.#admit(transfer, bytes.length);
      transfer.begun = true;
      await this.#parts.store.write(this.#piece(transfer, bytes));
    } catch (error) {
      throw this.#failed(transfer, error);
    }
  }

  /** Take the last piece and make the transfer a message; resolves when all of it is on disk. */
  async commit(request: Commit, bytes: Uint8Array): Promise<string> {
    const transfer = this.#next(request.transfer, request.sequence, bytes);
    this.#transfers.delete(transfer.id);
    this.#committing++;
    try {
      this.#checkSize(transfer, request.facts, bytes.length);
      this.#admit(transfer, bytes.length);
      const earlier = transfer.written.length;
      const { message, last, body } = this.#message(transfer, request, bytes);
      transfer.begun = true;
      const build = (): StoreOperation[] => [...last, ...messageRecords(message)];
      await this.#parts.copies.commit(transfer.queueId, message.record, build, earlier, (copy) => {
        if (body !== undefined) this.#parts.bodies.keep(message, body);
        this.#accepted(transfer, message, copy);
      });
      return transfer.queueId;
    } catch (error) {
      throw this.#failed(transfer, error);
    } finally {
      this.#committing--;
    }
  }

  /** Forget a transfer. One that is unknown is forgotten already. */
  abort(id: string): void {
    const transfer = this.#transfers.get(id);
    if (transfer !== undefined) this.#discard(transfer);
  }

  /** Abort transfers whose listener has gone silent. */
  sweep(now = Date.now()): void {
    for (const transfer of this.#transfers.values()) {
      if (now - transfer.touched < IDLE_MS) continue;
      this.#parts.log.warn(
        { queueId: transfer.queueId, trace: transfer.trace, session: transfer.origin.session, bytes: transfer.bytes },
        'transfer aborted: nothing came for ten minutes',
      );
      this.#discard(transfer);
    }
  }

  #next(id: string, sequence: number, bytes: Uint8Array): Transfer {
    const transfer = this.#transfers.get(id);
    if (transfer === undefined) {
      throw new SealpostError('unknown-transfer', `transfer ${id} is not open here: send the message again`);
    }
    if (sequence !== transfer.next) {
      throw new SealpostError('out-of-order', `transfer ${id}: chunk ${sequence} came where ${transfer.next} was due`);
    }
    if (bytes.length > CHUNK_BYTES || transfer.written.length + 1 >= MOST_NUMBERED) {
      this.#discard(transfer);
      throw new SealpostError(CALL_ERRORS.tooLarge, `transfer ${id}: chunks are at most ${CHUNK_BYTES} bytes`);
    }
    transfer.next++;
    transfer.touched = Date.now();
    return transfer;
  }

  #checkSize({ id, bytes }: Transfer, { size, headerBytes }: MessageFacts, last: number): void {
    if (bytes + last === size && headerBytes <= size) return;
    throw new SealpostError(
      CALL_ERRORS.malformed,
      `transfer ${id}: ${bytes + last} bytes came, ${size} were announced, ${headerBytes} of them header`,
    );
  }

  #admit(transfer: Transfer, bytes: number): void {
    const refusal = this.roomFor(bytes) ?? this.#parts.copies.refusal();
    if (refusal !== undefined) throw refusal;
    this.#parts.space.took(bytes);
    transfer.bytes += bytes;
  }

  /** The operations that write the next piece. */
  #piece(transfer: Transfer, bytes: Uint8Array): StoreOperation[] {
    const n = transfer.written.push(bytes.length) - 1;
    const piece = putBytes(keys.body(transfer.queueId, n), bytes);
    return n === 0 ? [putBytes(keys.transfer(transfer.queueId), Buffer.alloc(0)), piece] : [piece];
  }

  #message(
    transfer: Transfer,
    request: Commit,
    bytes: Uint8Array,
  ): { message: Message; last: StoreOperation[]; body: Buffer | undefined } {
    const { queueId, envelope, origin, trace, arrived, written } = transfer;
    const last: StoreOperation[] = [];
    let body: Buffer | undefined;
    if (written.length > 0) last.push({ type: 'del', key: keys.transfer(queueId) });
    if (bytes.length > 0) {
      const piece = putBytes(keys.body(queueId, written.push(bytes.length) - 1), bytes);
      last.push(piece);
      if (written.length === 1 && piece.type === 'put') body = payloadOf(piece.value);
    }
    const record: MessageRecord = {
      reversePath: envelope.reversePath,
      ret: envelope.ret,
      envid: envelope.envid,
      smtpUtf8: envelope.smtpUtf8,
      origin,
      trace,
      arrived,
      facts: request.facts,
      prepend: request.prepend.join(''),
      originating: request.originating,
      junk: request.junk,
      chunks: written,
      recipients: envelope.recipients.length,
      held: false,
      delayNoticed: false,
    };
    const recipients = envelope.recipients.map((recipient) => ({ recipient, status: { state: 'waiting' as const } }));
    return { message: loadedMessage(queueId, record, recipients), last, body };
  }

  #accepted(transfer: Transfer, message: Message, copy: CopyPlace | undefined): void {
    const { record } = message;
    this.#parts.log.info(
      {
        queueId: message.id,
        trace: record.trace,
        session: transfer.origin.session,
        from: record.reversePath,
        recipients: record.recipients,
        size: record.facts.size,
        copy: copy?.node,
      },
      'accepted',
    );
    this.#parts.deliver(message, copy);
  }

  /** Give a transfer up after a failure; returns what the caller is told. */
  #failed(transfer: Transfer, error: unknown): SealpostError {
    this.#discard(transfer);
    if (errorCode(error) === 'store-failed') return storeRefusal(error);
    return error instanceof SealpostError
      ? error
      : new SealpostError('not-accepting', `the message could not be taken: ${errorText(error)}`, { cause: error });
  }

  #discard(transfer: Transfer): void {
    this.#transfers.delete(transfer.id);
    const { store, log } = this.#parts;
    const id = transfer.queueId;
    if (!transfer.begun) return;
    const operations: StoreOperation[] = transfer.written.map((_, n) => ({ type: 'del', key: keys.body(id, n) }));
    for (const key of [keys.transfer(id), keys.message(id), keys.place(id)]) operations.push({ type: 'del', key });
    for (let n = 0; n < transfer.envelope.recipients.length; n++)
      operations.push({ type: 'del', key: keys.recipient(id, n) });
    store.persist(operations).catch((error: unknown) => {
      // The store was closed first. The next start finds the mark of a long transfer, and does it.
      log.info({ queueId: id, reason: errorText(error) }, 'leftovers of a transfer were not deleted');
    });
  }
}
