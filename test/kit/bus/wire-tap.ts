import { connect } from 'nats';
import type { NatsServer } from './nats-server.ts';

/** Everything that passes on a bus without users, as one subscriber to all subjects sees it. */
export class WireTap implements AsyncDisposable {
  readonly #payloads: Uint8Array[] = [];
  #close: () => Promise<void> = async () => undefined;

  static async start(server: NatsServer): Promise<WireTap> {
    const tap = new WireTap();
    const connection = await connect({ servers: server.url });
    connection.subscribe('>', { callback: (_, message) => void tap.#payloads.push(Uint8Array.from(message.data)) });
    await connection.flush();
    tap.#close = () => connection.close();
    return tap;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#payloads);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}
