import type { Socket } from 'node:net';
import { errorText, SealpostError } from '#shared/errors.ts';
import { isPositive, type Reply, reply } from '#shared/mail/reply.ts';
import type { SessionTranscript } from '#shared/transcript/transcripts.ts';
import { Deadline } from './deadline.ts';
import { ConnectionEnded } from './errors.ts';
import { MAX_REPLY_BYTES, type PeerReply, ReplyParser } from './reply-parser.ts';
import { openSocket, quitSocket } from './socket.ts';
import { beginTls, type Handshake, shownBy, type TlsFacts, tlsFacts } from './tls.ts';

/**
 * One connection to a peer: bytes out, replies in, and one deadline.
 *
 * Sealpost speaks SMTP on node:net itself. A client library reports one result for a message; this way every recipient
 * gets the exact reply to its own RCPT, commands are pipelined, a lost reply to the final dot differs from a refusal,
 * and receipts name protocol and cipher.
 *
 * States. `open`: connected, in clear or TLS. `ended`: over, for the reason in `ended`; nothing leaves it. It ends when
 * the peer closes, a time-out passes, the peer sends 421 or something that is not a reply, or `destroy` is called.
 *
 * While open, `#expected` replies are due for commands already written; `expect` says where they go. An unexpected
 * reply means that the two sides no longer agree where they are, and ends the connection.
 *
 * The file is long because everything that moves this one state is in it.
 */

/** In ms, as in `delivery.timeout`. */
export type Timeouts = { connect: number; command: number; data: number };

type OnReply = (reply: Reply, index: number, lines: readonly string[]) => void;
type Waiter = { resolve: () => void; reject: (error: unknown) => void };

const IGNORE: OnReply = () => undefined;

export class Connection {
  /** `mx.example.net[192.0.2.1]:25`, for logs and receipts. */
  readonly peer: string;
  tls: TlsFacts | undefined;
  ended: ConnectionEnded | undefined;
  #socket: Socket;
  readonly #transcript: SessionTranscript | undefined;
  /** The TLS handshake is under way. */
  #securing = false;
  readonly #parser = new ReplyParser();
  readonly #deadline = new Deadline(() => this.#timedOut());
  #expected = 0;
  #received = 0;
  #onReply: OnReply = IGNORE;
  #waitsFor = '';
  /** Leave unread what follows the expected reply. */
  #hold = false;
  #repliesWaiter: Waiter | undefined;
  #progressWaiter: Waiter | undefined;
  readonly #onData = (chunk: Buffer): void => this.#data(chunk);
  readonly #onError = (error: Error): void => {
    const what = this.#securing ? `TLS handshake with ${this.peer} failed` : `connection to ${this.peer} lost`;
    this.#end('closed', what, error);
  };
  readonly #onClose = (): void => {
    this.#end('closed', `${this.peer} closed the connection`);
  };
  readonly #onDrain = (): void => this.#drained();

  private constructor(socket: Socket, peer: string, transcript: SessionTranscript | undefined) {
    this.#socket = socket;
    this.peer = peer;
    this.#transcript = transcript;
    this.#listen();
  }

  /** Connect within `timeoutMs`. Rejects with `ConnectionEnded`, also when `signal` aborts. */
  static async open(
    target: { name: string; address: string; port: number; source?: string },
    timeoutMs: number,
    signal: AbortSignal,
    transcript?: SessionTranscript,
  ): Promise<Connection> {
    const peer = `${target.name}[${target.address}]:${target.port}`;
    transcript?.note(`connecting to ${peer}`);
    const socket = openSocket(target, peer, timeoutMs, signal);
    socket.catch((error: unknown) => transcript?.ended(errorText(error)));
    return new Connection(await socket, peer, transcript);
  }

  /** Text is commands, with a `secret` in them or not, bytes are of a message. */
  write(data: Buffer | string, secret = false): void {
    if (this.ended !== undefined) return;
    if (typeof data === 'string') this.#transcript?.client(data, secret);
    else this.#transcript?.message(data.length);
    this.#socket.write(data);
  }

  /** Hold written bytes back until `uncork`, so that they leave in one system call. */
  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  /**
   * `count` replies are due for what is written now; each goes to `onReply` with its index. The peer has `eachMs` for
   * each of them (RFC 5321 §4.5.3.2), to its last byte, so that a peer that trickles comes to an end as well.
   */
  expect(count: number, what: string, eachMs: number, onReply: OnReply): void {
    this.#expected = count;
    this.#received = 0;
    this.#onReply = onReply;
    this.#waitsFor = what;
    this.within(eachMs, eachMs * count);
  }

  /** Let the next event take `eachMs`, and all that is expected `totalMs`, from now. */
  within(eachMs: number, totalMs: number): void {
    this.#deadline.within(eachMs, totalMs);
  }

  /** Resolves when every expected reply has come; rejects with `ConnectionEnded` when that cannot happen any more. */
  async replies(): Promise<void> {
    if (this.#expected === 0) return;
    if (this.ended !== undefined) throw this.ended;
    await new Promise<void>((resolve, reject) => {
      this.#repliesWaiter = { resolve, reject };
    });
  }

  /** Bytes that the kernel has not accepted yet. */
  get backlog(): number {
    return this.#socket.writableLength;
  }

  /** Resolves when the kernel has accepted all bytes, or a reply comes before that; rejects with `ConnectionEnded`. */
  async drained(): Promise<void> {
    if (this.ended !== undefined) throw this.ended;
    if (!this.#socket.writableNeedDrain) return;
    await new Promise<void>((resolve, reject) => {
      this.#progressWaiter = { resolve, reject };
    });
  }

  /** Send one command (with its CRLF; '' to wait for the greeting) and wait for its reply. */
  async command(line: string, what: string, timeoutMs: number): Promise<PeerReply> {
    let heard: PeerReply | undefined;
    if (line !== '') this.write(line, what.startsWith('AUTH'));
    this.expect(1, what, timeoutMs, (answer, _index, lines) => {
      heard = { reply: answer, lines };
    });
    await this.replies();
    if (heard === undefined) throw this.#end('closed', `${this.peer} did not answer ${what}`);
    return heard;
  }

  /**
   * STARTTLS: the peer's refusal, or the session continues in TLS. `dropped` is how many bytes came in clear after the
   * 220: an attacker puts them there to be read as if they were protected (RFC 3207 §4.2, §5), so they are discarded.
   * Rejects with `ConnectionEnded`.
   */
  async startTls(
    handshake: Handshake,
    timeoutMs: number,
  ): Promise<{ refusal: Reply } | { refusal: undefined; dropped: number }> {
    this.#hold = true;
    const { reply: answer } = await this.command('STARTTLS\r\n', 'STARTTLS', timeoutMs);
    this.#hold = false;
    if (!isPositive(answer)) {
      this.#parse();
      return { refusal: answer };
    }
    const dropped = this.#parser.clear();
    await this.secure(handshake, timeoutMs);
    return { refusal: undefined, dropped };
  }

  /** Go on in TLS, whatever the certificate. Rejects with `ConnectionEnded`. */
  async secure(handshake: Handshake, timeoutMs: number): Promise<void> {
    if (this.ended !== undefined) throw this.ended;
    const plain = this.#socket;
    plain.removeAllListeners().on('error', this.#onError);
    const socket = beginTls(plain, handshake);
    this.#socket = socket;
    this.#listen();
    this.#securing = true;
    this.#waitsFor = 'the TLS handshake';
    this.within(timeoutMs, timeoutMs);
    await new Promise<void>((resolve, reject) => {
      this.#progressWaiter = { resolve, reject };
      socket.once('secureConnect', resolve);
    });
    this.#securing = false;
    this.#progressWaiter = undefined;
    this.#deadline.lift();
    this.tls = tlsFacts(socket);
  }

  /** What the handshake showed of the peer's certificate, and our address on this connection. */
  readonly shown = () => shownBy(this.#socket);
  readonly localAddress = () => this.#socket.localAddress;

  quit(): void {
    if (this.ended !== undefined) return;
    this.ended = new ConnectionEnded('closed', reply(451, '4.4.2', 'closed after QUIT'));
    this.#deadline.close();
    this.#transcript?.client('QUIT');
    this.#transcript?.ended('connection closed');
    quitSocket(this.#socket);
  }

  /** End it now, for a reason of this node. */
  destroy(text: string): void {
    this.#end('local', text);
  }

  /** End it because of what the peer sent; returns the error to throw. */
  protocolError(text: string): ConnectionEnded {
    return this.#end('protocol', text);
  }

  #listen(): void {
    this.#socket.on('data', this.#onData).on('error', this.#onError).on('drain', this.#onDrain);
    this.#socket.on('end', this.#onClose).on('close', this.#onClose);
  }

  #data(chunk: Buffer): void {
    this.#parser.push(chunk);
    this.#parse();
  }

  #parse(): void {
    try {
      while (this.ended === undefined) {
        if (this.#hold && this.#expected === 0) return;
        const heard = this.#parser.next();
        if (heard === undefined) return;
        this.#heard(heard);
        if (heard.cut === true)
          this.#end('protocol', `${this.peer} sent a reply of more than ${MAX_REPLY_BYTES} bytes`);
      }
    } catch (error) {
      this.#end('protocol', `${this.peer}: ${errorText(error)}`);
    }
  }

  #heard({ reply: answer, lines }: PeerReply): void {
    this.#transcript?.reply(answer.code, lines);
    // 421 is the last reply, to whatever it answers, or to nothing: the peer closes (RFC 5321 §3.8).
    if (answer.code === 421) {
      this.#endWith(new ConnectionEnded('said', answer));
      return;
    }
    if (this.#received === this.#expected) {
      this.#end('protocol', `${this.peer} sent an unexpected reply: "${answer.code} ${answer.text}"`);
      return;
    }
    const index = this.#received++;
    this.#onReply(answer, index, lines);
    if (this.#received < this.#expected) {
      this.#deadline.next();
      return;
    }
    this.#deadline.lift();
    this.#expected = 0;
    this.#received = 0;
    const waiter = this.#repliesWaiter;
    this.#repliesWaiter = undefined;
    waiter?.resolve();
    this.#progress();
  }

  #drained(): void {
    this.#deadline.next();
    this.#progress();
  }

  #progress(): void {
    const waiter = this.#progressWaiter;
    this.#progressWaiter = undefined;
    waiter?.resolve();
  }

  #timedOut(): void {
    this.#end('timeout', `${this.peer} timed out while we waited for ${this.#waitsFor}`);
  }

  #end(reason: ConnectionEnded['reason'], text: string, cause?: unknown): ConnectionEnded {
    if (this.ended === undefined && (reason === 'closed' || reason === 'timeout')) this.#lastWords();
    const said = cause === undefined ? text : `${text}: ${errorText(cause)}`;
    const kept = reason === 'protocol' ? reply(451, '4.5.0', text) : reply(451, '4.4.2', said);
    return this.#endWith(new ConnectionEnded(reason, kept, { cause }));
  }

  /** What the peer has begun to say counts, although it says no more. */
  #lastWords(): void {
    if (this.#received === this.#expected) return;
    try {
      const heard = this.#parser.last();
      if (heard !== undefined) this.#heard(heard);
    } catch (error) {
      if (!(error instanceof SealpostError)) throw error;
    }
  }

  #endWith(error: ConnectionEnded): ConnectionEnded {
    if (this.ended !== undefined) return this.ended;
    this.ended = error;
    this.#transcript?.ended(`connection ended: ${error.message}`);
    this.#deadline.close();
    this.#socket.removeListener('end', this.#onClose).removeListener('close', this.#onClose);
    // Late errors of a socket that is done with mean nothing any more; without a listener they would end the process.
    this.#socket.removeListener('error', this.#onError).on('error', () => undefined);
    this.#socket.destroy();
    for (const waiter of [this.#repliesWaiter, this.#progressWaiter]) waiter?.reject(error);
    this.#repliesWaiter = undefined;
    this.#progressWaiter = undefined;
    return error;
  }
}
