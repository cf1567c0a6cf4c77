import { ErrorCode, headers, type JetStreamManager, type NatsConnection, NatsError, type Subscription } from 'nats';
import { type LogMessage, StreamReader } from './jetstream-reader.ts';
import {
  ANSWER_LIMIT_MS,
  ensureStream,
  explain,
  findStream,
  JS_ERROR,
  jetStreamCode,
  MAX_MESSAGE,
  streamEvent,
  streamName,
  subjectOf,
} from './jetstream-stream.ts';

/**
 * One reading of a stream, from its first message on and then as messages arrive, and writing after what was read.
 *
 * Reading asks the stream's leader for one message after the other (`jetstream-reader.ts`). It begins with what the
 * stream held at the start. Then it looks for more whenever a writer says that there is something new (`streamEvent`),
 * after an own write that came too late, and every `CHECK_MS` ms, which makes good what was not heard.
 *
 * Every `CHECK_MS` ms the stream's leader is also asked for the stream's state. The reading ends for good (`ended`) when
 * the stream was created again (`created`), lost messages (last sequence below what was read), or holds messages that
 * do not arrive; and when no answer comes, which means that JetStream has no majority. Its user then attaches again and
 * reads everything again. A stream that was created again is noticed before the 5 s are over in which nodes only
 * restore it (`map.ts`), so no change is missed that was made in it.
 *
 * Writing carries `Nats-Expected-Last-Sequence`: the stream takes a message only when its last sequence is exactly
 * that, which servers decide in the order of their log. (The check per subject, `Nats-Expected-Last-Subject-Sequence`,
 * lets several concurrent writers win in nats-server 2.9.) So of the messages with one expected sequence at most one
 * is taken, however often they are sent.
 */
export type StreamOptions = {
  bucket: string;
  replicas: number;
  /** Whether the stream is created and corrected; else it is used as it is. */
  create: boolean;
};

/**
 * How a write went: `taken` with its sequence; `behind` when the stream's last sequence was another, given where known;
 * `refused`, surely not written; `unknown` when no answer came.
 */
export type WriteOutcome =
  | { kind: 'taken'; seq: number }
  | { kind: 'behind'; last: number | undefined }
  | { kind: 'refused' | 'unknown'; text: string };

/** Why a reading ended; `away` when JetStream does not answer, otherwise reading again may help immediately. */
export type LogEnd = { away: boolean; text: string };

/** Bytes for the headers and the subject of a message. */
const HEADER_ROOM = 4096;
const CHECK_MS = 2000;
/** Rounds of checks after which messages that do not arrive end the reading. */
const LATE_CHECKS = 2;

export class JetStreamLog {
  /** When the stream was created, as JetStream says: tells a stream from a later one of the same name. */
  readonly created: string;
  /** The stream's last sequence at the start, and whether it held any messages. */
  readonly last: number;
  readonly empty: boolean;
  /** What is not as configured although the stream works. */
  readonly problem: string | undefined;
  readonly ended: Promise<LogEnd>;
  readonly #end: (end: LogEnd) => void;
  readonly #connection: NatsConnection;
  readonly #options: StreamOptions;
  readonly #jsm: JetStreamManager;
  #subscription: Subscription | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #reader: StreamReader;
  readonly #receive: (log: JetStreamLog, message: LogMessage) => void;
  /**
   * What there is to read up to, as far as was said; whether that came in meanwhile, and whether reading is under way.
   */
  #until = 0;
  #news = false;
  #reading = false;
  /** Everything up to this sequence was read. */
  #delivered = 0;
  #late = 0;

  private constructor(
    connection: NatsConnection,
    jsm: JetStreamManager,
    options: StreamOptions,
    stream: { created: string; last: number; empty: boolean; problem: string | undefined },
    receive: (log: JetStreamLog, message: LogMessage) => void,
  ) {
    this.#connection = connection;
    this.#jsm = jsm;
    this.#options = options;
    this.#reader = new StreamReader(jsm, options.bucket);
    this.#receive = receive;
    this.created = stream.created;
    this.last = stream.last;
    this.empty = stream.empty;
    this.problem = stream.problem;
    const ended = Promise.withResolvers<LogEnd>();
    this.ended = ended.promise;
    this.#end = (end) => {
      this.close();
      ended.resolve(end);
    };
  }

  /**
   * Read the stream from its start: `receive` gets every message in the order of the stream. Fails with
   * `no-quorum` when JetStream does not answer or has no such stream; the text says what to do.
   */
  static async attach(
    connection: NatsConnection,
    options: StreamOptions,
    receive: (log: JetStreamLog, message: LogMessage) => void,
  ): Promise<JetStreamLog> {
    const jsm = await connection.jetstream({ timeout: ANSWER_LIMIT_MS }).jetstreamManager(false);
    const look = options.create ? ensureStream : findStream;
    const { info, problem } = await look(jsm, options.bucket, options.replicas);
    const { last_seq: last, messages } = info.state;
    const stream = { created: String(info.created), last, empty: messages === 0, problem };
    const log = new JetStreamLog(connection, jsm, options, stream, receive);
    log.#begin();
    return log;
  }

  /** Write a message directly after sequence `expected`. Never rejects. */
  async write(key: string, data: Uint8Array, expected: number): Promise<WriteOutcome> {
    const { bucket, replicas } = this.#options;
    const head = headers();
    head.set('Nats-Expected-Last-Sequence', String(expected));
    head.set('Nats-Expected-Stream', streamName(bucket));
    try {
      const subject = subjectOf(bucket, key);
      const reply = await this.#connection.request(subject, data, { headers: head, timeout: ANSWER_LIMIT_MS });
      const outcome = readAnswer(reply.json());
      if (outcome.kind === 'behind') this.#look(outcome.last);
      else if (outcome.kind !== 'taken') this.#look();
      else {
        // What directly follows what was read need not be asked for.
        if (outcome.seq === this.#delivered + 1) this.#arrived({ seq: outcome.seq, key, data });
        this.#announce(outcome.seq);
      }
      return outcome;
    } catch (error) {
      if (error instanceof NatsError && SURELY_NOT_SENT.has(error.code)) {
        return { kind: 'refused', text: explain(error, replicas) };
      }
      return { kind: 'unknown', text: explain(error, replicas) };
    }
  }

  /** Tell the other readers. One that does not hear it looks within CHECK_MS. */
  #announce(seq: number): void {
    if (!this.#connection.isClosed()) this.#connection.publish(streamEvent(this.#options.bucket), String(seq));
  }

  /** Longest message that this connection carries to the stream, in bytes, without its headers. */
  get longest(): number {
    return Math.min(MAX_MESSAGE, this.#connection.info?.max_payload ?? MAX_MESSAGE) - HEADER_ROOM;
  }

  /** Whether the reading has ended, for whatever reason. */
  get closed(): boolean {
    return this.#closed;
  }

  /** End the reading, for a reason that its user found. */
  end(end: LogEnd): void {
    this.#end(end);
  }

  /** Read no more. `ended` does not resolve by this. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    if (!this.#connection.isClosed()) this.#subscription?.unsubscribe();
  }

  #begin(): void {
    this.#subscription = this.#connection.subscribe(streamEvent(this.#options.bucket), {
      callback: (error, message) => {
        const seq = error === null ? Number(message.string()) : 0;
        if (error === null) this.#look(Number.isSafeInteger(seq) ? seq : undefined);
        else this.#end({ away: false, text: `NATS does not let changes be heard: ${error.message}` });
      },
    });
    let checking = false;
    this.#timer = setInterval(async () => {
      if (checking) return;
      checking = true;
      await this.#check();
      checking = false;
    }, CHECK_MS);
    void this.#connection.closed().then(() => {
      if (!this.#closed) this.#end({ away: true, text: 'the connection to NATS was lost' });
    });
    void this.#readFirst();
  }

  async #readFirst(): Promise<void> {
    this.#reading = true;
    try {
      await this.#reader.read(1, this.last, (message) => this.#arrived(message));
    } catch (error) {
      this.#end({ away: true, text: explain(error, this.#options.replicas) });
    }
    this.#reading = false;
    this.#look();
  }

  #arrived(message: LogMessage): boolean {
    if (this.#closed) return false;
    if (message.seq <= this.#delivered) return true;
    this.#delivered = message.seq;
    this.#receive(this, message);
    return true;
  }

  /** Read on to a sequence, or as far as there is something. */
  #look(until = Number.POSITIVE_INFINITY): void {
    this.#until = Math.max(this.#until, until);
    this.#news = true;
    if (this.#reading || this.#closed) return;
    void this.#readOn();
  }

  async #readOn(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#until > this.#delivered && !this.#closed) {
        this.#news = false;
        const message = await this.#reader.next(this.#delivered + 1);
        if (message !== undefined) this.#arrived(message);
        else if (!this.#news) this.#until = this.#delivered;
      }
    } catch (error) {
      this.#end({ away: true, text: explain(error, this.#options.replicas) });
    } finally {
      // In the same tick as the last look at the news: none can come in between and stay unnoticed.
      this.#reading = false;
    }
  }

  async #check(): Promise<void> {
    const { bucket, replicas } = this.#options;
    const before = this.#delivered;
    try {
      const { created, state } = await this.#jsm.streams.info(streamName(bucket));
      if (this.#closed) return;
      if (String(created) !== this.created) this.#end({ away: false, text: 'the stream was created again' });
      else if (state.last_seq < before || state.last_seq < this.last) {
        this.#end({ away: false, text: `the stream lost changes: it ends at ${state.last_seq}, ${before} were read` });
      } else {
        this.#late =
          state.messages > 0 && state.last_seq > this.#delivered && this.#delivered === before ? this.#late + 1 : 0;
        if (this.#late > LATE_CHECKS) this.#end({ away: false, text: 'changes in the stream do not arrive' });
        else if (state.last_seq > this.#delivered) this.#look(state.last_seq);
      }
    } catch (error) {
      if (this.#closed) return;
      this.#end({ away: jetStreamCode(error) !== JS_ERROR.streamNotFound, text: explain(error, replicas) });
    }
  }
}

/** Errors of a request that never left this process, or that no server got. */
const SURELY_NOT_SENT: ReadonlySet<string> = new Set([
  ErrorCode.NoResponders,
  ErrorCode.MaxPayloadExceeded,
  ErrorCode.ConnectionClosed,
  ErrorCode.ConnectionDraining,
]);

type Answer = { seq?: number; error?: { err_code?: number; description?: string } };

function readAnswer({ seq, error }: Answer): WriteOutcome {
  // An error comes with a sequence too: 0.
  if (error === undefined && seq !== undefined && seq > 0) return { kind: 'taken', seq };
  const text = error?.description ?? 'an answer without sequence';
  if (error?.err_code === JS_ERROR.wrongLastSequence) {
    const last = /(\d+)$/.exec(text)?.[1];
    return { kind: 'behind', last: last === undefined ? undefined : Number(last) };
  }
  // Any other error may be the leader's alone, while the other servers wrote the message.
  return { kind: 'unknown', text: `JetStream answers: ${text}` };
}
