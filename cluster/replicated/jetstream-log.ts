import {
  AckPolicy,
  DeliverPolicy,
  ErrorCode,
  headers,
  type JetStreamManager,
  type Msg,
  type NatsConnection,
  NatsError,
  nanos,
  type Subscription,
} from 'nats';
import { SealpostError } from '#shared/errors.ts';
import {
  ANSWER_LIMIT_MS,
  ensureStream,
  explain,
  JS_ERROR,
  jetStreamCode,
  keyOf,
  MAX_MESSAGE,
  streamName,
  subjectOf,
} from './jetstream-stream.ts';

/**
 * One reading of a stream, from its first message on and then as messages arrive, and writing after what was read.
 *
 * Reading is a push consumer of our own that lives as long as this object. Its messages are numbered without gaps
 * (consumer sequence); the first gap, a missing heartbeat, an error status or a stream that is not the one it was at
 * the start ends the reading for good (`ended`); its user then attaches again and reads everything again.
 *
 * Every `CHECK_MS` ms the stream's leader is asked for the stream's state. The reading ends when the stream was created
 * again (`created`), lost messages (last sequence below what was read), or holds messages that do not arrive; and
 * when no answer comes, which means that JetStream has no majority.
 *
 * Writing carries `Nats-Expected-Last-Sequence`: the stream takes a message only when its last sequence is exactly
 * that, which servers decide in the order of their log. (The check per subject, `Nats-Expected-Last-Subject-Sequence`,
 * lets several concurrent writers win in nats-server 2.9.) So of the messages with one expected sequence at most one
 * is taken, however often they are sent.
 */
export type StreamOptions = {
  bucket: string;
  replicas: number;
  /** The subject to read on, for this reading alone. */
  inbox: string;
};

/** A message: `key` is undefined when its subject is not one of ours. */
export type LogMessage = { seq: number; key: string | undefined; data: Uint8Array };

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
const HEARTBEAT_MS = 1000;
const SILENCE_MS = 3500;
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
  #heard = performance.now();
  #consumerSeq = 0;
  #delivered = 0;
  #late = 0;

  private constructor(
    connection: NatsConnection,
    jsm: JetStreamManager,
    options: StreamOptions,
    stream: { created: string; last: number; empty: boolean; problem: string | undefined },
  ) {
    this.#connection = connection;
    this.#jsm = jsm;
    this.#options = options;
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
   * Create the stream if need be and read it from its start: `receive` gets every message in the order of the stream.
   * Fails with `no-quorum` when JetStream does not answer or cannot keep the stream; the text says what to do.
   */
  static async attach(
    connection: NatsConnection,
    options: StreamOptions,
    receive: (log: JetStreamLog, message: LogMessage) => void,
  ): Promise<JetStreamLog> {
    const jsm = await connection.jetstream({ timeout: ANSWER_LIMIT_MS }).jetstreamManager(false);
    const { info, problem } = await ensureStream(jsm, options.bucket, options.replicas);
    const { last_seq: last, messages } = info.state;
    const stream = { created: String(info.created), last, empty: messages === 0, problem };
    const log = new JetStreamLog(connection, jsm, options, stream);
    try {
      await log.#read(receive);
    } catch (error) {
      log.close();
      throw new SealpostError('no-quorum', explain(error, options.replicas), { cause: error });
    }
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
      return readAnswer(reply.json());
    } catch (error) {
      if (error instanceof NatsError && SURELY_NOT_SENT.has(error.code)) {
        return { kind: 'refused', text: explain(error, replicas) };
      }
      return { kind: 'unknown', text: explain(error, replicas) };
    }
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
    // The server removes the consumer when its subject has no subscriber any more.
    if (!this.#connection.isClosed()) this.#subscription?.unsubscribe();
  }

  async #read(receive: (log: JetStreamLog, message: LogMessage) => void): Promise<void> {
    const { inbox } = this.#options;
    this.#subscription = this.#connection.subscribe(inbox, {
      callback: (error, message) => {
        if (this.#closed) return;
        if (error !== null) this.#end({ away: false, text: `NATS refuses to deliver changes: ${error.message}` });
        else this.#arrived(message, receive);
      },
    });
    await this.#jsm.consumers.add(streamName(this.#options.bucket), {
      deliver_subject: inbox,
      deliver_policy: DeliverPolicy.All,
      ack_policy: AckPolicy.None,
      max_deliver: 1,
      flow_control: true,
      idle_heartbeat: nanos(HEARTBEAT_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    this.#heard = performance.now();
    let checking: Promise<void> | undefined;
    let checked = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (now - this.#heard > SILENCE_MS) this.#end({ away: false, text: 'NATS delivers no changes any more' });
      else if (checking === undefined && now - checked >= CHECK_MS) {
        checking = this.#check().finally(() => {
          checking = undefined;
          checked = performance.now();
        });
      }
    }, HEARTBEAT_MS / 2);
    void this.#connection.closed().then(() => {
      if (!this.#closed) this.#end({ away: true, text: 'the connection to NATS was lost' });
    });
  }

  #arrived(message: Msg, receive: (log: JetStreamLog, message: LogMessage) => void): void {
    this.#heard = performance.now();
    // A message of the stream may have the headers of a status: its reply subject, which would acknowledge it, tells.
    if (message.reply?.startsWith('$JS.ACK.') !== true) {
      this.#status(message, message.headers?.code ?? 0);
      return;
    }
    // $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>[.<token>]
    const tokens = (message.reply ?? '').split('.');
    const at = tokens.length === 9 ? 5 : 7;
    const [seq, consumerSeq] = [Number(tokens[at]), Number(tokens[at + 1])];
    if (consumerSeq !== this.#consumerSeq + 1) {
      this.#end({ away: false, text: `changes were lost on the way: ${this.#consumerSeq + 1} missing` });
      return;
    }
    this.#consumerSeq = consumerSeq;
    this.#delivered = seq;
    receive(this, { seq, key: keyOf(this.#options.bucket, message.subject), data: message.data });
  }

  #status(message: Msg, code: number): void {
    if (code !== 100) {
      this.#end({ away: false, text: `NATS ended the delivery of changes: ${message.headers?.description ?? code}` });
      return;
    }
    if (message.reply !== undefined && message.reply !== '') message.respond();
    const stalled = message.headers?.get('Nats-Consumer-Stalled') ?? '';
    if (stalled !== '') this.#connection.publish(stalled);
    const last = message.headers?.get('Nats-Last-Consumer') ?? '';
    if (last !== '' && Number(last) !== this.#consumerSeq) {
      this.#end({ away: false, text: `changes were lost on the way: ${this.#consumerSeq + 1} to ${last} missing` });
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
