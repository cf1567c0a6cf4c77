import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { issue } from '#test/kit/tls/issue.ts';

export type Posted = { method: string; path: string; host: string; type: string; json: string };

/** An HTTPS server that TLS reports are posted to, with a certificate that nobody trusts. */
export class ReportTaker implements AsyncDisposable {
  readonly posts: Posted[] = [];
  /** What it answers; a location where it sends elsewhere. */
  answer: () => { status: number; location?: string } = () => ({ status: 200 });
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    server.on('request', async (request, response) => {
      const { method = '', url: path = '', headers } = request;
      const json = gunzipSync(await buffer(request)).toString();
      this.posts.push({ method, path, host: headers.host ?? '', type: headers['content-type'] ?? '', json });
      const { status, location } = this.answer();
      if (status === 101) {
        response.socket?.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
        return;
      }
      response.writeHead(status, location === undefined ? {} : { location }).end('thank you');
    });
  }

  static async start(): Promise<ReportTaker> {
    const { certificate, key } = await issue('reports.one.example', { until: Date.now() - 1000 });
    const server = createServer({ cert: certificate, key });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new ReportTaker(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
