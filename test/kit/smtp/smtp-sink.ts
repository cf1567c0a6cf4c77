import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureVersion, TLSSocket } from 'node:tls';

/**
 * An SMTP (or LMTP) server for tests: it takes mail, keeps every byte, and misbehaves where a script says so.
 *
 * A session: greeting → commands, one CRLF-ended line each → DATA: bytes until CRLF.CRLF (nothing else ends them), or BDAT
 * with its bytes → commands … → QUIT or a dropped connection. Before each reply the script may give another one, hang (say nothing
 * and stay open) or close. It is a test double: it checks no order of commands and refuses nothing by itself.
 */
export type SinkStep = {
  /**
   * CONNECT (the greeting), the verb of a command, or MESSAGE (after the final dot, and for the last BDAT of a message that
   * has a recipient; LMTP: once per recipient).
   */
  verb: string;
  /** The command line without CRLF; '' for CONNECT and for MESSAGE after a dot. */
  line: string;
  /** The address of MAIL and RCPT, and of MESSAGE in LMTP. */
  address: string;
  session: SinkSession;
};

/** `{ reply, close: true }` answers and then closes; lines of a reply are joined by CRLF, one at the end is added. */
export type SinkAction = string | 'close' | 'hang' | { reply: string; close: true };

export type SinkOptions = {
  /** 127.0.0.1 by default; any 127.x.y.z tells next hops apart. */
  host?: string;
  port?: number;
  /** Speak LMTP: LHLO, and one reply for each recipient after the final dot (RFC 2033 §4.2). */
  lmtp?: boolean;
  /** Keywords of the EHLO reply; STARTTLS is added where there is a certificate. `null`: EHLO is not known (502). */
  extensions?: readonly string[] | null;
  /**
   * Offer STARTTLS; `fail` answers 220 and then talks rubbish instead of TLS, `reset` drops the connection at the
   * ClientHello, `silent` says nothing to it.
   */
  tls?: SinkTls | 'fail' | 'reset' | 'silent';
  /** TLS from the first byte. */
  implicitTls?: boolean;
  /** BDAT is not known, although CHUNKING may be among the `extensions`: its bytes are taken for commands. */
  withoutBdat?: boolean;
  /** Another answer than the usual one; undefined: the usual one. */
  script?: (step: SinkStep) => SinkAction | undefined;
};

export type SinkTls = {
  certificate: string;
  key: string;
  minVersion?: SecureVersion;
  maxVersion?: SecureVersion;
  ciphers?: string;
  /** Drop the connection where the ClientHello offers TLS 1.3, as some firewalls do. */
  intolerant?: boolean;
};

/** An address of the envelope with its ESMTP parameters as sent: `SIZE=100`. */
export type SinkPath = { address: string; parameters: string[] };

export type SinkMessage = {
  from: SinkPath;
  /** Only recipients that were answered with 2xx. */
  recipients: SinkPath[];
  /** The message after dot-unstuffing, with the CRLF before the final dot. */
  data: Buffer;
  session: SinkSession;
};

export type SinkSession = {
  remote: string;
  /** Every command line, without CRLF. */
  lines: string[];
  /** Argument of the last HELO, EHLO or LHLO. */
  helo: string;
  tls: { protocol: string; cipher: string; serverName: string | undefined } | undefined;
  /** What the last AUTH gave; of XOAUTH2 and OAUTHBEARER the token is the password. */
  auth: { user: string; password: string } | undefined;
  messages: SinkMessage[];
  closed: boolean;
};

const END_OF_DATA = '\r\n.\r\n';
const UNKNOWN = '502 5.5.1 not known here';
const EXTENSIONS = ['PIPELINING', 'SIZE 52428800', '8BITMIME', 'ENHANCEDSTATUSCODES', 'SMTPUTF8', 'DSN'];

export class SmtpSink implements AsyncDisposable {
  /** Sessions in the order of their connection. */
  readonly sessions: SinkSession[] = [];
  /** Messages that were answered with 2xx, over all sessions, in order. */
  readonly messages: SinkMessage[] = [];
  readonly options: SinkOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(options: SinkOptions) {
    this.options = options;
    // Replies to pipelined commands leave one by one: Nagle would hold all but the first back for 40 ms.
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      new Conversation(this, socket).start();
    });
  }

  static async start(options: SinkOptions = {}): Promise<SmtpSink> {
    const sink = new SmtpSink(options);
    sink.#server.listen(options.port ?? 0, options.host ?? '127.0.0.1');
    await once(sink.#server, 'listening');
    return sink;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get host(): string {
    return (this.#server.address() as AddressInfo).address;
  }

  /** Sessions that are open right now. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Drop every connection without a word (RST). */
  dropAll(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** One connection. */
class Conversation {
  readonly #sink: SmtpSink;
  readonly #session: SinkSession;
  #socket: Socket;
  #input: Buffer = Buffer.alloc(0);
  /** What came after `#input`, and the last bytes of it all. */
  #arrived: Buffer[] = [];
  #tail: Buffer = Buffer.alloc(0);
  /** What the next bytes are; `deaf` takes and ignores everything. */
  #mode: 'command' | 'data' | 'chunk' | 'auth' | 'deaf' = 'command';
  /** Of the BDAT under way: its line, and how many bytes follow. */
  #bdat = { line: '', bytes: 0 };
  /** Chunks of a message so far. */
  #chunks: Buffer[] = [];
  #from: SinkPath = { address: '', parameters: [] };
  #recipients: SinkPath[] = [];
  #auth: string[] = [];

  constructor(sink: SmtpSink, socket: Socket) {
    this.#sink = sink;
    this.#socket = socket;
    this.#session = {
      remote: socket.remoteAddress ?? '',
      lines: [],
      helo: '',
      tls: undefined,
      auth: undefined,
      messages: [],
      closed: false,
    };
    sink.sessions.push(this.#session);
    socket.once('close', () => {
      this.#session.closed = true;
    });
  }

  start(): void {
    const { tls, implicitTls } = this.#sink.options;
    this.#listen();
    if (implicitTls === true && typeof tls === 'object') this.#secure(tls, () => this.#greet());
    else this.#greet();
  }

  #greet(): void {
    this.#answer('CONNECT', '', `220 sink.test ${this.#sink.options.lmtp === true ? 'LMTP' : 'ESMTP'}`);
  }

  #listen(): void {
    // A client that resets the connection is what some tests want to see; `closed` says it.
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('data', (bytes: Buffer) => {
      if (this.#mode === 'deaf') return;
      this.#arrived.push(bytes);
      // A large message is put together once, when its end is in sight, and not with each piece.
      const tail = Buffer.concat([this.#tail, bytes]);
      this.#tail = tail.subarray(-4);
      if (this.#mode === 'data' && this.#input.length > 4 && !tail.includes(END_OF_DATA)) return;
      this.#input = Buffer.concat([this.#input, ...this.#arrived]);
      this.#arrived = [];
      this.#work();
    });
  }

  #work(): void {
    for (;;) {
      if (this.#mode === 'deaf') return;
      if (this.#mode === 'data') {
        if (!this.#takeMessage()) return;
        continue;
      }
      if (this.#mode === 'chunk') {
        if (this.#input.length < this.#bdat.bytes) return;
        this.#takeChunk();
        continue;
      }
      const end = this.#input.indexOf('\r\n');
      if (end < 0) return;
      const line = this.#input.toString('latin1', 0, end);
      this.#input = this.#input.subarray(end + 2);
      if (this.#mode === 'auth') this.#authLine(line);
      else this.#command(line);
    }
  }

  #command(line: string): void {
    this.#session.lines.push(line);
    const verb = (/^[A-Za-z]+/.exec(line)?.[0] ?? '').toUpperCase();
    const argument = line.slice(verb.length).trim();
    switch (verb) {
      case 'HELO':
      case 'EHLO':
      case 'LHLO':
        this.#session.helo = argument;
        this.#answer(verb, line, this.#hello(verb));
        break;
      case 'MAIL':
        this.#mail(verb, line);
        break;
      case 'RCPT':
        this.#rcpt(verb, line);
        break;
      case 'DATA':
        if (this.#answer(verb, line, '354 go ahead')?.startsWith('3') === true) this.#mode = 'data';
        break;
      case 'BDAT':
        if (this.#sink.options.withoutBdat === true) this.#answer(verb, line, UNKNOWN);
        else {
          this.#bdat = { line, bytes: Number(argument.split(' ')[0]) };
          this.#mode = 'chunk';
        }
        break;
      case 'STARTTLS':
        this.#startTls(line);
        break;
      case 'AUTH':
        this.#authBegin(line, argument);
        break;
      case 'RSET':
        this.#recipients = [];
        this.#chunks = [];
        this.#answer(verb, line, '250 2.0.0 reset');
        break;
      case 'NOOP':
        this.#answer(verb, line, '250 2.0.0 ok');
        break;
      case 'QUIT':
        if (this.#answer(verb, line, '221 2.0.0 bye') !== undefined) this.#socket.end();
        break;
      default:
        this.#answer(verb, line, UNKNOWN);
    }
  }

  #hello(verb: string): string {
    const { extensions = EXTENSIONS, tls } = this.#sink.options;
    if (verb === 'HELO') return '250 sink.test';
    if (extensions === null) return UNKNOWN;
    const offer = tls !== undefined && this.#session.tls === undefined ? ['STARTTLS'] : [];
    const lines = ['sink.test', ...extensions, ...offer];
    return lines.map((text, i) => `250${i === lines.length - 1 ? ' ' : '-'}${text}`).join('\r\n');
  }

  #mail(verb: string, line: string): void {
    const path = parsePath(line);
    if (this.#answer(verb, line, '250 2.1.0 ok', path.address)?.startsWith('2') !== true) return;
    this.#from = path;
    this.#recipients = [];
  }

  #rcpt(verb: string, line: string): void {
    const path = parsePath(line);
    if (this.#answer(verb, line, '250 2.1.5 ok', path.address)?.startsWith('2') === true) this.#recipients.push(path);
  }

  /** Take the message when it is complete; false: more bytes are needed. */
  #takeMessage(): boolean {
    // RFC 5321 §4.1.1.4: the CRLF that ends the text is also the first of <CRLF>.<CRLF>; an empty text is ".<CRLF>".
    const empty = this.#input.subarray(0, 3).equals(Buffer.from('.\r\n'));
    const end = empty ? -2 : this.#input.indexOf(END_OF_DATA);
    if (!empty && end < 0) return false;
    const stuffed = this.#input.subarray(0, end + 2);
    this.#input = this.#input.subarray(end + 5);
    this.#mode = 'command';
    const message = { from: this.#from, recipients: this.#recipients, data: unstuff(stuffed), session: this.#session };
    this.#recipients = [];
    if (this.#sink.options.lmtp === true) this.#endLmtp(message);
    else if (this.#answer('MESSAGE', '', '250 2.0.0 taken')?.startsWith('2') === true) this.#keep(message);
    return true;
  }

  /** RFC 3030 §2: the bytes of a chunk are read whatever becomes of it. */
  #takeChunk(): void {
    const { line, bytes } = this.#bdat;
    this.#chunks.push(this.#input.subarray(0, bytes));
    this.#input = this.#input.subarray(bytes);
    this.#mode = 'command';
    if (this.#recipients.length === 0) {
      this.#chunks = [];
      this.#answer('BDAT', line, '503 5.5.1 no recipient');
      return;
    }
    if (!/ LAST$/i.test(line)) {
      this.#answer('BDAT', line, '250 2.0.0 go on');
      return;
    }
    const data = Buffer.concat(this.#chunks.splice(0));
    const message = { from: this.#from, recipients: this.#recipients, data, session: this.#session };
    this.#recipients = [];
    if (this.#answer('MESSAGE', line, '250 2.0.0 taken')?.startsWith('2') === true) this.#keep(message);
  }

  #endLmtp(message: SinkMessage): void {
    const taken = message.recipients.filter(
      ({ address }) => this.#answer('MESSAGE', '', '250 2.0.0 taken', address)?.startsWith('2') === true,
    );
    if (taken.length > 0) this.#keep({ ...message, recipients: taken });
  }

  #keep(message: SinkMessage): void {
    this.#session.messages.push(message);
    this.#sink.messages.push(message);
  }

  #startTls(line: string): void {
    const { tls } = this.#sink.options;
    const reply = this.#answer('STARTTLS', line, tls === undefined ? UNKNOWN : '220 2.0.0 go ahead');
    if (tls === undefined || reply?.startsWith('2') !== true) return;
    // RFC 3207 §6: what came before the handshake is forgotten.
    this.#input = Buffer.alloc(0);
    if (typeof tls === 'string') {
      this.#mode = 'deaf';
      // Behind the ClientHello: sooner, it could come with the 220 and be taken for more of the reply.
      this.#socket.once('data', () => {
        if (tls === 'fail') this.#socket.write('this is not TLS\r\n');
        if (tls === 'reset') this.#socket.resetAndDestroy();
      });
      return;
    }
    if (tls.intolerant !== true) this.#secure(tls, () => undefined);
    else {
      const plain = this.#socket;
      plain.removeAllListeners('data');
      plain.once('data', (hello: Buffer) => {
        // The extension supported_versions with TLS 1.3 in it (RFC 8446 §4.2.1).
        if (hello.includes(Buffer.from('002b', 'hex')) && hello.includes(Buffer.from('0304', 'hex'))) {
          plain.resetAndDestroy();
          return;
        }
        // What is put back is read by TLS, and by nobody before it.
        plain.pause();
        plain.unshift(hello);
        this.#secure(tls, () => undefined);
      });
    }
  }

  #secure({ certificate, key, minVersion, maxVersion, ciphers }: SinkTls, done: () => void): void {
    const plain = this.#socket;
    plain.removeAllListeners('data');
    const versions = {
      ...(minVersion && { minVersion }),
      ...(maxVersion && { maxVersion }),
      ...(ciphers && { ciphers }),
    };
    const secureContext = createSecureContext({ cert: certificate, key, ...versions });
    const secure = new TLSSocket(plain, { isServer: true, secureContext });
    secure.once('secure', () => {
      // Node gives the name that the client asked for, or false.
      const name = (secure as TLSSocket & { servername?: string | false }).servername;
      this.#session.tls = {
        protocol: secure.getProtocol() ?? '',
        cipher: secure.getCipher().name,
        serverName: name === false ? undefined : name,
      };
      done();
    });
    this.#socket = secure;
    this.#listen();
  }

  #authBegin(line: string, argument: string): void {
    const [mechanism = '', initial] = argument.split(/ +/);
    this.#auth = [mechanism.toUpperCase()];
    this.#session.auth = undefined;
    if (initial !== undefined) {
      this.#authLine(initial);
      return;
    }
    const challenge = mechanism.toUpperCase() === 'LOGIN' ? '334 VXNlcm5hbWU6' : '334 ';
    if (this.#answer('AUTH', line, challenge)?.startsWith('3') === true) this.#mode = 'auth';
  }

  #authLine(line: string): void {
    this.#mode = 'command';
    this.#auth.push(Buffer.from(line, 'base64').toString());
    const [mechanism, first = '', second] = this.#auth;
    if (mechanism === 'LOGIN' && second === undefined) {
      this.#mode = 'auth';
      this.#socket.write('334 UGFzc3dvcmQ6\r\n');
      return;
    }
    if (second !== undefined && mechanism !== 'LOGIN') {
      // The response without meaning that follows the challenge of a refused token.
      this.#socket.write('535 5.7.8 token refused\r\n');
      return;
    }
    const bearer = /^(?:user=|n,a=)(.*?),?\x01.*auth=Bearer (.*)\x01\x01$/s.exec(first);
    const [, user = '', password = ''] = bearer ?? (mechanism === 'LOGIN' ? ['', first, second] : first.split('\0'));
    this.#session.auth = { user, password };
    if (this.#answer('AUTH', '', '235 2.7.0 welcome')?.startsWith('3') === true) this.#mode = 'auth';
  }

  /** Say the script's answer or the usual one. Returns what was said, undefined when nothing was. */
  #answer(verb: string, line: string, usual: string, address = ''): string | undefined {
    const action = this.#sink.options.script?.({ verb, line, address, session: this.#session }) ?? usual;
    if (action === 'hang') {
      this.#mode = 'deaf';
      return undefined;
    }
    if (action === 'close') {
      this.#mode = 'deaf';
      this.#socket.destroy();
      return undefined;
    }
    const text = typeof action === 'string' ? action : action.reply;
    this.#socket.write(`${text}\r\n`, 'latin1');
    if (typeof action === 'string') return text;
    this.#mode = 'deaf';
    this.#socket.end();
    return undefined;
  }
}

/** `MAIL FROM:<a@b> SIZE=1` → address and parameters; UTF-8 addresses come out as text (RFC 6531). */
function parsePath(line: string): SinkPath {
  const text = Buffer.from(line, 'latin1').toString('utf8');
  const start = text.indexOf('<');
  const end = text.lastIndexOf('>');
  return {
    address: text.slice(start + 1, end),
    parameters: text
      .slice(end + 1)
      .split(' ')
      .filter((word) => word !== ''),
  };
}

/** RFC 5321 §4.5.2: the first dot of a line is removed where more follows. */
function unstuff(stuffed: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let start = 0;
  for (let dot = stuffed[0] === 0x2e ? 0 : next(0); dot >= 0; dot = next(dot)) {
    pieces.push(stuffed.subarray(start, dot));
    start = dot + 1;
  }
  return Buffer.concat([...pieces, stuffed.subarray(start)]);

  function next(from: number): number {
    const at = stuffed.indexOf('\r\n.', from);
    return at < 0 ? -1 : at + 2;
  }
}
