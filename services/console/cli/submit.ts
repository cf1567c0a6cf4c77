import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { connect as connectTls, rootCertificates, type TLSSocket } from 'node:tls';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Secret } from '#shared/secret.ts';

/**
 * A submission client (RFC 6409) for `sealpost send`: one message over TLS, with AUTH PLAIN. It sends nothing before
 * the server's certificate was verified. Errors: `no-node` when nothing listens there, `unreachable`, and `refused`
 * with the server's own words.
 */
export type Submission = {
  host: string;
  port: number;
  tls: 'implicit' | 'starttls';
  /** The name that the certificate must be for. */
  serverName: string;
  /** PEM certificates to trust beside those of the system. */
  trusted: string[];
  user: string;
  password: Secret;
  from: string;
  to: string[];
  /** The message with CRLF line ends. */
  message: string;
};

/** What the server said, and over which TLS. */
export type Submitted = { reply: string; protocol: string; cipher: string };

/** Longest silence of the server. */
const PATIENCE_MS = 30_000;

export async function submit(mail: Submission): Promise<Submitted> {
  const place = `${mail.host}:${mail.port}`;
  const plain = connectTcp({ host: mail.host, port: mail.port });
  try {
    await once(plain, 'connect');
    const socket = mail.tls === 'implicit' ? await encrypt(plain, mail) : await upgrade(plain, mail);
    // After STARTTLS the server waits for EHLO; with implicit TLS it greets first.
    const conversation = new Conversation(socket);
    if (mail.tls === 'implicit') await conversation.expect('2');
    const reply = await transact(conversation, mail);
    socket.end('QUIT\r\n');
    return { reply, protocol: socket.getProtocol() ?? 'unknown', cipher: socket.getCipher().standardName };
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

async function transact(server: Conversation, mail: Submission): Promise<string> {
  await server.say('EHLO localhost', '2');
  const login = Buffer.from(`\0${mail.user}\0${mail.password.reveal()}`).toString('base64');
  await server.say(`AUTH PLAIN ${login}`, '2', 'AUTH PLAIN');
  await server.say(`MAIL FROM:<${mail.from}>`, '2');
  for (const recipient of mail.to) await server.say(`RCPT TO:<${recipient}>`, '2');
  await server.say('DATA', '3');
  // A line that begins with a dot gets another (RFC 5321 §4.5.2).
  const body = mail.message.replace(/^\./gm, '..');
  return server.say(`${body}${body.endsWith('\r\n') ? '' : '\r\n'}.`, '2', 'the message');
}

/** STARTTLS (RFC 3207): what the server said before it no longer counts. */
async function upgrade(plain: Socket, mail: Submission): Promise<TLSSocket> {
  const conversation = new Conversation(plain);
  await conversation.expect('2');
  await conversation.say('EHLO localhost', '2');
  await conversation.say('STARTTLS', '2');
  conversation.close();
  return encrypt(plain, mail);
}

async function encrypt(plain: Socket, mail: Submission): Promise<TLSSocket> {
  const socket = connectTls({ socket: plain, servername: mail.serverName, ca: [...rootCertificates, ...mail.trusted] });
  await once(socket, 'secureConnect');
  return socket;
}

/** Commands and replies, one at a time. */
class Conversation {
  readonly #socket: Socket;
  readonly #input: Interface;
  readonly #lines: AsyncIterator<string>;

  constructor(socket: Socket) {
    this.#socket = socket.setTimeout(PATIENCE_MS, () => {
      socket.destroy(new Error(`the server was silent for ${PATIENCE_MS / 1000} s`));
    });
    this.#input = createInterface({ input: socket });
    this.#lines = this.#input[Symbol.asyncIterator]();
  }

  /** Send a line and take its reply. `name` stands for it in errors where it holds what must not be shown. */
  async say(line: string, expected: string, name = line): Promise<string> {
    this.#socket.write(`${line}\r\n`);
    return this.expect(expected, name);
  }

  /** The next reply, which must begin with this digit. */
  async expect(digit: string, name = 'the connection'): Promise<string> {
    const lines: string[] = [];
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error('the server closed the connection');
      lines.push(value);
      // `250-` says that more lines follow (RFC 5321 §4.2.1).
      if (!/^\d{3}-/.test(value)) break;
    }
    const reply = lines.join('\n');
    if (!reply.startsWith(digit)) throw new SealpostError('refused', `${name} was refused: ${reply}`);
    return reply;
  }

  /** Stop reading, and leave the socket open. */
  close(): void {
    this.#input.close();
    this.#socket.setTimeout(0);
  }
}
