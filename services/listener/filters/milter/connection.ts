import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { FilterAddress } from '#cluster/config/schema/filters/url.ts';
import { type Answer, answerOf } from './answers.ts';
import { type Packet, PacketReader, packet } from './packets.ts';
import { COMMAND } from './protocol.ts';

/**
 * The connection to a milter for one message. Its calls wait as long as it takes: whoever is tired of it calls `destroy`, and
 * what waits rejects. What a milter sends unasked waits in the socket, so memory does not grow.
 */
export class MilterConnection {
  readonly #socket: Socket;
  #incoming: AsyncIterator<Packet> | undefined;

  constructor(address: FilterAddress) {
    this.#socket = connect(address);
    // Whoever waits for the socket hears of it; where nobody does, the next call fails.
    this.#socket.on('error', () => undefined);
  }

  async open(): Promise<void> {
    await once(this.#socket, 'connect');
    this.#socket.setNoDelay(true);
    this.#incoming = packetsFrom(this.#socket);
  }

  /** Send packets; resolves when the system has taken them. */
  send(...packets: readonly Buffer[]): Promise<void> {
    const [first, ...more] = packets;
    const bytes = first !== undefined && more.length === 0 ? first : Buffer.concat(packets);
    return new Promise<void>((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error == null ? resolve() : reject(error)));
    });
  }

  async packet(): Promise<Packet> {
    if (this.#incoming === undefined) throw new Error('the connection is not open');
    const next = await this.#incoming.next();
    if (next.done === true) throw new Error('it closed the connection');
    return next.value;
  }

  /** The next answer; that it needs more time is none. */
  async answer(): Promise<Answer> {
    for (;;) {
      const answer = answerOf(await this.packet());
      if (answer.kind !== 'progress') return answer;
    }
  }

  /** Say goodbye, and hang up. */
  end(): void {
    this.#socket.end(packet(COMMAND.quit), () => this.#socket.destroy());
    // A milter that does not read must not keep the socket.
    const timer = setTimeout(() => this.#socket.destroy(), FAREWELL_MS);
    this.#socket.once('close', () => clearTimeout(timer));
  }

  /** Hang up. */
  destroy(): void {
    this.#socket.destroy(new Error('the message was given up'));
  }
}

const FAREWELL_MS = 1000;

async function* packetsFrom(socket: Socket): AsyncGenerator<Packet> {
  const reader = new PacketReader();
  for await (const piece of socket) yield* reader.take(piece as Buffer);
}
