import type { JetStreamAccess } from '../bus/jetstream-access.ts';
import { JetStreamLog, type StreamOptions } from './jetstream-log.ts';
import type { LogMessage } from './jetstream-reader.ts';

/** One reading of the stream by a replicated map: how far it got, and which records the stream lacks. */
export class Attachment {
  /** Keys whose newest record is here and not in the stream. */
  readonly stale = new Set<string>();
  /** Version of each key in the stream, as far as it was applied. */
  readonly versions = new Map<string, number>();
  /** Sequence up to which messages are being applied, and up to which they are applied and synced. */
  seen = 0;
  #applied = 0;
  #log: JetStreamLog | undefined;
  #alarm = Promise.withResolvers<'stale'>();
  readonly #waiters = new Set<{ seq: number; resolve: (reached: boolean) => void }>();

  /** Begin to read. Fails with `no-quorum`. */
  static async begin(
    connection: NonNullable<JetStreamAccess['current']>,
    options: StreamOptions,
    receive: (attachment: Attachment, message: LogMessage) => void,
  ): Promise<Attachment> {
    const attachment = new Attachment();
    // Messages may come before the answer that the reading has begun.
    attachment.#log = await JetStreamLog.attach(connection, options, (log, message) => {
      attachment.#log = log;
      receive(attachment, message);
    });
    if (attachment.log.empty) attachment.noteApplied(attachment.log.last);
    return attachment;
  }

  get log(): JetStreamLog {
    if (this.#log === undefined) throw new Error('not attached yet');
    return this.#log;
  }

  get applied(): number {
    return this.#applied;
  }

  /** The stream was found to lack the newest record of a key, or to have it older. */
  markStale(key: string): void {
    this.stale.add(key);
    this.#alarm.resolve('stale');
  }

  /** Resolves when there are stale keys, immediately if there are some already. */
  behindUs(): Promise<'stale'> {
    if (this.stale.size === 0) this.#alarm = Promise.withResolvers();
    return this.#alarm.promise;
  }

  noteApplied(seq: number): void {
    this.seen = Math.max(this.seen, seq);
    this.#applied = Math.max(this.#applied, seq);
    for (const waiter of this.#waiters) if (waiter.seq <= this.#applied) waiter.resolve(true);
  }

  /** Whether everything up to `seq` is applied and synced within `limit` milliseconds. */
  async reached(seq: number, limit: number): Promise<boolean> {
    if (this.#applied >= seq) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter = { seq, resolve };
    this.#waiters.add(waiter);
    const timer = Number.isFinite(limit) ? setTimeout(resolve, limit, false) : undefined;
    try {
      return await Promise.race([promise, this.log.ended.then(() => false)]);
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    }
  }
}
