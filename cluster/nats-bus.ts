import { ErrorCode, type Msg, type NatsConnection, NatsError } from 'nats';
import {
  type Address,
  type Bus,
  type BusHandler,
  type BusReply,
  type BusRequest,
  DRAIN_LIMIT,
  endsWithin,
} from '#cluster/bus.ts';
import { decodeEvent, decodeReply, decodeRequest, encodeEvent, encodeReply, encodeRequest } from '#cluster/frame.ts';
import { failure, LocalBus } from '#cluster/local-bus.ts';
import { type NatsConnectionOptions, NatsLink } from '#cluster/nats-connection.ts';
import { eventSubject, operationSubject } from '#cluster/subjects.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';

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
/** Bytes of requests that NATS may not have read yet, beyond which calls are refused. */
const UNSENT_LIMIT = 128 * 1024 * 1024;

export class NatsBus implements Bus {
  readonly #node: string;
  readonly #log: Logger;
  readonly #local: LocalBus;
  readonly #link: NatsLink;
  /** The one NATS subscription of each event that has listeners here, and how many. */
  readonly #events = new Map<string, { listeners: number; stop: () => void }>();
  /** Until when (`performance.now`) a service counts as absent from the own node. */
  readonly #absent = new Map<string, number>();
  readonly #asked = new Set<Promise<BusReply>>();
  /** Bytes of requests that were neither answered nor surely read by the server, on each connection. */
  readonly #unsent = new WeakMap<NatsConnection, { bytes: number }>();
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

  get connected(): boolean {
    return this.#link.current !== undefined && this.#drained === undefined;
  }

  serve(address: Address, handler: BusHandler): () => void {
    const stopLocal = this.#local.serve(address, handler);
    const deliver = (message: Msg): void => this.#arrived(address, message);
    const stops = [operationSubject(address), operationSubject(address, this.#node)].map((subject) =>
      this.#link.subscribe(subject, address.service, deliver),
    );
    return () => {
      for (const stop of stops) stop();
      stopLocal();
    };
  }

  async call(address: Address, request: BusRequest, node?: string): Promise<BusReply> {
    if (this.#drained !== undefined) throw unavailable(address, 'this process is shutting down');
    if ((node === undefined || node === this.#node) && this.#local.serves(address)) {
      return this.#local.call(address, request, node);
    }
    const connection = this.#link.current;
    if (connection === undefined) throw unavailable(address, 'NATS is away, and this process does not serve it');
    const frame = encodeRequest(request);
    if (frame.length > this.maxPayload) {
      const text = `a request of ${frame.length} bytes to ${label(address)} is larger than NATS carries (${this.maxPayload})`;
      throw new SealpostError(CALL_ERRORS.tooLarge, text);
    }
    const sent = this.#account(connection, frame.length);
    const answer = this.#exchange(connection, address, frame, request.timeout, node);
    this.#asked.add(answer);
    answer.then(sent, sent).finally(() => this.#asked.delete(answer));
    return answer;
  }

  /**
   * Count bytes that are about to be sent; throws `busy` when NATS has too many of them unread. The returned function
   * ends the count: at once after an answer, and after a timeout when the server has read what was sent before.
   */
  #account(connection: NatsConnection, bytes: number): (outcome: unknown) => void {
    const unsent = this.#unsent.get(connection) ?? { bytes: 0 };
    if (unsent.bytes + bytes > UNSENT_LIMIT) {
      throw new SealpostError(CALL_ERRORS.busy, `NATS reads too slowly: ${unsent.bytes} bytes of requests wait for it`);
    }
    this.#unsent.set(connection, unsent);
    unsent.bytes += bytes;
    const end = (): void => {
      unsent.bytes -= bytes;
    };
    return (outcome) => {
      if (errorCode(outcome) === CALL_ERRORS.timeout) connection.flush().then(end, end);
      else end();
    };
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

  /** Ask over NATS: the own node first, then anyone. */
  async #exchange(
    connection: NatsConnection,
    address: Address,
    frame: Uint8Array,
    timeout: number,
    node?: string,
  ): Promise<BusReply> {
    const end = performance.now() + timeout;
    const service = `${address.service} v${address.version}`;
    if (node === undefined && (this.#absent.get(service) ?? 0) < performance.now()) {
      const answer = await ask(connection, address, operationSubject(address, this.#node), frame, end);
      if (answer !== undefined) return answer;
      this.#absent.set(service, performance.now() + ABSENT);
    }
    const answer = await ask(connection, address, operationSubject(address, node), frame, end);
    if (answer !== undefined) return answer;
    throw unavailable(address, node === undefined ? 'no process serves it' : `node ${node} does not serve it`);
  }

  #arrived(address: Address, message: Msg): void {
    const operation = label(address);
    if (message.reply === undefined || message.reply === '') {
      this.#log.warn({ operation }, 'a request that wants no reply was dropped; who publishes on this subject?');
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
    void this.#local.take(address, request).then((reply) => this.#respond(address, message, reply));
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

const label = (address: Address): string => `${address.service}.${address.operation}`;

/** The answer, or undefined when nobody listens on the subject. */
async function ask(
  connection: NatsConnection,
  address: Address,
  subject: string,
  frame: Uint8Array,
  end: number,
): Promise<BusReply | undefined> {
  try {
    const message = await connection.request(subject, frame, { timeout: Math.max(1, end - performance.now()) });
    return decodeReply(message.data);
  } catch (error) {
    if (!(error instanceof NatsError)) throw error;
    if (error.code === ErrorCode.NoResponders) return undefined;
    throw callError(error, address, connection);
  }
}

function unavailable(address: Address, why: string): SealpostError {
  return new SealpostError(CALL_ERRORS.unavailable, `${label(address)} cannot be called: ${why}`);
}

function callError(error: NatsError, address: Address, connection: NatsConnection): SealpostError {
  switch (error.code) {
    case ErrorCode.Timeout: {
      const text = connection.isClosed() ? 'the connection to NATS broke before its answer' : 'no answer came in time';
      return new SealpostError(CALL_ERRORS.timeout, `${label(address)}: ${text}`);
    }
    case ErrorCode.MaxPayloadExceeded:
      return new SealpostError(CALL_ERRORS.tooLarge, `${label(address)}: NATS does not carry the request`, {
        cause: error,
      });
    case ErrorCode.PermissionsViolation:
      return unavailable(address, `NATS does not permit it: ${error.message}`);
    default:
      return unavailable(address, errorText(error));
  }
}
