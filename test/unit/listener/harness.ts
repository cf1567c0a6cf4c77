import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import pino from 'pino';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import type { Gateways } from '#services/listener/gateways.ts';
import { createListenerService } from '#services/listener/service.ts';
import { HostList } from '#services/policy/relay/host-list.ts';
import { RelayRules } from '#services/policy/relay/relay-rules.ts';
import { Rewriting } from '#services/policy/rewrite/rewriting.ts';
import { declaredSize } from '#services/policy/sender/declared-size.ts';
import { loginRequired } from '#services/policy/sender/login-required.ts';
import type { RouterContract } from '#services/router/contract.ts';
import type { Calls } from '#services/topology.ts';
import type { CallOptions, Client } from '#shared/contract.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Envelope, Origin } from '#shared/mail/envelope.ts';
import type { MessageFacts } from '#shared/mail/message-facts.ts';

type ListenersPolicy = Calls<'listener', 'policy'>;

/**
 * A policy that lets pass whatever a listener of any configuration must take, but for what a test puts in its place.
 * Every call is recorded.
 */
function fakePolicy(settings: Settings, overrides: Partial<ListenersPolicy> = {}) {
  const calls: { operation: string; request: unknown; options: CallOptions | undefined }[] = [];
  const open: ListenersPolicy = {
    'client-check': async () => ({ action: 'accept', name: 'client.test', scope: 'external', why: [] }),
    'user-authenticate': async ({ user }, options) =>
      Buffer.from(options?.bytes ?? []).toString() === 'secret'
        ? { action: 'accept', user, why: [] }
        : { action: 'reject', reply: { code: 535, enhanced: '5.7.8', text: 'Wrong name or password' }, why: [] },
    'token-authenticate': async ({ user }, options) =>
      Buffer.from(options?.bytes ?? []).toString() === 'secret'
        ? { action: 'accept', user, why: [] }
        : { action: 'reject', reply: { code: 535, enhanced: '5.7.8', text: 'Wrong token' }, why: [] },
    'sender-check': async ({ facts, reversePath, size }) => {
      const { limits, authentication } = settings.current;
      const anonymous = new HostList(authentication.anonymous);
      const rules = new RelayRules(settings.current);
      const rewriting = new Rewriting(settings.current);
      const given = { session: facts, reversePath, size, limits, anonymous, rules, rewriting, directory: null };
      const steps = [loginRequired(given, {}), declaredSize(given, {})];
      return steps.find((step) => step.action === 'reject') ?? { action: 'accept', why: [] };
    },
    'verdict-explain': async () => ({}),
    'recipient-check': async ({ recipient }) => ({ action: 'accept', recipients: [recipient], why: [] }),
    'message-check': async () => ({
      action: 'accept',
      prepend: ['Received: test\r\n'],
      originating: false,
      junk: false,
      why: [],
    }),
  };
  const all = { ...open, ...overrides };
  const recorded = Object.fromEntries(
    Object.entries(all).map(([operation, call]) => [
      operation,
      (request: never, options?: CallOptions) => {
        calls.push({ operation, request, options });
        return (call as (r: never, o?: CallOptions) => unknown)(request, options);
      },
    ]),
  );
  return { client: recorded as ListenersPolicy, calls };
}

export type Stored = {
  queueId: string;
  envelope: Envelope;
  origin: Origin;
  sizeHint: number | undefined;
  chunks: number;
  text: string;
  facts: MessageFacts;
  prepend: string[];
  authenticity: Authenticity | undefined;
  junk: boolean;
  hold: boolean | undefined;
  header: string | undefined;
  trace: string | undefined;
};

type Transfer = { envelope: Envelope; origin: Origin; sizeHint: number | undefined; parts: Buffer[] };

/** A router that keeps messages in memory. `fail` makes an operation fail with a code. */
export class FakeRouter {
  readonly messages: Stored[] = [];
  readonly aborted: string[] = [];
  /** What was found out about those that were refused. */
  readonly refused: unknown[] = [];
  readonly nodes = new Set<string | undefined>();
  fail: Partial<Record<'transfer-open' | 'transfer-append' | 'transfer-commit', ErrorCode>> = {};
  /** Holds every chunk back until it resolves. */
  gate: Promise<void> | undefined;
  /** Holds the answer to `transfer-open` back until it resolves. */
  opening: Promise<void> | undefined;
  /** Holds the answer to `transfer-commit` back until it resolves. */
  committing: Promise<void> | undefined;
  /** Chunks that wait for their answer, and the most that ever did. */
  waiting = 0;
  mostWaiting = 0;
  readonly #transfers = new Map<string, Transfer>();
  #count = 0;

  get open(): number {
    return this.#transfers.size;
  }

  get client(): Client<RouterContract> {
    return new Proxy({} as Client<RouterContract>, {
      get: (_, operation: string) => {
        const handler = this.#handlers[operation];
        if (handler === undefined) throw new Error(`the listener has no business with router.${operation}`);
        return handler;
      },
    });
  }

  #check(operation: 'transfer-open' | 'transfer-append' | 'transfer-commit'): void {
    const code = this.fail[operation];
    if (code !== undefined) throw new SealpostError(code, `${operation} fails in this test`);
  }

  #transfer(id: string): Transfer {
    const transfer = this.#transfers.get(id);
    if (transfer === undefined) throw new SealpostError('unknown-transfer', id);
    return transfer;
  }

  // biome-ignore lint/suspicious/noExplicitAny: one table for operations of four types
  readonly #handlers: Record<string, (request: any, options: CallOptions) => Promise<unknown>> = {
    'transfer-open': async (request) => {
      this.#check('transfer-open');
      const transfer = `T${++this.#count}`;
      this.#transfers.set(transfer, { ...request, parts: [] });
      await this.opening;
      return { transfer, queueId: `Q${transfer.slice(1)}`, node: 'node-7' };
    },
    'transfer-append': async ({ transfer, sequence }, { bytes, node }) => {
      this.nodes.add(node);
      this.#check('transfer-append');
      const { parts } = this.#transfer(transfer);
      if (sequence !== parts.length) throw new SealpostError('out-of-order', String(sequence));
      parts.push(Buffer.from(bytes ?? []));
      this.mostWaiting = Math.max(this.mostWaiting, ++this.waiting);
      await this.gate;
      this.waiting--;
      return {};
    },
    'transfer-commit': async ({ transfer, sequence, facts, ...acceptance }, { bytes, node, trace }) => {
      this.nodes.add(node);
      this.#check('transfer-commit');
      await this.committing;
      const { parts, ...rest } = this.#transfer(transfer);
      if (sequence !== parts.length) throw new SealpostError('out-of-order', String(sequence));
      const queueId = `Q${transfer.slice(1)}`;
      const text = Buffer.concat([...parts, Buffer.from(bytes ?? [])]).toString('latin1');
      const chunks = parts.length + 1;
      const { prepend, authenticity, junk, hold, header } = acceptance;
      this.messages.push({ ...rest, queueId, chunks, text, facts, prepend, authenticity, junk, hold, header, trace });
      this.#transfers.delete(transfer);
      return { queueId };
    },
    'transfer-abort': async ({ transfer, authenticity }, { node }) => {
      this.nodes.add(node);
      if (authenticity !== undefined) this.refused.push(authenticity);
      if (this.#transfers.delete(transfer)) this.aborted.push(transfer);
      return {};
    },
  };
}

export type SetUp = {
  config?: Record<string, unknown>;
  listener?: Record<string, unknown>;
  policy?: Partial<ListenersPolicy>;
  gateways?: Gateways;
  /** The credential-store, as it answers which challenges there are. */
  challenges?: Calls<'listener', 'credential-store'>['challenge-list'];
};

/** A running listener service with one listener on a free port, its fakes, its log. */
export async function startListener(setUp: SetUp = {}) {
  const listener = { name: 'mx', kind: 'relay', address: '127.0.0.1', port: 0, tls: 'none', ...setUp.listener };
  const config = ConfigSchema.parse({ node: { hostname: 'mx.test' }, listeners: [listener], ...setUp.config });
  const settings = new Settings(config);
  const policy = fakePolicy(settings, setUp.policy);
  const router = new FakeRouter();
  const log: { msg: string; level: number; [field: string]: unknown }[] = [];
  const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(JSON.parse(line)) });
  const onRouters = () => () => undefined;
  const clients = { policy: policy.client, router: router.client };
  const { gateways } = setUp;
  const service = createListenerService({
    settings,
    log: logger,
    ...clients,
    onRouters,
    credentials: {
      'serving-certificate-list': () => Promise.reject(new SealpostError('unavailable', 'no store')),
      'audit-append': async () => ({}),
      'challenge-list': setUp.challenges ?? (() => Promise.reject(new SealpostError('unavailable', 'no store'))),
    },
    onStores: () => () => undefined,
    announce: () => undefined,
    ...(gateways && { gateways }),
  });
  await service.start();
  const status = async () =>
    (await service.handlers['status-show']({}, { bytes: new Uint8Array(), trace: undefined })).listeners;
  const port = (await status())[0]?.port ?? 0;
  return {
    port,
    settings,
    policy,
    router,
    log,
    service,
    status,
    connect: (localAddress?: string) => Dialogue.connect(port, localAddress),
    [Symbol.asyncDispose]: () => service.stop(),
  };
}

/** An SMTP client that sends and expects exactly what a test tells it. */
export class Dialogue implements Disposable {
  socket: Socket;
  #received = '';
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.#listen();
  }

  static async connect(port: number, localAddress?: string, host = '127.0.0.1'): Promise<Dialogue> {
    const socket = connect({ port, host, noDelay: true, ...(localAddress && { localAddress }) });
    const dialogue = new Dialogue(socket);
    await once(socket, 'connect');
    return dialogue;
  }

  /** Connect, read the greeting, say EHLO and read what it offers. */
  static async greeted(port: number): Promise<Dialogue> {
    const dialogue = await Dialogue.connect(port);
    await dialogue.reply();
    await dialogue.say('EHLO client.test');
    return dialogue;
  }

  static async implicitTls(port: number, options: ConnectionOptions): Promise<Dialogue> {
    const socket = tlsConnect({ port, host: '127.0.0.1', ...options });
    const dialogue = new Dialogue(socket);
    await once(socket, 'secureConnect');
    return dialogue;
  }

  /** Go over to TLS; STARTTLS was said and answered. */
  async upgrade(options: ConnectionOptions): Promise<void> {
    this.socket.removeAllListeners();
    const secure = tlsConnect({ socket: this.socket, ...options });
    this.socket = secure;
    this.#listen();
    await once(secure, 'secureConnect');
  }

  #listen(): void {
    this.socket.on('data', (data) => {
      this.#received += data.toString('utf8');
      this.#wake?.();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.#ended = true;
      this.#wake?.();
    });
    this.socket.on('end', () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  write(text: string | Buffer): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'utf8') : text);
  }

  /** The next reply: its lines, joined by line feeds. */
  async reply(): Promise<string> {
    for (;;) {
      const match = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(this.#received);
      if (match !== null) {
        this.#received = this.#received.slice(match[0].length);
        return match[0].slice(0, -2).replaceAll('\r\n', '\n');
      }
      if (this.#ended) return `(closed) ${this.#received}`.trim();
      await this.#more();
    }
  }

  /** Send a command, hear its reply. */
  async say(command: string): Promise<string> {
    this.write(`${command}\r\n`);
    return this.reply();
  }

  /** Say several commands one after the other; their replies. */
  async sayAll(...commands: string[]): Promise<string[]> {
    const heard: string[] = [];
    for (const command of commands) heard.push(await this.say(command));
    return heard;
  }

  /** What came until the other side closed. */
  async rest(): Promise<string> {
    while (!this.#ended) await this.#more();
    return this.#received;
  }

  #more(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing came in time; so far: ${this.#received}`)), 20_000);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/**
 * Play a dialogue in plain text: `> ` is said, `< ` must be heard, one line of a reply each. The greeting is heard
 * before the first line, and EHLO is left to the script.
 */
export async function play(port: number, script: string): Promise<void> {
  using client = await Dialogue.connect(port);
  await client.reply();
  let expected: string[] = [];
  const check = async (): Promise<void> => {
    if (expected.length > 0) assert.equal(await client.reply(), expected.join('\n'));
    expected = [];
  };
  for (const line of script.split('\n').map((l) => l.trim())) {
    if (line.startsWith('< ')) {
      expected.push(line.slice(2));
      if (/^\d{3} /.test(line.slice(2))) await check();
    } else if (line.startsWith('>')) {
      client.write(`${line.slice(2)}\r\n`);
    }
  }
}
