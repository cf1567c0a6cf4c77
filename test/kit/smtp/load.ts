import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls, createSecureContext } from 'node:tls';

/**
 * A load of mail that knows what it was promised: every message carries an id of its own, and `accepted` holds the ids
 * that were answered with 250. A message whose reply never came is in `unknown`: it may arrive or not. A refused one is
 * in `refused`, by its reply. After a broken connection or a 421 a session reconnects, so a load outlives restarts.
 */
export type LoadOptions = {
  /** Several: those of listeners that are tried in turn, as `hosts`. */
  port: number | readonly number[];
  host?: string;
  /** In place of `host`: each session is at the next of them, and ends where its mail is refused, as a client that tries
   * all hosts of a domain in turn does. */
  hosts?: readonly string[];
  /** Address of our end: any 127.x.y.z. */
  localAddress?: string;
  sessions: number;
  /** Messages until a session ends and another one begins; no end by default. */
  perSession?: number;
  /** Bytes of a message's body; one of them at random where there are several. */
  sizes?: readonly number[];
  from?: string;
  to?: string;
  /** Chooses sizes, so that a run can be repeated. */
  random?: () => number;
  /** Messages a second that are begun at most; default: as fast as they are taken. */
  rate?: number;
  /** Go on in TLS after STARTTLS, whatever the certificate. */
  tls?: boolean;
  /** How long a session waits for a reply before it gives the connection up, in milliseconds; for ever by default. */
  patience?: number;
};

/** Where one session goes. */
type Place = LoadOptions & { host: string; port: number };

export class Load implements AsyncDisposable {
  readonly accepted = new Set<string>();
  readonly unknown = new Set<string>();
  /** Refusals by reply code and verb: `451 DATA`. */
  readonly refused = new Map<string, number>();
  /** Connections that ended without a 421. */
  broken = 0;
  readonly #options: LoadOptions;
  readonly #run: string;
  #sequence = 0;
  #stopped = false;
  #turn = 0;
  /** When the next message may begin, by `performance.now`. */
  #next = 0;
  #workers: Promise<void>[] = [];
  readonly #sessions = new Set<Session>();

  constructor(run: string, options: LoadOptions) {
    this.#run = run;
    this.#options = options;
  }

  start(): void {
    this.#workers = Array.from({ length: this.#options.sessions }, () => this.#work());
  }

  /** Finish the messages under way and end every session. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#workers);
  }

  /** End every session, whatever is under way: a load that its test leaves running would keep the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    for (const session of this.#sessions) session.close();
    await Promise.all(this.#workers);
  }

  async #work(): Promise<void> {
    while (!this.#stopped) {
      let session: Session | undefined;
      try {
        session = await Session.open({ ...this.#options, ...this.#place() });
        this.#sessions.add(session);
        for (let n = 0; n < (this.#options.perSession ?? Number.POSITIVE_INFINITY) && !this.#stopped; n++) {
          await this.#pace();
          await this.#send(session);
        }
        await session.command('QUIT');
      } catch (error) {
        // A restart under way: the port is closed, or the connection was just lost. Try again shortly.
        if (session !== undefined && !(error instanceof Ended)) this.broken++;
        await delay(20);
      } finally {
        session?.close();
        if (session !== undefined) this.#sessions.delete(session);
      }
    }
  }

  #place(): { host: string; port: number } {
    const { host = '127.0.0.1', hosts = [host], port } = this.#options;
    const ports = typeof port === 'number' ? [port] : port;
    const turn = this.#turn++;
    return { host: hosts[turn % hosts.length] ?? host, port: ports[turn % ports.length] ?? 0 };
  }

  async #pace(): Promise<void> {
    const { rate } = this.#options;
    if (rate === undefined) return;
    const now = performance.now();
    const turn = Math.max(now, this.#next);
    this.#next = turn + 1000 / rate;
    if (turn > now) await delay(turn - now);
  }

  async #send(session: Session): Promise<void> {
    const { from = 'sender@example.com', to = 'rcpt@dest.test', sizes = [2000], random = Math.random } = this.#options;
    for (const line of [`MAIL FROM:<${from}>`, `RCPT TO:<${to}>`, 'DATA']) {
      const code = await session.command(line);
      if (code < 400) continue;
      await this.#refusal(session, code, line.slice(0, 4));
      return;
    }
    const id = `${this.#run}-${++this.#sequence}`;
    const size = sizes[Math.floor(random() * sizes.length)] ?? 2000;
    this.unknown.add(id);
    const code = await session.command(message(id, from, to, size));
    this.unknown.delete(id);
    if (code === 250) this.accepted.add(id);
    else await this.#refusal(session, code, 'MESSAGE');
  }

  async #refusal(session: Session, code: number, verb: string): Promise<void> {
    const { hosts, port } = this.#options;
    const key = `${code} ${verb}`;
    this.refused.set(key, (this.refused.get(key) ?? 0) + 1);
    await delay(20);
    if (code === 421 || hosts !== undefined || typeof port !== 'number') throw new Ended('the server ends the session');
    await session.command('RSET');
  }
}

/** The server said that it ends the session. */
class Ended extends Error {}

function message(id: string, from: string, to: string, size: number): string {
  const line = 'The quick brown fox jumps over the lazy dog; 0123456789.\r\n';
  const header = `From: <${from}>\r\nTo: <${to}>\r\nSubject: load ${id}\r\nX-Load-Id: ${id}\r\nMessage-ID: <${id}@load.test>\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n\r\n`;
  return `${header}${line.repeat(Math.max(1, Math.ceil(size / line.length)))}.`;
}

/** A whole reply (RFC 5321 §4.2.1). */
const REPLY = /^(?:\d{3}-[^\r\n]*\r\n)*(\d{3})(?: [^\r\n]*)?\r\n/;

/** To make one costs more than a handshake. */
const CONTEXT = createSecureContext();

/** One SMTP connection that sends a line and reads a reply. */
class Session {
  #socket: Socket;
  #input = '';
  #ended = false;
  #waiting: { resolve: (code: number) => void; reject: (error: Error) => void } | undefined;

  private constructor(socket: Socket, patience: number) {
    this.#socket = socket;
    socket.setTimeout(patience, () => {
      // Between two messages a paced session is silent by itself.
      if (this.#waiting !== undefined) socket.destroy(new Error('no reply'));
    });
    this.#listen(socket);
  }

  #listen(socket: Socket): void {
    socket.on('data', (bytes: Buffer) => {
      this.#input += bytes.toString('latin1');
      for (let reply = REPLY.exec(this.#input); reply !== null; reply = REPLY.exec(this.#input)) {
        this.#input = this.#input.slice(reply[0].length);
        // A server that stops says so unasked, perhaps directly after another reply.
        if (this.#waiting === undefined && reply[1] === '421') this.#ended = true;
        this.#waiting?.resolve(Number(reply[1]));
        this.#waiting = undefined;
      }
    });
    socket.on('close', () => this.#waiting?.reject(new Error('the connection was lost')));
    socket.on('error', () => socket.destroy());
  }

  static async open({ port, host, localAddress, tls, patience = 0 }: Place): Promise<Session> {
    const socket = connect({ port, host, noDelay: true, ...(localAddress !== undefined && { localAddress }) });
    const session = new Session(socket, patience);
    const greeting = session.#reply();
    greeting.catch(() => undefined);
    await once(socket, 'connect');
    if ((await greeting) !== 220) throw new Error('no greeting');
    if ((await session.command('EHLO load.test')) !== 250) throw new Error('EHLO refused');
    if (tls === true) await session.#secure();
    return session;
  }

  async #secure(): Promise<void> {
    if ((await this.command('STARTTLS')) !== 220) throw new Error('STARTTLS refused');
    this.#socket.removeAllListeners('data');
    this.#socket = connectTls({ socket: this.#socket, rejectUnauthorized: false, secureContext: CONTEXT });
    this.#listen(this.#socket);
    await once(this.#socket, 'secureConnect');
    if ((await this.command('EHLO load.test')) !== 250) throw new Error('EHLO in TLS refused');
  }

  command(line: string): Promise<number> {
    this.#socket.write(`${line}\r\n`);
    return this.#reply();
  }

  close(): void {
    this.#socket.destroy();
  }

  #reply(): Promise<number> {
    if (this.#ended) return Promise.reject(new Ended('the server ended the session'));
    if (this.#socket.destroyed) return Promise.reject(new Error('the connection was lost'));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }
}
