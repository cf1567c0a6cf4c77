import { type Actor, announcer, client, listen, serve } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { CHUNK_BYTES, type Present, type RouterContract, routerContract } from '#services/router/contract.ts';
import { Copies } from '#services/router/copies/copies.ts';
import type { DeliveryDeps } from '#services/router/delivery/delivery.ts';
import type { Delivery, Job, NextHop, Opened, Pause, RecipientResult } from '#services/router/delivery/job.ts';
import type { MessageReports } from '#services/router/intake/writer.ts';
import { SearchIndex } from '#services/router/receipts/search-index.ts';
import { createRouterService, type RouterDeps } from '#services/router/service.ts';
import { Corrupt } from '#services/router/store/corrupt.ts';
import { Slots } from '#services/router/store/slots.ts';
import { Space } from '#services/router/store/space.ts';
import { MessageEvents } from '#services/router/webhooks/message-events.ts';
import type { SignerContract, SignOutcome } from '#services/signer/contract.ts';
import type { Answer, CallContext, Client, Service } from '#shared/contract.ts';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import type { SealpostError } from '#shared/errors.ts';
import { type Logger, silentLogger } from '#shared/log.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Envelope, EnvelopeRecipient, Origin } from '#shared/mail/envelope.ts';
import { messageIdOf } from '#shared/mail/header.ts';
import type { MessageFacts } from '#shared/mail/message-facts.ts';
import type { MessageTls } from '#shared/mail/message-tls.ts';
import type { QueueEntry } from '#shared/mail/queue-entry.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { strict } from '#test/kit/contracts/strict.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A router with a signer and a delivery that do what the test says. */

export const OK: Reply = reply(250, '2.0.0', 'Ok: queued');
export const NO_USER: Reply = reply(550, '5.1.1', 'No such user');
export const LATER: Reply = reply(451, '4.2.0', 'Try later');

/** A job that delivery was given, and what the test does with it. */
export class GivenJob {
  readonly hop: NextHop;
  readonly job: Job;

  constructor(hop: NextHop, job: Job) {
    this.hop = hop;
    this.job = job;
  }

  get to(): string[] {
    return this.job.recipients.map((r) => r.recipient.address);
  }

  /** Open it and read all of it. */
  async content(): Promise<string> {
    const opened = await this.job.open();
    if (!opened.ok) throw new Error(`not opened: ${opened.reply.text}`);
    return (await readAll(opened)).toString('latin1');
  }

  /** End it with the same result for every recipient, or one for each. */
  async end(state: RecipientResult['state'], with_: Reply, more: Partial<RecipientResult> = {}): Promise<void> {
    const outcome = { at: Date.now(), host: 'mx.peer.example[192.0.2.1]:25', reply: with_ };
    await this.job.finish(this.job.recipients.map(({ index }) => ({ index, state, outcome, ...more })));
  }

  async endOne(address: string, state: RecipientResult['state'], with_: Reply): Promise<RecipientResult> {
    const found = this.job.recipients.find((r) => r.recipient.address === address);
    if (found === undefined) throw new Error(`${address} is not in this job`);
    return {
      index: found.index,
      state,
      outcome: { at: Date.now(), host: 'mx.peer.example[192.0.2.1]:25', reply: with_ },
    };
  }
}

export async function readAll(opened: Extract<Opened, { ok: true }>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of opened.read()) parts.push(part);
  return Buffer.concat(parts);
}

export class FakeDelivery implements Delivery {
  readonly jobs: GivenJob[] = [];
  /** Called with each job immediately, instead of keeping it. */
  automatic: ((job: GivenJob) => Promise<void>) | undefined;
  stopped = false;
  /** Next hops that back off, by their keys. */
  readonly pauses = new Map<string, Pause>();
  readonly #underWay = new Set<Promise<void>>();

  submit(hop: NextHop, job: Job): void {
    const given = new GivenJob(hop, job);
    if (this.automatic === undefined) {
      this.jobs.push(given);
      return;
    }
    const done = this.automatic(given).finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
  }

  pauseOf(hop: NextHop | string): Pause | undefined {
    const pause = this.pauses.get(typeof hop === 'string' ? hop : hop.key);
    return pause !== undefined && pause.until > performance.now() ? pause : undefined;
  }

  /** Wait for a job and take it. */
  async next(what = 'a job'): Promise<GivenJob> {
    return waitFor(() => this.jobs.shift(), { what });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const given of this.jobs.splice(0))
      await given.end('deferred', reply(451, '4.3.2', 'stopping'), { local: true });
    await Promise.all(this.#underWay);
  }
}

export type SignCall = { header: string; bodyHash: string; queueId: string };

export class FakeSigner {
  answer: (call: SignCall) => SignOutcome | Promise<SignOutcome> = () => ({ outcome: 'not-configured' });
  readonly calls: SignCall[] = [];

  readonly client = {
    'message-sign': async (request, options) => {
      const header = Buffer.from(options?.bytes ?? []).toString('latin1');
      const call = { header, bodyHash: request.bodyHash, queueId: request.queueId };
      this.calls.push(call);
      return this.answer(call);
    },
  } as Partial<Client<SignerContract>> as Client<SignerContract>;
}

/** There is no other router. */
export const NO_ROUTER = client(new LocalBus('edge-1'), routerContract);

/** Nothing is counted for reports. */
export const NO_REPORTS: MessageReports = { accepted: () => undefined, refused: async () => undefined };

/** No webhook wants to hear of mail. */
export const noEvents = (settings: Settings): MessageEvents =>
  new MessageEvents({ wants: () => false, prepare: () => ({ operations: [], written: () => undefined }) }, settings);

/** The index of what is in a store. */
export const indexOf = (store: Store): Promise<SearchIndex> => SearchIndex.open({ store, log: silentLogger });

/** What a router has that is alone: every message has one copy. */
export async function aloneCopies(settings: Settings, store: Store, index: SearchIndex): Promise<Copies> {
  const slots = new Slots();
  return Copies.open({
    ...{ settings, log: silentLogger, store, slots, index, router: NO_ROUTER, jetStream: undefined },
    space: new Space(settings.current.node.data, () => 0),
    corrupt: new Corrupt(store, slots, silentLogger),
  });
}

/** Times of the queue in ms that the configuration would refuse as too short, so that a test need not wait. */
export type Times = Partial<{ first: number; max: number; expire: number; delayNotice: number; keep: number }>;

export function settingsFor(
  data: string,
  options: Record<string, unknown> = {},
  times: Times = {},
  name = 'edge-1',
): Settings {
  const node = { name, hostname: 'mx.sealpost.test', data };
  const config = ConfigSchema.parse({ node, ...options });
  const { queue, receipts } = config;
  queue.retry.first = times.first ?? queue.retry.first;
  queue.retry.max = times.max ?? queue.retry.max;
  queue.expire = times.expire ?? queue.expire;
  queue['delay-notice'] = times.delayNotice ?? queue['delay-notice'];
  receipts.keep = times.keep ?? receipts.keep;
  return new Settings(config);
}

export const ORIGIN: Origin = {
  session: 'SESSION1',
  listener: 'mx',
  kind: 'relay',
  client: { address: '192.0.2.9', name: null, helo: 'client.example' },
};

export function envelope(to: (string | EnvelopeRecipient)[], more: Partial<Envelope> = {}): Envelope {
  const recipients = to.map((r) => (typeof r === 'string' ? { address: r } : r));
  return { reversePath: 'alice@sender.example', recipients, smtpUtf8: false, ...more };
}

export function messageOf(size: number): Buffer {
  const head = 'From: <alice@sender.example>\r\nMessage-ID: <1@sender.example>\r\nSubject: Hello\r\n\r\n';
  const line = `${'x'.repeat(76)}\r\n`;
  let body = line.repeat(Math.max(0, Math.ceil((size - head.length) / line.length)));
  body = body.slice(0, Math.max(0, size - head.length - 2));
  return Buffer.from(`${head}${body}\r\n`, 'latin1');
}

export type Sent = {
  envelope: Envelope;
  message?: Uint8Array;
  prepend?: string[];
  originating?: boolean;
  junk?: boolean;
  authenticity?: Authenticity;
  hold?: boolean;
  header?: string;
  reversePath?: string;
  tls?: MessageTls;
  facts?: Partial<MessageFacts>;
  chunk?: number;
  trace?: string;
  origin?: Origin;
};

export type StartOptions = {
  config?: Record<string, unknown>;
  times?: Times;
  log?: Logger;
  /** It is one of several on this bus, under this name. */
  bus?: Bus;
  name?: string;
  reports?: RouterDeps['reports'];
  webServers?: RouterDeps['webServers'];
  patienceMs?: number;
  /** It tells the others on the bus of itself, and hears them. */
  meets?: boolean;
  /** Before it starts: for mail that is there already. */
  prepare?: (router: TestRouter) => void;
};

export class TestRouter implements AsyncDisposable {
  readonly service: Service<RouterContract>;
  readonly delivery = new FakeDelivery();
  readonly signer = new FakeSigner();
  /** What delivery tells of the TLS of a session. */
  onTlsResult: DeliveryDeps['onTlsResult'];
  /** What it said of itself, in order. */
  readonly announced: Present[] = [];
  readonly settings: Settings;
  /** What delivery was made with. */
  deliveryDeps: DeliveryDeps | undefined;
  #stopped = false;
  #actor: Actor | undefined;

  private constructor(settings: Settings, log: Logger, options: StartOptions) {
    const { bus, reports, webServers, patienceMs, meets = false } = options;
    this.settings = settings;
    const router = bus === undefined ? NO_ROUTER : client(bus, routerContract);
    const tell = bus !== undefined && meets ? announcer(bus, routerContract) : undefined;
    this.service = strict(
      createRouterService(
        {
          ...{ settings, log, signer: this.signer.client, router, jetStream: bus?.jetStream },
          ...(reports !== undefined && { reports }),
          ...(webServers !== undefined && { webServers }),
          ...(patienceMs !== undefined && { patienceMs }),
          ...(bus !== undefined &&
            tell !== undefined && {
              peers: { announce: tell, hear: listen(bus, routerContract, log), connected: () => bus.connected },
            }),
          announce: (name, said) => {
            if (name === 'present') this.announced.push(said as Present);
            tell?.(name, said);
          },
        },
        (given) => {
          this.deliveryDeps = given;
          this.onTlsResult = given.onTlsResult;
          return this.delivery;
        },
      ),
    );
  }

  /** A router over the folder `data`. */
  static async start(data: string, options: StartOptions = {}): Promise<TestRouter> {
    const { config, times, name, log = silentLogger, bus } = options;
    const router = new TestRouter(settingsFor(data, config, times, name), log, options);
    options.prepare?.(router);
    await router.service.start();
    if (bus !== undefined) router.#actor = serve(bus, router.service, log);
    return router;
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#actor?.close();
    await this.service.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  context(bytes: Uint8Array = new Uint8Array(0), trace?: string): CallContext {
    return { bytes, trace };
  }

  /** Send a message in pieces as a listener does; resolves to its queue id. */
  async send({ envelope: e, message = messageOf(2000), ...sent }: Sent): Promise<string> {
    const { handlers } = this.service;
    const opened = await handlers['transfer-open'](
      { envelope: e, origin: sent.origin ?? ORIGIN },
      this.context(undefined, sent.trace ?? 'TRACE1'),
    );
    const { transfer } = opened;
    const step = sent.chunk ?? CHUNK_BYTES;
    let sequence = 0;
    let at = 0;
    for (; at + step < message.length; at += step)
      await handlers['transfer-append'](
        { transfer, sequence: sequence++ },
        this.context(message.subarray(at, at + step)),
      );
    const { queueId } = await handlers['transfer-commit'](
      { transfer, sequence, ...commitFields(message, sent) },
      this.context(message.subarray(at)),
    );
    return queueId;
  }

  async show(queueId: string): Promise<{ entry: QueueEntry; finished: boolean; copy?: true | undefined }> {
    return this.service.handlers['message-show']({ queueId }, this.context());
  }

  async status(): Promise<Answer<RouterContract['operations']['status-show']>> {
    return this.service.handlers['status-show']({}, this.context());
  }

  /** The text of everything that is in the queue for a recipient: notices are found with it. */
  async readQueued(queueId: string): Promise<string> {
    const parts: Uint8Array[] = [];
    for (let offset = 0; ; ) {
      const { bytes } = await this.service.handlers['message-read']({ queueId, offset }, this.context());
      if (bytes.length === 0) return Buffer.concat(parts).toString('latin1');
      parts.push(bytes);
      offset += bytes.length;
    }
  }
}

export function commitFields(message: Uint8Array, sent: Omit<Sent, 'envelope' | 'message'> = {}) {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.length);
  const end = bytes.indexOf('\r\n\r\n');
  const headerBytes = end < 0 ? bytes.length : end + 4;
  const hash = new RelaxedBodyHash();
  hash.update(bytes.subarray(headerBytes));
  return {
    facts: {
      headerBytes,
      size: bytes.length,
      bodyHash: hash.digest(),
      eightBitBody: false,
      eightBitHeader: false,
      messageId: messageIdOf(bytes.toString('latin1', 0, headerBytes)),
      ...sent.facts,
    },
    prepend: sent.prepend ?? ['Received: from client.example\r\n'],
    originating: sent.originating ?? false,
    junk: sent.junk ?? false,
    authenticity: sent.authenticity,
    hold: sent.hold,
    header: sent.header,
    reversePath: sent.reversePath,
    tls: sent.tls,
  };
}

/** The code of the error that a call ended with. */
export async function codeOf(call: Promise<unknown> | (() => unknown)): Promise<string | undefined> {
  try {
    await (typeof call === 'function' ? call() : call);
    return undefined;
  } catch (error) {
    return (error as SealpostError).code;
  }
}
