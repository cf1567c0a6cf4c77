import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { CALL_ERRORS, type CallContext } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { newId, newQueueId } from '#shared/ids.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Envelope, Origin } from '#shared/mail/envelope.ts';
import { formatSize } from '#shared/units.ts';
import { CHUNK_BYTES } from '../contract.ts';
import type { SearchIndex } from '../receipts/search-index.ts';
import type { Rules } from '../rules/rules.ts';
import type { Bodies } from '../store/bodies.ts';
import { type Message, messageRecords } from '../store/message.ts';
import { type CopyPlace, MOST_NUMBERED } from '../store/records.ts';
import type { Space } from '../store/space.ts';
import { OpenTransfers } from './open-transfers.ts';
import { stopping, storeRefusal } from './refusals.ts';
import { addPiece, type Commit, checkSize, type IntakeTransfer, leftovers, toMessage } from './transfer.ts';
import type { MessageReports, MessageWriter } from './writer.ts';

/**
 * Takes messages in: open → chunk* → commit | abort.
 *
 * A transfer is open until its commit, its abort, its first failure, or ten minutes of silence (its listener has
 * died). A commit takes effect at one moment, when all is on disk. Until then an abort wins, which comes where the caller
 * could not wait for the answer: what was written is deleted, and not delivered. After that moment an abort is told that
 * it came too late. So a message is never both refused and delivered, unless the caller hears neither answer.
 *
 * Of a message in one piece nothing is written before the commit, which is one batch. Of a longer one every piece is
 * written and synced as it comes, with a mark (`transfer!`) that the commit deletes in the batch that makes it a message:
 * what is still marked at the next start was never accepted, and is deleted.
 *
 * What a failed write left on disk is deleted as soon as the store works again, so that a message that was refused,
 * and that the client will send again, does not appear at the next start as well.
 */

export type IntakeDeps = {
  settings: Settings;
  log: Logger;
  store: Store;
  space: Space;
  index: SearchIndex;
  bodies: Bodies;
  rules: Rules;
  writer: MessageWriter;
  reports: MessageReports;
  /** Called with each committed message, and where its second copy is. */
  deliver: (message: Message, copy: CopyPlace | undefined) => void;
};

const IDLE_MS = 10 * 60_000;
const POLL_MS = 20;

/** The call that opens a transfer. */
type Opener = Pick<CallContext, 'trace' | 'caller'>;

export class Intake {
  readonly #deps: IntakeDeps;
  readonly #transfers = new OpenTransfers();
  readonly #crowding = new LimitedLog();
  /** Transfers whose commit has not been answered, and how far it is. */
  readonly #committing = new Map<string, { state: 'writing' | 'aborted' | 'accepted' }>();
  #closed = false;
  #draining = false;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /** Open transfers. */
  get size(): number {
    return this.#transfers.size;
  }

  /** Begin no further transfers; those that are open go on. */
  close(): void {
    this.#closed = true;
  }

  /** Resolves when no transfer is open and no commit under way, or after `ms`. */
  async emptied(ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (this.#transfers.size + this.#committing.size > 0 && performance.now() < end) await delay(POLL_MS);
  }

  /** Resolves when no commit is under way. */
  async committed(): Promise<void> {
    while (this.#committing.size > 0) await delay(POLL_MS);
  }

  /** Accept no more mail. */
  drain(): void {
    this.#draining = true;
  }

  /** Why a message of this size is not accepted right now; undefined where it is. */
  refusal(bytes = 0): SealpostError | undefined {
    if (this.#closed) return stopping();
    return this.roomFor(bytes) ?? this.#deps.writer.refusal();
  }

  /** Why nothing of this size is written right now, not even a copy of another node's mail; undefined where it is. */
  roomFor(bytes: number): SealpostError | undefined {
    const { store, space, settings } = this.#deps;
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

  /** Begin a transfer. Throws `full` or `not-accepting`. Others make room for it where too many are open. */
  open(envelope: Envelope, origin: Origin, sizeHint: number, call: Opener): IntakeTransfer {
    const refusal = this.refusal(sizeHint);
    if (refusal !== undefined) throw refusal;
    const now = Date.now();
    const transfer: IntakeTransfer = {
      id: newId(),
      queueId: newQueueId(now),
      envelope,
      origin,
      trace: call.trace ?? newId(),
      caller: call.caller ?? '',
      arrived: now,
      next: 0,
      written: [],
      bytes: 0,
      touched: performance.now(),
      begun: false,
    };
    for (const silent of this.#transfers.add(transfer)) this.#crowdedOut(silent);
    return transfer;
  }

  /** Take a chunk that is not the last; resolves when it is on disk. */
  async chunk(id: string, sequence: number, bytes: Uint8Array): Promise<void> {
    const transfer = this.#next(id, sequence, bytes);
    if (bytes.length === 0) return;
    try {
      this.#admit(transfer, bytes.length);
      transfer.begun = true;
      await this.#deps.store.write(addPiece(transfer, bytes));
    } catch (error) {
      throw this.#failed(transfer, error);
    }
  }

  /** Take the last chunk and make the transfer a message; resolves when all of it is on disk. */
  async commit(request: Commit, bytes: Uint8Array): Promise<string> {
    const transfer = this.#next(request.transfer, request.sequence, bytes);
    this.#transfers.delete(transfer);
    const commit: { state: 'writing' | 'aborted' | 'accepted' } = { state: 'writing' };
    this.#committing.set(transfer.id, commit);
    try {
      checkSize(transfer, request.facts, bytes.length);
      this.#admit(transfer, bytes.length);
      const earlier = transfer.written.length;
      const { message, last, body } = toMessage(transfer, request, bytes, this.#deps.rules);
      const counted = this.#deps.reports.accepted(message, request.authenticity);
      transfer.begun = true;
      await this.#deps.writer.commit({
        ...{ id: transfer.queueId, record: message.record, earlier },
        beside: [...this.#deps.index.addMessage(message), ...(counted?.beside ?? [])],
        operations: () => [...last, ...messageRecords(message)],
        onWritten: (copy) => {
          if (commit.state === 'aborted') return false;
          commit.state = 'accepted';
          if (body !== undefined) this.#deps.bodies.keep(message, body);
          counted?.written();
          this.#accepted(transfer, message, copy);
          return true;
        },
      });
      if (commit.state === 'aborted') throw aborted(transfer);
      return transfer.queueId;
    } catch (error) {
      throw this.#failed(transfer, error);
    } finally {
      this.#committing.delete(transfer.id);
    }
  }

  /** Abort a transfer. False: its commit was done before. Undefined: it is not known. */
  abort(id: string): boolean | undefined {
    const transfer = this.#transfers.get(id);
    if (transfer !== undefined) {
      this.#discard(transfer);
      return true;
    }
    const commit = this.#committing.get(id);
    if (commit?.state === 'writing') commit.state = 'aborted';
    return commit && commit.state === 'aborted';
  }

  /** Abort the transfer of a message that was refused for good, and count it; resolves when that is on disk. */
  async refuse(id: string, found: Authenticity): Promise<boolean | undefined> {
    const transfer = this.#transfers.get(id);
    const aborted = this.abort(id);
    if (transfer === undefined) return aborted;
    await this.#deps.reports.refused(transfer, found);
    return aborted;
  }

  /** Abort transfers whose listener is silent. */
  sweep(now = performance.now()): void {
    for (const transfer of this.#transfers.values()) {
      if (now - transfer.touched < IDLE_MS) continue;
      this.#deps.log.warn(
        { queueId: transfer.queueId, trace: transfer.trace, session: transfer.origin.session, bytes: transfer.bytes },
        'transfer aborted: nothing came for ten minutes',
      );
      this.#discard(transfer);
    }
  }

  #next(id: string, sequence: number, bytes: Uint8Array): IntakeTransfer {
    const transfer = this.#transfers.get(id);
    if (transfer === undefined) {
      throw new SealpostError('unknown-transfer', `transfer ${id} is not open on this node: send the message again`);
    }
    if (sequence !== transfer.next) {
      throw new SealpostError('out-of-order', `transfer ${id}: chunk ${sequence} came where ${transfer.next} was due`);
    }
    if (bytes.length > CHUNK_BYTES || transfer.written.length + 1 >= MOST_NUMBERED) {
      this.#discard(transfer);
      throw new SealpostError(CALL_ERRORS.tooLarge, `transfer ${id}: chunks are at most ${CHUNK_BYTES} bytes`);
    }
    transfer.next++;
    this.#transfers.touch(transfer);
    transfer.touched = performance.now();
    return transfer;
  }

  #crowdedOut(transfer: IntakeTransfer): void {
    const { caller, queueId, trace } = transfer;
    this.#crowding.say(caller, (repeated) =>
      this.#deps.log.warn({ caller, queueId, trace, ...repeated }, 'transfer aborted: too many are open'),
    );
    this.#discard(transfer);
  }

  #admit(transfer: IntakeTransfer, bytes: number): void {
    const refusal = this.roomFor(bytes) ?? this.#deps.writer.refusal();
    if (refusal !== undefined) throw refusal;
    this.#deps.space.took(bytes);
    transfer.bytes += bytes;
  }

  #accepted(transfer: IntakeTransfer, message: Message, copy: CopyPlace | undefined): void {
    const { record } = message;
    this.#deps.log.info(
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
    this.#deps.deliver(message, copy);
  }

  /** Discard a transfer after a failure; returns the error for the caller. */
  #failed(transfer: IntakeTransfer, error: unknown): SealpostError {
    this.#discard(transfer);
    if (errorCode(error) === 'store-failed') return storeRefusal(error);
    return error instanceof SealpostError
      ? error
      : new SealpostError('not-accepting', `the message could not be accepted: ${errorText(error)}`, { cause: error });
  }

  #discard(transfer: IntakeTransfer): void {
    this.#transfers.delete(transfer);
    if (!transfer.begun) return;
    const { store, log } = this.#deps;
    store.persist(leftovers(transfer)).catch((error: unknown) => {
      // The store was closed first. The next start finds the mark of a long transfer and deletes what there is; a transfer
      // of one piece has no mark, and what of it reached the disk is a message.
      const fields = { queueId: transfer.queueId, trace: transfer.trace, error: errorText(error) };
      log.info(fields, 'records of an aborted transfer were not deleted, because the store was closed');
    });
  }
}

function aborted({ id, queueId }: IntakeTransfer): SealpostError {
  return new SealpostError('unknown-transfer', `transfer ${id} was aborted while ${queueId} was being written`);
}
