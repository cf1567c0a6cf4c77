import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { waitFor } from '#test/kit/wait.ts';

export type DialogOptions = {
  host?: string;
  /** Address of our end: any 127.x.y.z. */
  localAddress?: string;
  /** Milliseconds that a reply may take. */
  timeout?: number;
  /** TLS from the first byte. */
  implicitTls?: boolean;
};

/** `code` and the text of each line, without code and separator. */
export type DialogReply = { code: number; lines: string[]; text: string };

/**
 * A raw SMTP client for tests: it sends what it is told, byte for byte, and reads one complete reply at a time
 * (RFC 5321 §4.2.1). Certificates are not verified.
 */
export class Dialog implements AsyncDisposable {
  #socket: Socket;
  #input = '';
  #ended = false;
  readonly #timeout: number;

  private constructor(socket: Socket, timeout: number) {
    this.#socket = socket;
    this.#timeout = timeout;
    this.#listen();
  }

  static async connect(port: number, options: DialogOptions = {}): Promise<Dialog> {
    const { host = '127.0.0.1', localAddress, timeout = 20_000, implicitTls = false } = options;
    const socket = connect({ host, port, ...(localAddress === undefined ? {} : { localAddress }) });
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const dialog = new Dialog(socket, timeout);
    if (implicitTls) await dialog.startTls();
    return dialog;
  }

  /** Send bytes as they are: no line end is added, no dot is stuffed. */
  send(bytes: string | Uint8Array): void {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
  }

  /** Send a line with CRLF and read its reply. */
  async command(line: string): Promise<DialogReply> {
    this.send(`${line}\r\n`);
    return this.read();
  }

  /** The next reply. Fails when the connection ends or the time is up before it is complete. */
  async read(): Promise<DialogReply> {
    const match = await waitFor(
      () => /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/.exec(this.#input) ?? (this.#ended ? 'ended' : undefined),
      { timeout: this.#timeout, what: `a reply; so far ${JSON.stringify(this.#input)}` },
    );
    if (match === 'ended')
      throw new Error(`the connection ended before a reply; so far ${JSON.stringify(this.#input)}`);
    this.#input = this.#input.slice(match[0].length);
    const lines = match[0].trimEnd().split('\r\n');
    const texts = lines.map((line) => line.slice(4));
    return { code: Number(lines[0]?.slice(0, 3)), lines: texts, text: texts.join(' ') };
  }

  /** The next reply, which must have this code and match this text. */
  async expect(code: number, text?: RegExp | string): Promise<DialogReply> {
    const reply = await this.read();
    assert.equal(reply.code, code, `${code} expected, got ${reply.code} ${reply.text}`);
    if (typeof text === 'string') assert.ok(reply.text.includes(text), `"${text}" expected in "${reply.text}"`);
    else if (text !== undefined) assert.match(reply.text, text);
    return reply;
  }

  /** Send a line and expect the code of its reply. */
  async say(line: string, code: number, text?: RegExp | string): Promise<DialogReply> {
    this.send(`${line}\r\n`);
    return this.expect(code, text);
  }

  /** Shake hands as a TLS client, after the server's 220. */
  async startTls(serverName = 'localhost'): Promise<TLSSocket> {
    const plain = this.#socket;
    plain.removeAllListeners();
    const secure = connectTls({ socket: plain, servername: serverName, rejectUnauthorized: false });
    await once(secure, 'secureConnect');
    this.#socket = secure;
    this.#input = '';
    this.#listen();
    return secure;
  }

  /** Bytes that came and were not read as a reply. */
  get pending(): string {
    return this.#input;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Wait until the server has closed the connection. */
  async waitForEnd(timeout = this.#timeout): Promise<void> {
    await waitFor(() => this.#ended, { timeout, what: 'the server to close the connection' });
  }

  /** End our half of the connection and keep reading. */
  end(): void {
    this.#socket.end();
  }

  /** Break the connection (RST). */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on('data', (bytes: Buffer) => {
      this.#input += bytes.toString('latin1');
    });
    // A reset is one of the ways in which a server ends a connection.
    socket.on('error', () => {
      this.#ended = true;
    });
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#ended = true;
      });
    }
  }
}
