import type { z } from 'zod';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { JetStreamAccess } from '../bus/jetstream-access.ts';
import { Applier } from './applier.ts';
import type { Attachment } from './attachment.ts';
import type { LogEnd } from './jetstream-log.ts';
import type { ReplicatedRecord } from './record.ts';
import type { ReplicatedRecords } from './records.ts';
import type { Seal } from './seal.ts';

/**
 * Keeps a map's records and its stream the same, both ways, for as long as the map is open. `map.ts` describes the
 * protocol; this is its reading half.
 *
 *   away       no connection, or JetStream does not answer (no majority, no -js). Tried again at each new connection
 *              and every second. → behind
 *   behind     the stream is being read from its start; then what it lacks or has older is written into it; where it
 *              was created again or lost messages, the other nodes get RESTORE_TIME_MS to do the same. → following,
 *              away
 *   following  everything in the stream is applied and synced on this node, and the stream has everything that this node
 *              holds. Left when the reading ends (`jetstream-log.ts` says why). → behind, away
 *
 * Every REFRESH_MS a second reading begins beside the first and replaces it when it has come as far.
 */
export type FollowerState = 'following' | 'behind' | 'away';

export type FollowerDeps<T> = {
  access: JetStreamAccess;
  bucket: string;
  replicas: number;
  schema: z.ZodType<T>;
  records: ReplicatedRecords<T>;
  seal: Seal | undefined;
  log: Logger;
  onChanged: (keys: string[]) => void;
  onState: (state: FollowerState) => void;
};

const READING = 'the stream is being read';
const REFRESH_MS = 10 * 60_000;
const RESTORE_TIME_MS = 5000;
const RETRY_MS = 1000;
/** Records that are written into the stream together when it lacks them. */
const RESTORE_BATCH = 64;
/** How long a message that the stream has may take to arrive. */
const ARRIVAL_MS = 3000;

export class Follower<T> {
  readonly #deps: FollowerDeps<T>;
  readonly #records: ReplicatedRecords<T>;
  readonly #log: Logger;
  readonly #applier: Applier<T>;
  readonly #closing = Promise.withResolvers<LogEnd>();
  #closed = false;
  #state: FollowerState = 'away';
  #problem: string | undefined;
  #current: Attachment | undefined;
  #running: Promise<void> = Promise.resolve();
  /** `performance.now` until which the other nodes may restore a stream that lost messages. */
  #restoreUntil = 0;
  #wake: () => void = () => undefined;
  readonly #stateWaiters = new Set<() => void>();
  #stopListening: () => void = () => undefined;

  constructor(deps: FollowerDeps<T>) {
    this.#deps = deps;
    this.#records = deps.records;
    this.#log = deps.log;
    this.#applier = new Applier(deps);
  }

  start(): void {
    this.#stopListening = this.#deps.access.onChange(() => this.#wake());
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    this.#wake();
    this.#closing.resolve({ away: true, text: 'this node is shutting down' });
    await this.#running;
    this.#applier.close();
    this.#set('away', 'this node is shutting down');
  }

  get state(): FollowerState {
    return this.#state;
  }

  /** Why it does not follow, or what is wrong although it does. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** The reading, once everything is applied; undefined when it is not within `limit` milliseconds. */
  async following(limit: number, give: { upWhenAway: boolean }): Promise<Attachment | undefined> {
    const end = performance.now() + limit;
    for (;;) {
      if (this.#state === 'following' && this.#current?.log.closed === false) return this.#current;
      const left = end - performance.now();
      if (this.#closed || left <= 0 || (this.#state === 'away' && give.upWhenAway)) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#stateWaiters.add(resolve);
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
      this.#stateWaiters.delete(resolve);
    }
  }

  /** A record of this node that the stream has taken: resolves when it, and all before it, is applied and synced. */
  taken(attachment: Attachment, seq: number, record: ReplicatedRecord<T>): Promise<void> {
    return this.#applier.taken(attachment, seq, record);
  }

  #set(state: FollowerState, problem: string | undefined): void {
    const [before, known] = [this.#state, this.#problem];
    this.#state = state;
    this.#problem = problem;
    const { bucket } = this.#deps;
    if (problem !== undefined && problem !== known && problem !== READING && !this.#closed) {
      const works = state === 'following';
      const text = works
        ? 'the stream of records is followed, but it is not as configured'
        : "the cluster's records cannot be changed on this node now";
      this.#log.warn({ bucket, state, error: problem }, text);
    } else if (state === 'following' && before !== state) {
      this.#log.info({ bucket, revision: this.#records.revision }, "following the cluster's records");
    }
    for (const waiter of this.#stateWaiters) waiter();
    if (before !== state) this.#deps.onState(state);
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const connection = this.#deps.access.current;
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      if (connection === undefined) {
        this.#set('away', 'no NATS server can be reached');
        await woken;
        continue;
      }
      try {
        // What is under way when the map is closed ends by itself, later.
        const { away, text } = await Promise.race([this.#follow(connection), this.#closing.promise]);
        this.#set(away ? 'away' : 'behind', text);
      } catch (error) {
        if (!(error instanceof SealpostError)) this.#log.error({ err: error }, 'following the stream failed');
        this.#set('away', errorText(error instanceof SealpostError ? error.message : error));
      } finally {
        this.#current?.log.close();
        this.#current = undefined;
      }
      if (this.#deps.access.current === connection) await this.#pause(woken);
    }
  }

  async #pause(woken: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const pause = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, RETRY_MS * (0.5 + Math.random() / 2));
    });
    await Promise.race([pause, woken]);
    clearTimeout(timer);
  }

  /** Read the stream until that ends. Fails with `no-quorum` when it cannot begin. */
  async #follow(connection: NonNullable<JetStreamAccess['current']>): Promise<LogEnd> {
    // Loaded where there is a stream: a node without a bus starts sooner.
    const { Attachment } = await import('./attachment.ts');
    for (;;) {
      const { access, bucket, replicas } = this.#deps;
      const options = { bucket, replicas, create: !access.restricted };
      this.#records.sealWhereEmpty();
      const next = await Attachment.begin(connection, options, (attachment, message) =>
        this.#applier.add(attachment, message),
      );
      const before = this.#current;
      const goesOn = before?.log.closed === false && before.log.created === next.log.created;
      if (!goesOn && !this.#closed) this.#set('behind', READING);
      const ended = Promise.race([next.log.ended, this.#closing.promise]);
      const failed = (await Promise.race([ended, this.#catchUp(next)])) ?? (await this.#holdBack(ended));
      if (failed !== undefined) {
        next.log.close();
        return failed;
      }
      this.#current = next;
      before?.log.close();
      this.#set('following', next.log.problem);
      const end = await this.#stayUp(next, ended);
      if (end !== undefined) return end;
    }
  }

  /** Apply the stream up to its end, and give it what it lacks. */
  async #catchUp(attachment: Attachment): Promise<LogEnd | undefined> {
    const { log } = attachment;
    const known = this.#records.position;
    if (known !== undefined && (known.created !== log.created || log.last < known.last)) {
      this.#restoreUntil = performance.now() + RESTORE_TIME_MS;
      const text = 'the stream lost changes or was created again: writing what this node holds into it';
      this.#log.warn({ bucket: this.#deps.bucket, last: log.last, known: known.last, created: log.created }, text);
    }
    if (!(await attachment.reached(log.last, Number.POSITIVE_INFINITY))) return log.ended;
    for (const key of this.#records.keys()) {
      const version = this.#records.get(key)?.version ?? 0;
      if (version > (attachment.versions.get(key) ?? 0)) attachment.stale.add(key);
    }
    return this.#restore(attachment);
  }

  async #holdBack(ended: Promise<LogEnd>): Promise<LogEnd | undefined> {
    const left = this.#restoreUntil - performance.now();
    if (left <= 0) return undefined;
    this.#set('behind', 'the stream was created again: waiting for the other nodes to restore what they hold');
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, left, undefined);
    });
    const end = await Promise.race([ended, over]);
    clearTimeout(timer);
    return end;
  }

  /** Resolves when the reading ends, or to undefined when it is time for a new one. */
  async #stayUp(attachment: Attachment, ended: Promise<LogEnd>): Promise<LogEnd | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const began = performance.now();
    const keys = this.#sealKeys;
    const refresh = new Promise<'refresh'>((resolve) => {
      // With another key for the seal what was refused may be authentic.
      const isDue = (): boolean => performance.now() - began > REFRESH_MS || this.#sealKeys !== keys;
      timer = setInterval(() => isDue() && resolve('refresh'), RETRY_MS);
    });
    try {
      for (;;) {
        const next = await Promise.race([ended, refresh, attachment.behindUs()]);
        if (next === 'refresh') return undefined;
        if (next !== 'stale') return next;
        const end = await Promise.race([ended, this.#restore(attachment)]);
        if (end !== undefined) return end;
      }
    } finally {
      clearInterval(timer);
    }
  }

  get #sealKeys(): string {
    return this.#deps.seal?.keys.join() ?? '';
  }

  /** Write into the stream what it lacks or has older. Resolves to undefined when that is done. */
  async #restore(attachment: Attachment): Promise<LogEnd | undefined> {
    const { log, stale, versions } = attachment;
    for (;;) {
      // Without a key it is not known which of the two is authentic.
      if (this.#deps.seal?.keys.length === 0) stale.clear();
      const records: ReplicatedRecord<T>[] = [];
      for (const key of stale) {
        const record = this.#records.get(key);
        if (record === undefined || record.version <= (versions.get(key) ?? 0)) stale.delete(key);
        else if (records.length < RESTORE_BATCH) records.push(record);
      }
      if (records.length === 0) return undefined;
      const first = attachment.applied;
      // Each is taken only directly after the one before it.
      const writes = records.map((r, i) => log.write(r.key, Buffer.from(r.json), first + i));
      const applied: Promise<void>[] = [];
      for (const [i, record] of records.entries()) {
        const outcome = await writes[i];
        if (outcome?.kind === 'taken') applied.push(this.taken(attachment, outcome.seq, record));
        else if (outcome?.kind === 'behind') {
          if (i > 0) break;
          await this.caughtUp(attachment, first, outcome.last);
          break;
        } else if (outcome !== undefined) {
          log.end({ away: true, text: outcome.text });
          return log.ended;
        }
      }
      await Promise.all(applied);
    }
  }

  /** The stream ends at `last` and not at `expected`: wait until what came between is applied, else end the reading. */
  async caughtUp(attachment: Attachment, expected: number, last = expected + 1): Promise<void> {
    if (last < expected) attachment.log.end({ away: false, text: `the stream lost changes: it ends at ${last}` });
    else if (!(await attachment.reached(last, ARRIVAL_MS))) {
      attachment.log.end({ away: false, text: 'changes in the stream do not arrive' });
    }
  }
}
