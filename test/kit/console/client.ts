import type { IncomingHttpHeaders } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { text } from 'node:stream/consumers';

/** A client of the console's API: what a browser or a program sends, and whatever an attacker would. */

export type Answer = { status: number; headers: IncomingHttpHeaders; text: string; json: never };

export type Sending = {
  method?: string;
  /** As JSON, unless it is a text. */
  body?: unknown;
  /** Instead of those that the page sends. */
  headers?: Record<string, string>;
};

const SESSION = '__Host-sealpost';
/** What the page sends with whatever is not GET. */
const PAGE_HEADERS = { 'content-type': 'application/json', 'x-sealpost': '1', 'sec-fetch-site': 'same-origin' };

export class ConsoleClient implements Disposable {
  readonly port: number;
  readonly cookies = new Map<string, string>();
  token: string | undefined;
  readonly #agent = new Agent({ keepAlive: true, rejectUnauthorized: false });

  constructor(port: number) {
    this.port = port;
  }

  /** The cookie of its session, `name=value`. */
  get cookie(): string | undefined {
    const value = this.cookies.get(SESSION);
    return value && `${SESSION}=${value}`;
  }

  set cookie(text: string | undefined) {
    this.cookies.delete(SESSION);
    if (text !== undefined) this.#keep(text);
  }

  #keep(line: string): void {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
    if (value === '') this.cookies.delete(name);
    else this.cookies.set(name, value);
  }

  /** Another browser at the same console. */
  other(): ConsoleClient {
    return new ConsoleClient(this.port);
  }

  async send(path: string, { method = 'GET', body, headers }: Sending = {}): Promise<Answer> {
    const payload =
      body === undefined
        ? method === 'GET'
          ? undefined
          : '{}'
        : typeof body === 'string'
          ? body
          : JSON.stringify(body);
    const response = await this.#open(
      path,
      { method, headers: headers ?? (method === 'GET' ? {} : PAGE_HEADERS) },
      payload,
    );
    const answer = await text(response);
    for (const line of response.headers['set-cookie'] ?? []) this.#keep(line);
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      text: answer,
      get json() {
        return JSON.parse(answer) as never;
      },
    };
  }

  get(path: string): Promise<Answer> {
    return this.send(path);
  }

  post(path: string, body: unknown = {}): Promise<Answer> {
    return this.send(path, { method: 'POST', body });
  }

  /** By a link of `sealpost console link`, a token, or a password. */
  signIn(proof: { link: string } | { token: string } | { user: string; password: string }): Promise<Answer> {
    const sent = 'link' in proof ? { link: new URL(proof.link).hash.slice(1) } : proof;
    return this.post('/api/sign-in', sent);
  }

  /** Server-sent events, as they come, until the server ends the stream or `signal` aborts. */
  async *events(follow: string, signal: AbortSignal): AsyncGenerator<{ event: string; data: unknown }> {
    const response = await this.#open(`/api/events?follow=${follow}`, { method: 'GET', headers: {}, signal });
    if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${await text(response)}`);
    let unread = '';
    for await (const piece of response) {
      unread += String(piece);
      const blocks = unread.split('\n\n');
      unread = blocks.pop() ?? '';
      for (const block of blocks) {
        const [, event] = /^event: (.*)$/m.exec(block) ?? [];
        const [, data] = /^data: (.*)$/m.exec(block) ?? [];
        if (event !== undefined && data !== undefined) yield { event, data: JSON.parse(data) };
      }
    }
  }

  async #open(path: string, options: RequestOptions, body?: string) {
    const headers = {
      ...options.headers,
      ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
      ...(this.cookies.size > 0 && { cookie: [...this.cookies].map((pair) => pair.join('=')).join('; ') }),
      ...(this.token !== undefined && { authorization: `Bearer ${this.token}` }),
    };
    const { promise, resolve, reject } = Promise.withResolvers<import('node:http').IncomingMessage>();
    const all = { host: '127.0.0.1', port: this.port, path, agent: this.#agent, ...options, headers };
    request(all, resolve).on('error', reject).end(body);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
