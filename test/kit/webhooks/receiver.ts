import { createServer as createClear, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http';
import { createServer as createTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import type { WebhookEvent } from '#shared/webhooks/events.ts';
import { waitFor } from '#test/kit/wait.ts';

export const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
export const OTHER_SECRET = 'whsec_c2VhbHBvc3Qgc2VhbHBvc3Qgc2VhbHBvc3Q=';

/** A request whose signature is right. */
export type Received = { id: string; headers: IncomingHttpHeaders; event: Pick<WebhookEvent, 'type' | 'data'> };

/** `hang`: no answer comes; `reset`: the connection is cut; `endless`: 200, and a body without end. */
export type Reaction =
  | { status: number; headers?: Record<string, string>; body?: string }
  | 'hang'
  | 'reset'
  | 'endless';

type Tls = { certificate: string; key: string };

/** A receiver of webhooks on loopback, which the library of Standard Webhooks verifies for. */
export class Receiver implements AsyncDisposable {
  readonly received: Received[] = [];
  /** Requests that are not genuine. */
  readonly refused: unknown[] = [];
  react: (received: Received) => Reaction = () => ({ status: 204 });
  readonly #server: Server;
  readonly #scheme: string;

  private constructor(server: Server, scheme: string) {
    this.#server = server;
    this.#scheme = scheme;
  }

  /** HTTPS where there is a certificate. `port`: a free one by default. */
  static async start(options: { tls?: Tls; secret?: string; port?: number } = {}): Promise<Receiver> {
    const { tls, secret = SECRET, port = 0 } = options;
    const verifier = new Webhook(secret);
    const take: RequestListener = async (request, response) => {
      const body = (await buffer(request)).toString();
      let received: Received;
      try {
        const event = verifier.verify(body, request.headers as Record<string, string>) as Received['event'];
        received = { id: String(request.headers['webhook-id']), headers: request.headers, event };
      } catch (error) {
        receiver.refused.push(error);
        response.writeHead(401).end();
        return;
      }
      receiver.received.push(received);
      const reaction = receiver.react(received);
      if (reaction === 'hang') return;
      if (reaction === 'reset') return void request.socket.destroy();
      if (reaction === 'endless') {
        response.writeHead(200);
        const more = setInterval(() => response.write('x'.repeat(65_536)), 1);
        response.on('close', () => clearInterval(more));
        return;
      }
      response.writeHead(reaction.status, reaction.headers).end(reaction.body);
    };
    const server = tls === undefined ? createClear(take) : createTls({ cert: tls.certificate, key: tls.key }, take);
    const receiver = new Receiver(server, tls === undefined ? 'http' : 'https');
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#scheme}://localhost:${this.port}/events`;
  }

  get types(): string[] {
    return this.received.map(({ event }) => event.type);
  }

  /** The first requests, as soon as there are so many. */
  async first(count: number, timeout = 20_000): Promise<Received[]> {
    await waitFor(() => this.received.length >= count, {
      what: `${count} events, of ${this.received.length}`,
      timeout,
    });
    return this.received.slice(0, count);
  }

  /** Those that are idle. */
  closeConnections(): void {
    this.#server.closeIdleConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
