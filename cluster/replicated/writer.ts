import { errorText, SealpostError } from '#shared/errors.ts';
import type { Store } from '../store.ts';
import type { Attachment } from './attachment.ts';
import type { Follower } from './follower.ts';
import { type ReplicatedRecord, writeIdOf } from './record.ts';
import type { ReplicatedRecords } from './records.ts';

/** Writes records into the stream and finds out what became of them. `map.ts` describes the protocol. */

/** How long to try to find out whether a change without an answer was made. */
const SETTLE_LIMIT_MS = 12_000;
/** How often to check whether the store has failed, while it does not answer. */
const STORE_CHECK_MS = 200;

export class Writer<T> {
  readonly #follower: Follower<T>;
  readonly #records: ReplicatedRecords<T>;
  readonly #store: Store;

  constructor(follower: Follower<T>, records: ReplicatedRecords<T>, store: Store) {
    this.#follower = follower;
    this.#records = records;
    this.#store = store;
  }

  /**
   * Whether the record is in the stream, and then synced here; false: it is not and will not be. Fails with
   * `no-quorum` when that is not known, and `store-failed` when it is in the stream and not synced here.
   */
  async publish(attachment: Attachment, record: ReplicatedRecord<T>): Promise<boolean> {
    const expected = attachment.applied;
    const outcome = await attachment.log.write(record.key, Buffer.from(record.json), expected);
    switch (outcome.kind) {
      case 'taken':
        await this.#stored(this.#follower.taken(attachment, outcome.seq, record));
        return true;
      case 'behind':
        await this.#follower.caughtUp(attachment, expected, outcome.last);
        return false;
      case 'refused':
        attachment.log.end({ away: true, text: outcome.text });
        return false;
      case 'unknown':
        attachment.log.end({ away: true, text: outcome.text });
        return this.#settle(record, { created: attachment.log.created, last: expected, problem: outcome.text });
    }
  }

  /** Find out whether a record was taken whose answer got lost; `problem` says how. */
  async #settle(
    record: ReplicatedRecord<T>,
    sent: { created: string; last: number; problem: string },
  ): Promise<boolean> {
    const { key, version, writeId } = record;
    const end = performance.now() + SETTLE_LIMIT_MS;
    for (;;) {
      const attachment = await this.#follower.following(end - performance.now(), { upWhenAway: false });
      // A leader that has lost its majority answers readers for a while yet, so the follower may know of no problem.
      if (attachment === undefined) throw noQuorum('unknown', this.#follower.problem ?? sent.problem);
      const held = this.#records.get(key);
      if (held !== undefined && held.version >= version) {
        const made = writeIdOf(held, version);
        if (made === undefined) throw noQuorum('unknown', 'many other changes followed');
        return made === writeId;
      }
      // A stream that ends before what was expected went back, and was observed for RESTORE_TIME_MS before it was
      // followed: a leader that has just been elected and has yet to apply its log looks the same, but not for as long.
      if (attachment.log.created !== sent.created || attachment.applied !== sent.last) return false;
      const outcome = await attachment.log.write(key, Buffer.from(record.json), sent.last);
      if (outcome.kind === 'taken') await this.#stored(this.#follower.taken(attachment, outcome.seq, record));
      else if (outcome.kind === 'behind') await this.#follower.caughtUp(attachment, sent.last, outcome.last);
      else attachment.log.end({ away: true, text: outcome.text });
    }
  }

  /** Wait until a change that the stream has is synced here. Fails with `store-failed` when the store fails meanwhile. */
  async #stored(applied: Promise<void>): Promise<void> {
    const store = this.#store;
    const failed = Promise.withResolvers<never>();
    const timer = setInterval(() => {
      if (store.failure === undefined) return;
      failed.reject(
        storeFailed('the change was made in the cluster, but this node cannot store it yet', store.failure),
      );
    }, STORE_CHECK_MS);
    try {
      await Promise.race([applied, failed.promise]);
    } finally {
      clearInterval(timer);
    }
  }
}

export function storeFailed(text: string, cause: Error): SealpostError {
  return new SealpostError('store-failed', `${text}: ${errorText(cause)}`, { cause });
}

export function noQuorum(outcome: 'keep' | 'unknown', problem = 'NATS is away'): SealpostError {
  const text =
    outcome === 'keep'
      ? `keys and the directory cannot be changed until a majority of the NATS servers is back; signing goes on (${problem})`
      : `it is not known whether the change was made: look again when a majority of the NATS servers is back; signing goes on (${problem})`;
  return new SealpostError('no-quorum', text);
}
