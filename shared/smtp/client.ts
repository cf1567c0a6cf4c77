import { isAscii } from 'node:buffer';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { connect as connectTls, rootCertificates, type TLSSocket } from 'node:tls';
import { errorCode, errorText, SealpostError } from '../errors.ts';
import type { Secret } from '../secret.ts';

/**
 * A client that sends one message to a listener, as a person tries it: with TLS where `tls` says so, and AUTH PLAIN where a user is
 * given. Errors: `no-node` when nothing listens there, `unreachable`, and `refused` with the server's own words.
 */
export type SmtpMail = {
  host: string;
  port: number;
  /** `offered`: STARTTLS where the server offers it. */
  tls: 'implicit' | 'starttls' | 'offered' | 'none';
  /** The name that the certificate must be for. */
  serverName: string;
  /** PEM certificates to trust beside those of the system. */
  trusted: string[];
  /** Nothing is sent before the certificate was verified; without it, the answer tells whether it is valid. */
  verify: boolean;
  /** What it calls itself. */
  helo: string;
  login?: { user: string; password: Secret } | undefined;
  from: string;
  to: string[];
  /** The message with CRLF line ends. */
  message: string;
  /** What is sent before anything else: a header of the PROXY protocol. */
  opening?: ((socket: Socket) => string) | undefined;
  /** Told of each reply, also of the one that ends it. Secrets are not in `command`; '' is the connection. */
  onReply?: ((command: string, reply: string[]) => void) | undefined;
};

/** What the server said at the end, and over which TLS. `problem`: why its certificate is not valid. */
export type SmtpSent = { reply: string; tls?: { protocol: string; cipher: string; problem?: string } };

/** Longest silence of the server. */
const PATIENCE_MS = 30_000;

export async function sendMail(mail: SmtpMail): Promise<SmtpSent> {
  const place = `${mail.host}:${mail.port}`;
  const plain = connectTcp({ host: mail.host, port: mail.port });
  try {
    await once(plain, 'connect');
    plain.write(mail.opening?.(plain) ?? '');
    const { server, secure } = await openSession(plain, mail);
    const reply = await transact(server, mail);
    server.end();
    return { reply, ...(secure !== undefined && { tls: tlsOf(secure) }) };
  } catch (error) {
    if (error instanceof SealpostError) throw error;
    if (errorCode(error) === 'ECONNREFUSED') {
      throw new SealpostError('no-node', `nothing listens on ${place}: start the node with "npx sealpost start"`);
    }
    throw new SealpostError('unreachable', `cannot submit to ${place}: ${errorText(error)}`);
  } finally {
    plain.destroySoon();
  }
}

/** A session that has begun, with TLS where it has it. */
async function openSession(plain: Socket, mail: SmtpMail): Promise<{ server: Conversation; secure?: TLSSocket }> {
  const hello = `EHLO ${mail.helo}`;
  if (mail.tls === 'implicit') {
    const secure = await encrypt(plain, mail);
    const server = new Conversation(secure, mail);
    await server.expect('2');
    await server.say(hello, '2');
    return { server, secure };
  }
  const clear = new Conversation(plain, mail);
  await clear.expect('2');
  const offers = await clear.say(hello, '2');
  const wanted = mail.tls === 'starttls' || (mail.tls === 'offered' && /^250[- ]STARTTLS$/im.test(offers));
  if (!wanted) return { server: clear };
  // STARTTLS (RFC 3207): what the server said before it no longer counts.
  await clear.say('STARTTLS', '2');
  clear.close();
  const secure = await encrypt(plain, mail);
  const server = new Conversation(secure, mail);
  await server.say(hello, '2');
  return { server, secure };
}

async function transact(server: Conversation, mail: SmtpMail): Promise<string> {
  const { login, from, to } = mail;
  if (login !== undefined) {
    const response = Buffer.from(`\0${login.user}\0${login.password.reveal()}`).toString('base64');
    await server.say(`AUTH PLAIN ${response}`, '2', `AUTH PLAIN (user ${login.user})`);
  }
  // RFC 6531 §3.4: addresses and header fields that are not ASCII.
  const utf8 = isAscii(Buffer.from(from + to.join(''))) ? '' : ' SMTPUTF8';
  await server.say(`MAIL FROM:<${from}>${utf8}`, '2');
  for (const recipient of to) await server.say(`RCPT TO:<${recipient}>`, '2');
  await server.say('DATA', '3');
  // A line that begins with a dot gets another (RFC 5321 §4.5.2).
  const body = mail.message.replace(/^\./gm, '..');
  return server.say(`${body}${body.endsWith('\r\n') ? '' : '\r\n'}.`, '2', MESSAGE);
}

/** What `onReply` is told as the command of the reply to the message itself. */
export const MESSAGE = 'the message';

async function encrypt(plain: Socket, { serverName, trusted, verify }: SmtpMail): Promise<TLSSocket> {
  const ca = [...rootCertificates, ...trusted];
  const socket = connectTls({ socket: plain, servername: serverName, ca, rejectUnauthorized: verify });
  await once(socket, 'secureConnect');
  return socket;
}

function tlsOf(socket: TLSSocket): NonNullable<SmtpSent['tls']> {
  const { authorized, authorizationError } = socket;
  return {
    protocol: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher().standardName,
    ...(!authorized && { problem: String(authorizationError) }),
  };
}

/** Commands and replies, one at a time. */
class Conversation {
  readonly #socket: Socket;
  readonly #input: Interface;
  readonly #lines: AsyncIterator<string>;
  readonly #onReply: SmtpMail['onReply'];

  constructor(socket: Socket, { onReply }: SmtpMail) {
    this.#onReply = onReply;
    this.#socket = socket.setTimeout(PATIENCE_MS, () => {
      socket.destroy(new Error(`the server was silent for ${PATIENCE_MS / 1000} s`));
    });
    this.#input = createInterface({ input: socket });
    this.#lines = this.#input[Symbol.asyncIterator]();
  }

  /** Send a line and take its reply. `name` stands for it where it holds what must not be shown, or is long. */
  async say(line: string, expected: string, name = line): Promise<string> {
    this.#socket.write(`${line}\r\n`);
    return this.expect(expected, name);
  }

  /** The next reply, which must begin with this digit. */
  async expect(digit: string, name = ''): Promise<string> {
    const lines: string[] = [];
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error('the server closed the connection');
      lines.push(value);
      // `250-` says that more lines follow (RFC 5321 §4.2.1).
      if (!/^\d{3}-/.test(value)) break;
    }
    this.#onReply?.(name, lines);
    const reply = lines.join('\n');
    if (!reply.startsWith(digit))
      throw new SealpostError('refused', `${name || 'the connection'} was refused: ${reply}`);
    return reply;
  }

  /** Stop reading, and leave the socket open. */
  close(): void {
    this.#input.close();
    this.#socket.setTimeout(0);
  }

  end(): void {
    this.#socket.end('QUIT\r\n');
  }
}
