import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { locate } from '#test/kit/runner/peers.ts';

/** What it needs of others. */
export const VERIFIER = ['dkimverify', '/usr/lib/python3/dist-packages/dns'] as const;

/**
 * An SMTP sink that has dkimpy verify every message at the moment it arrives, with the keys that DNS publishes at that
 * moment, and answers the final dot when it has the verdict. It keeps verdicts and the texts of the bad ones.
 */
export class VerifyingSink implements AsyncDisposable {
  /** Messages by their load id (`X-Load-Id`). */
  readonly arrivals = new Map<string, number>();
  /** Good signatures by selector. */
  readonly passed = new Map<string, number>();
  /** Verdicts of messages that were unsigned or had a signature that is not good. */
  readonly bad: { id: string; at: string; verdicts: string[]; header: string }[] = [];
  /** Messages by their number of signatures. */
  readonly signatures = new Map<number, number>();
  messages = 0;
  /** Take nothing for now: each transaction is deferred. */
  defers = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #verifiers: Verifier[];

  private constructor(verifiers: Verifier[]) {
    this.#verifiers = verifiers;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      serve(
        socket,
        (message) => this.#verify(message),
        () => this.defers,
      );
    });
  }

  /** `servers` (address:port) are asked for keys, one at random each time. */
  static async start(
    servers: readonly string[],
    processes = 2,
    { port = 0, host = '127.0.0.1' } = {},
  ): Promise<VerifyingSink> {
    const python = /^#!(\S+)/.exec(await readFile(locate('dkimverify') ?? '', 'utf8'))?.[1] ?? 'python3';
    const verifiers = Array.from({ length: processes }, () => new Verifier(python, servers));
    const sink = new VerifyingSink(verifiers);
    sink.#server.listen(port, host);
    await once(sink.#server, 'listening');
    return sink;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Arrivals beyond the first of each id. */
  get duplicates(): number {
    return this.messages - this.arrivals.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#verifiers.map((verifier) => verifier.close()));
  }

  async #verify(message: Buffer): Promise<void> {
    const free = this.#verifiers.reduce((a, b) => (b.waiting < a.waiting ? b : a));
    const verdicts = await free.verify(message);
    const header = message.toString('latin1', 0, message.indexOf('\r\n\r\n'));
    const id = /^X-Load-Id: *(\S+)/im.exec(header)?.[1] ?? '';
    this.messages++;
    this.arrivals.set(id, (this.arrivals.get(id) ?? 0) + 1);
    this.signatures.set(verdicts.length, (this.signatures.get(verdicts.length) ?? 0) + 1);
    for (const verdict of verdicts) {
      const [, selector] = /^pass (\S+)$/.exec(verdict) ?? [];
      if (selector !== undefined) this.passed.set(selector, (this.passed.get(selector) ?? 0) + 1);
    }
    if (verdicts.length === 0 || verdicts.some((v) => !v.startsWith('pass '))) {
      this.bad.push({ id, at: new Date().toISOString(), verdicts, header });
    }
  }
}

/** One Python process with dkimpy; answers in the order of the questions. */
class Verifier {
  readonly #process;
  readonly #answers: ((verdicts: string[]) => void)[] = [];

  constructor(python: string, servers: readonly string[]) {
    const script = fileURLToPath(new URL('../dkim/verify-stream.py', import.meta.url));
    this.#process = spawn(python, [script, ...servers], { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.#answers.shift()?.(JSON.parse(line) as string[]);
    });
    this.#process.once('exit', () => {
      for (const answer of this.#answers.splice(0)) answer(['error: the verifier ended']);
    });
    this.#process.stdin.on('error', () => undefined);
  }

  get waiting(): number {
    return this.#answers.length;
  }

  verify(message: Buffer): Promise<string[]> {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(message.length);
    return new Promise((resolve) => {
      this.#answers.push(resolve);
      this.#process.stdin.write(Buffer.concat([length, message]));
    });
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.stdin.end();
    this.#process.kill();
    await ended;
  }
}

const EHLO = '250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600\r\n';

function serve(socket: Socket, take: (message: Buffer) => Promise<void>, defers: () => boolean): void {
  let input = Buffer.alloc(0);
  let data = false;
  let busy = false;
  socket.on('error', () => socket.destroy());
  socket.write('220 sink\r\n');
  const work = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    for (;;) {
      const end = input.indexOf(data ? '\r\n.\r\n' : '\r\n');
      if (end < 0) break;
      const line = input.subarray(0, end + 2);
      input = input.subarray(end + (data ? 5 : 2));
      if (data) {
        data = false;
        await take(unstuffed(line));
        socket.write('250 2.0.0 verified\r\n');
        continue;
      }
      const verb = line.toString('latin1', 0, 4).toUpperCase();
      if (verb === 'MAIL' && defers()) {
        socket.end('421 4.3.2 not now\r\n');
        break;
      }
      data = verb === 'DATA';
      socket.write(
        verb === 'EHLO' ? EHLO : data ? '354 go\r\n' : verb === 'QUIT' ? '221 2.0.0 bye\r\n' : '250 2.0.0 ok\r\n',
      );
      if (verb === 'QUIT') socket.end();
    }
    busy = false;
  };
  socket.on('data', (chunk: Buffer) => {
    input = Buffer.concat([input, chunk]);
    void work();
  });
}

/** RFC 5321 §4.5.2: a line's first dot was added for the way. */
function unstuffed(message: Buffer): Buffer {
  return message.includes('\r\n.') || message[0] === 0x2e
    ? Buffer.from(message.toString('latin1').replace(/^\.|(?<=\r\n)\./g, ''), 'latin1')
    : message;
}
