import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createServer, request as httpsRequest, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { issue } from './issue.ts';
import type { Pebble } from './pebble.ts';

/** A request to the authority, and what it was answered once it was. */
export type AcmeExchange = {
  /** `/order-plz`; Pebble's names. */
  path: string;
  /** What was signed; undefined for a GET and for a POST-as-GET. */
  payload: Record<string, unknown> | undefined;
  code: number | undefined;
};

type Answer = { code: number; headers: IncomingHttpHeaders; body: Buffer };

/** A problem document (RFC 8555 §6.7) with this status and type. */
export type Refusal = { code: number; type: string; detail?: string };

/** `Retry-After` in seconds. */
export type OfferedRenewal = { start: number; end: number; retryAfter: string; explanationURL?: string };

/**
 * In front of Pebble: it shows the test every request, lets it act before one is passed on and before its answer is, and
 * adds renewal information (RFC 9773), which the Pebble of Debian does not have. Pebble takes the host from the request,
 * so that all its URLs lead here.
 */
export class AcmeFront implements AsyncDisposable {
  readonly seen: AcmeExchange[] = [];
  /** Before a request is passed on, which it is not where this answers a `Refusal`. */
  before: (exchange: AcmeExchange) => unknown = () => undefined;
  /** After Pebble has answered, and before its client knows. */
  after: (exchange: AcmeExchange) => unknown = () => undefined;
  /** What its client gets in place of an object that Pebble answers. */
  rewrite: (path: string, object: Record<string, unknown>) => Record<string, unknown> = (_, object) => object;
  /** The window for each certificate, by its identifier (RFC 9773 §4.1); undefined: not offered at all. */
  renewal: ((certificate: string) => OfferedRenewal | undefined) | undefined;
  readonly #pebble: Pebble;
  readonly #folder: TempDir;
  readonly #server: Server;

  private constructor(pebble: Pebble, folder: TempDir, server: Server) {
    this.#pebble = pebble;
    this.#folder = folder;
    this.#server = server;
  }

  static async start(pebble: Pebble): Promise<AcmeFront> {
    const folder = await tempDir('acme-front');
    const root = await issue('Front Root', { ca: true });
    const { certificate: cert, key } = await issue('localhost', { by: root, names: ['localhost'] });
    await writeFile(join(folder.path, 'root.pem'), root.certificate);
    const server = createServer({ cert, key });
    const front = new AcmeFront(pebble, folder, server);
    server.on('request', (request, response) => {
      front.#pass(request, response).catch(() => response.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return front;
  }

  get directory(): string {
    return `${this.#origin}/dir`;
  }

  /** The file with the authority of its own certificate. */
  get ca(): string {
    return join(this.#folder.path, 'root.pem');
  }

  /** Requests to a path, those that Pebble accepted. */
  accepted(path: string): AcmeExchange[] {
    return this.seen.filter((one) => one.path.startsWith(path) && one.code !== undefined && one.code < 300);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await this.#folder[Symbol.asyncDispose]();
  }

  get #origin(): string {
    return `https://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const exchange: AcmeExchange = { path: request.url ?? '', payload: signedIn(body), code: undefined };
    this.seen.push(exchange);
    const refusal = await this.before(exchange);
    const answer = refused(refusal) ?? this.#renewalInfo(exchange.path) ?? (await this.#ask(request, body));
    exchange.code = answer.code;
    await this.after(exchange);
    response.writeHead(answer.code, { ...answer.headers, 'content-length': answer.body.length });
    response.end(answer.body);
  }

  async #ask({ method, url, headers }: IncomingMessage, body: Buffer): Promise<Answer> {
    const { port } = new URL(this.#pebble.directory);
    const target = { host: '127.0.0.1', port, path: url, method, headers, rejectUnauthorized: false, agent: false };
    const request = httpsRequest(target);
    request.end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const { 'transfer-encoding': _, ...kept } = response.headers;
    const answered = await buffer(response);
    const offers = url === '/dir' && this.renewal !== undefined;
    const isJson = kept['content-type']?.startsWith('application/json');
    const object = (): Record<string, unknown> => ({
      ...this.rewrite(url ?? '', JSON.parse(String(answered)) as Record<string, unknown>),
      ...(offers && { renewalInfo: `${this.#origin}/renewal-info` }),
    });
    return {
      code: response.statusCode ?? 0,
      headers: kept,
      body: isJson ? Buffer.from(JSON.stringify(object())) : answered,
    };
  }

  #renewalInfo(path: string): Answer | undefined {
    const [, certificate] = /^\/renewal-info\/([^/]+)$/.exec(path) ?? [];
    if (certificate === undefined) return undefined;
    const offered = this.renewal?.(certificate);
    if (offered === undefined) return { code: 404, headers: {}, body: Buffer.from('{}') };
    const { start, end, retryAfter, ...rest } = offered;
    const suggestedWindow = { start: new Date(start).toISOString(), end: new Date(end).toISOString() };
    const headers = { 'content-type': 'application/json', 'retry-after': retryAfter };
    return { code: 200, headers, body: Buffer.from(JSON.stringify({ suggestedWindow, ...rest })) };
  }
}

const isRefusal = (value: unknown): value is Refusal => typeof value === 'object' && value !== null && 'type' in value;

function refused(refusal: unknown): Answer | undefined {
  if (!isRefusal(refusal)) return undefined;
  const body = Buffer.from(JSON.stringify({ detail: 'refused by the test', ...refusal }));
  return { code: refusal.code, headers: { 'content-type': 'application/problem+json' }, body };
}

/** The payload of a JWS (RFC 7515 §7.2.2). */
function signedIn(body: Buffer): Record<string, unknown> | undefined {
  if (body.length === 0) return undefined;
  const { payload = '' } = JSON.parse(String(body)) as { payload?: string };
  return payload === '' ? undefined : JSON.parse(Buffer.from(payload, 'base64url').toString());
}
