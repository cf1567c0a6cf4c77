import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Tally } from '#test/kit/smtp/tally.ts';

/** A client that sends one message after the other, and waits for the arrival of each. */
export class Single implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #replies: AsyncIterator<string>;
  readonly #sink: Tally;
  #count = 0;

  private constructor(socket: Socket, sink: Tally) {
    this.#socket = socket;
    this.#replies = createInterface({ input: socket })[Symbol.asyncIterator]();
    this.#sink = sink;
  }

  static async open(port: number, sink: Tally): Promise<Single> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const single = new Single(socket, sink);
    await single.#reply();
    await single.#say('EHLO single.test');
    return single;
  }

  /** Milliseconds from the final dot to the arrival. */
  async send(): Promise<number> {
    const id = `${this.#socket.localPort}-${++this.#count}`;
    for (const line of ['MAIL FROM:<single@one.test>', 'RCPT TO:<x@healthy.test>', 'DATA']) await this.#say(line);
    const began = performance.now();
    await this.#say(`From: <single@one.test>\r\nX-Load-Id: ${id}\r\n\r\nOne.\r\n.`);
    while (!this.#sink.arrivals.has(id)) await delay(1);
    return performance.now() - began;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }

  async #say(line: string): Promise<void> {
    this.#socket.write(`${line}\r\n`);
    await this.#reply();
  }

  async #reply(): Promise<void> {
    for (;;) {
      const { value, done } = await this.#replies.next();
      if (done === true) throw new Error('the connection ended');
      if (/^[45]/.test(value)) throw new Error(value);
      if (value[3] === ' ') return;
    }
  }
}

/** In words, how long messages took. */
export function describe(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): string => (sorted[Math.floor(part * (sorted.length - 1))] ?? 0).toFixed(0);
  return `half within ${at(0.5)} ms, 95 % within ${at(0.95)} ms, all within ${at(1)} ms (${sorted.length} messages)`;
}
