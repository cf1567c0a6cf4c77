import type { Msg, NatsConnection } from 'nats';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import {
  type Address,
  type Bus,
  type BusHandler,
  type BusReply,
  type BusRequest,
  DRAIN_LIMIT,
  endsWithin,
} from './bus.ts';
import { decodeEvent, decodeRequest, encodeEvent, encodeReply, encodeRequest } from './frame.ts';
import type { JetStreamAccess } from './jetstream-access.ts';
import { failure, LocalBus } from './local-bus.ts';
import { type NatsConnectionOptions, NatsLink } from './nats-connection.ts';
import { ask, label, repeated, Unsent, unavailable } from './nats-request.ts';
import { eventSubject, isInbox, operationSubject } from './subjects.ts';

/**
 * The bus between processes, over NATS. What the own process serves is called directly, without NATS; so is what
 * it announces. Everything else is a NATS message in the form of `frame.ts`.
 *
 * - open: calls and events pass. While no connection is up (`connected` is false) calls to other processes fail at
 *   once with `unavailable`, and what waits for a reply when the connection breaks fails with `timeout`: it may or
 *   may not have been done. Left by `drain`.
 * - draining: NATS brings no new requests, calls are refused; what was taken is answered. Left when all of it has
 *   ended or the time is up.
 * - closed: for good.
 */
export type NatsBusOptions = Omit<NatsConnectionOptions, 'name'> & { node: string; name?: string };

/** What NATS carries where the server did not say otherwise. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;
/** How long the own node's mailbox counts as unserved after NATS said so, in milliseconds. */
const ABSENT = 1000;
/** How long the own node's mailbox is passed over after it let a call run out of time, in milliseconds. */
const SILENT = 10_000;
/**
 * How long an instance that answered `elsewhere` stays out of its service's shared mailbox, in milliseconds: enough for
 * the caller to ask the others, and little where there are none.
 */
const ASIDE = 50;
/** Instances that one call asks, while routes between servers spread the news of who stepped aside. */
const MOST_ASKED = 20;

export class NatsBus implements Bus {
  readonly #node: string;
  readonly #log: Logger;
  readonly #local: LocalBus;
  readonly #link: NatsLink;
  /** The one NATS subscription of each event that has listeners here, and how many. */
  readonly #events = new Map<string, { listeners: number; stop: () => void }>();
  /** Until when (`performance.now`) a service counts as absent from the own node, by service. */
  readonly #absent = new Map<string, number>();
  readonly #asked = new Set<Promise<BusReply>>();
  readonly #unsent = new Unsent();
  #drained: Promise<void> | undefined;

  private constructor({ node, name, ...options }: NatsBusOptions) {
    this.#node = node;
    this.#log = options.log;
    this.#local = new LocalBus(node);
    this.#link = new NatsLink({ ...options, name: name ?? `sealpost ${node}` });
  }

  /**
   * Connect. Resolves also when no server can be reached yet: the bus then serves its own process, `connected` is
   * false, and connecting goes on.
   */
  static async connect(options: NatsBusOptions): Promise<NatsBus> {
    const bus = new NatsBus(options);
    await bus.#link.start();
    return bus;
  }

  get maxPayload(): number {
    return this.#link.current?.info?.max_payload ?? DEFAULT_MAX_PAYLOAD;
  }

  get process(): string {
    return this.#local.process;
  }

  get connected(): boolean {
    return this.#link.current !== undefined && this.#drained === undefined;
  }

  get jetStream(): JetStreamAccess {
    return this.#link;
  }

  serve(address: Address, handler: BusHandler): () => void {
    const stopLocal = this.#local.serve(address, handler);
    const stopNamed = [this.#node, this.process].map((name) =>
      this.#link.subscribe(operationSubject(address, name), address.service, (message) => {
        void this.#arrived(address, message);
      }),
    );
    const stopShared = this.#serveShared(address);
    return () => {
      for (const stop of stopNamed) stop();
      stopShared();
      stopLocal();
    };
  }

  /**
   * Hear what any instance may answer. One that answers `elsewhere` steps aside for a moment, before that answer goes
   * out: the server chooses whom it asks, and shall not choose this one when the caller asks again.
   */
  #serveShared(address: Address): () => void {
    let timer: NodeJS.Timeout | undefined;
    let stopped = false;
    const subscribe = (): (() => void) =>
      this.#link.subscribe(operationSubject(address), address.service, (message) => {
        void this.#arrived(address, message, stepAside);
      });
    const stepAside = (): void => {
      if (stopped || timer !== undefined) return;
      stop();
      timer = setTimeout(() => {
        timer = undefined;
        stop = subscribe();
      }, ASIDE).unref();
    };
    let stop = subscribe();
    return () => {
      stopped = true;
      clearTimeout(timer);
      stop();
    };
  }

  async call(address: Address, request: BusRequest, node?: string): Promise<BusReply> {
    if (this.#drained !== undefined) throw unavailable(address, 'this process is shutting down');
    let declined: BusReply | undefined;
    if ((node === undefined || this.#local.isNamed(node)) && this.#local.serves(address)) {
      const answer = await this.#local.call(address, request, node);
      if (node !== undefined || !isDeclined(answer)) return answer;
      declined = answer;
    }
    const connection = this.#link.current;
    if (connection === undefined && declined !== undefined) return declined;
    if (connection === undefined) throw unavailable(address, 'NATS is away, and this process does not serve it');
    const frame = encodeRequest(request);
    if (frame.length > this.maxPayload) {
      const text = `a request of ${frame.length} bytes to ${label(address)} is larger than NATS carries (${this.maxPayload})`;
      throw new SealpostError(CALL_ERRORS.tooLarge, text);
    }
    const sent = this.#unsent.count(connection, frame.length);
    const end = performance.now() + request.timeout;
    const ask = (): Promise<BusReply> => this.#exchange(connection, address, frame, end, node, declined);
    const answer = request.repeatable === true && node === undefined ? repeated(ask) : ask();
    this.#asked.add(answer);
    answer.then(sent, sent).finally(() => this.#asked.delete(answer));
    return answer;
  }

  publish(service: string, version: number, event: string, payload: unknown): void {
    this.#local.publish(service, version, event, payload);
    const connection = this.#link.current;
    if (connection === undefined || this.#drained !== undefined) return;
    const frame = encodeEvent(payload);
    if (frame.length > this.maxPayload) {
      this.#log.error(
        { event: `${service}.${event}`, bytes: frame.length },
        'event is larger than NATS carries; other processes miss it',
      );
      return;
    }
    connection.publish(eventSubject(service, version, event), frame);
  }

  subscribe(service: string, version: number, event: string, listener: (payload: unknown) => void): () => void {
    const stopLocal = this.#local.subscribe(service, version, event, listener);
    const subject = eventSubject(service, version, event);
    const shared = this.#events.get(subject) ?? {
      listeners: 0,
      stop: this.#link.subscribe(subject, undefined, (message) => this.#heard(service, version, event, message)),
    };
    shared.listeners++;
    this.#events.set(subject, shared);
    let stopped = false;
    return () => {
      if (stopped) return;
      stopped = true;
      stopLocal();
      if (--shared.listeners > 0) return;
      this.#events.delete(subject);
      shared.stop();
    };
  }

  /** Resolves when the server has seen everything done until now, subscriptions among it; at once while it is away. */
  async flush(): Promise<void> {
    await this.#link.current?.flush();
  }

  drain(): Promise<void> {
    this.#drained ??= this.#finish();
    return this.#drained;
  }

  async #finish(): Promise<void> {
    const finished = async (): Promise<void> => {
      // A server that hangs must not cost those who wait for an answer of this process their time.
      await endsWithin(DRAIN_LIMIT / 5, this.#link.unsubscribeAll());
      await this.#local.drain();
      await Promise.allSettled(this.#asked);
    };
    if (!(await endsWithin(DRAIN_LIMIT, finished()))) {
      this.#log.warn({ unanswered: this.#asked.size }, 'calls under way were given up at the end of this process');
    }
    await this.#link.close(DRAIN_LIMIT / 5);
  }

  /** Ask over NATS: the own node first, then anyone. `declined` is the answer of an instance that was asked before. */
  async #exchange(
    connection: NatsConnection,
    address: Address,
    frame: Uint8Array,
    end: number,
    node: string | undefined,
    declined: BusReply | undefined,
  ): Promise<BusReply> {
    if (node !== undefined) {
      const answer = await ask(connection, address, operationSubject(address, node), frame, end);
      if (answer === undefined) throw unavailable(address, `node ${node} does not serve it`);
      return answer;
    }
    const service = `${address.service} v${address.version}`;
    let first = declined;
    if ((this.#absent.get(service) ?? 0) < performance.now()) {
      const answer = await ask(connection, address, operationSubject(address, this.#node), frame, end).catch(
        (error: unknown) => {
          // A process that hangs still has its mailbox: whoever else serves it is asked for a while.
          if (errorCode(error) === CALL_ERRORS.timeout) this.#absent.set(service, performance.now() + SILENT);
          throw error;
        },
      );
      if (answer === undefined) this.#absent.set(service, performance.now() + ABSENT);
      else if (isDeclined(answer)) first ??= answer;
      else return answer;
    }
    for (let asked = 0; asked < MOST_ASKED; asked++) {
      const answer = await ask(connection, address, operationSubject(address), frame, end);
      if (answer === undefined) break;
      if (!isDeclined(answer)) return answer;
      first ??= answer;
    }
    if (first !== undefined) return first;
    throw unavailable(address, 'no process serves it');
  }

  /** Answer a request; `stepAside` is called before an answer that sends the caller elsewhere. */
  async #arrived(address: Address, message: Msg, stepAside?: () => void): Promise<void> {
    const operation = label(address);
    const { reply: replyTo = '' } = message;
    if (!isInbox(replyTo)) {
      const wants = replyTo === '' ? 'no reply' : 'its reply on a subject that is no inbox';
      this.#log.warn(
        { operation, replyTo },
        `a request that wants ${wants} was dropped; who publishes on this subject?`,
      );
      return;
    }
    let request: BusRequest;
    try {
      request = decodeRequest(message.data);
    } catch (error) {
      const text = errorText(error);
      this.#log.warn({ operation, problems: text }, 'malformed request refused');
      this.#respond(address, message, { ok: false, code: CALL_ERRORS.malformed, message: `${operation}: ${text}` });
      return;
    }
    const reply = await this.#local.take(address, request);
    if (isDeclined(reply)) stepAside?.();
    this.#respond(address, message, reply);
  }

  #respond(address: Address, message: Msg, reply: BusReply): void {
    const frame = this.#encodeReply(address, reply);
    try {
      message.respond(frame);
    } catch (error) {
      // The connection that brought the request is gone; its caller has heard `timeout` already.
      this.#log.warn({ operation: label(address), err: error }, 'a reply could not be sent');
    }
  }

  /** The reply as a frame that NATS carries; where that cannot be, an error that says so. */
  #encodeReply(address: Address, reply: BusReply): Uint8Array {
    try {
      const frame = encodeReply(reply);
      if (frame.length <= this.maxPayload) return frame;
      const text = `a reply of ${frame.length} bytes from ${label(address)} is larger than NATS carries (${this.maxPayload})`;
      return encodeReply(failure(new SealpostError(CALL_ERRORS.tooLarge, text)));
    } catch (error) {
      this.#log.error({ operation: label(address), err: error }, 'a reply is no JSON data');
      const text = `${label(address)}: the reply is no JSON data: ${errorText(error)}`;
      return encodeReply(failure(new SealpostError(CALL_ERRORS.internal, text)));
    }
  }

  #heard(service: string, version: number, event: string, message: Msg): void {
    let payload: unknown;
    try {
      payload = decodeEvent(message.data);
    } catch (error) {
      this.#log.warn({ event: `${service}.${event}`, problems: errorText(error) }, 'malformed event dropped');
      return;
    }
    this.#local.publish(service, version, event, payload);
  }
}

const isDeclined = (reply: BusReply): boolean => !reply.ok && reply.elsewhere === true;
