import type { Msg } from 'nats';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import {
  type Address,
  type Announced,
  type Bus,
  type BusHandler,
  type BusReply,
  type BusRequest,
  type Denial,
  DRAIN_LIMIT_MS,
  endsWithin,
} from './bus.ts';
import { decodeEvent, encodeEvent, encodeRequest } from './frame.ts';
import { Instances } from './instances.ts';
import type { JetStreamAccess } from './jetstream-access.ts';
import { LocalBus } from './local-bus.ts';
import { type NatsConnectionOptions, NatsLink } from './nats-connection.ts';
import { NatsMailboxes } from './nats-mailboxes.ts';
import { isDeclined, label, OutgoingCalls, unavailable } from './nats-requests.ts';
import { eventSubject } from './subjects.ts';
import { turnEnded } from './turn-end.ts';
import { Turns } from './turns.ts';

/**
 * The bus between processes, over NATS. What this process serves is called directly, without NATS; so is what
 * it announces. Everything else is a NATS message in the form of `frame.ts`.
 *
 * - open: calls and events pass. While no connection is up (`connected` is false) calls to other processes
 *   fail immediately with `unavailable`, and what waits for a reply when the connection breaks fails with `timeout`:
 *   it may or may not have been done. Left by `drain`.
 * - draining: NATS brings no new requests, calls are refused; what was taken is answered. Left when all of it has
 *   ended or the time is up.
 * - closed: for good.
 */
export type NatsBusOptions = Omit<NatsConnectionOptions, 'name'> & { node: string; name?: string };

/** What NATS carries where the server did not say otherwise. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;

export class NatsBus implements Bus {
  readonly #log: Logger;
  readonly #rubbish = new LimitedLog();
  readonly #local: LocalBus;
  readonly #link: NatsLink;
  /** The one NATS subscription of each event that has listeners here, and how many. */
  readonly #events = new Map<string, { listeners: number; stop: () => void }>();
  readonly #turns = new Turns();
  readonly #mailboxes: NatsMailboxes;
  readonly #calls: OutgoingCalls;
  readonly #instances = new Instances(() => this.#link.current !== undefined);
  #drained: Promise<void> | undefined;

  private constructor({ node, name, ...options }: NatsBusOptions) {
    this.#log = options.log;
    this.#local = new LocalBus(node);
    this.#link = new NatsLink({ ...options, name: name ?? `sealpost ${node}` });
    const deps = { node, link: this.#link, local: this.#local, log: this.#log, turns: this.#turns };
    this.#mailboxes = new NatsMailboxes({ ...deps, maxPayload: () => this.maxPayload });
    this.#calls = new OutgoingCalls(node, options.user, this.#instances);
    this.#instances.start();
    this.#link.onChange(() => this.#instances.reconnected());
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

  get connection(): number {
    return this.#link.connections;
  }

  get connected(): boolean {
    return this.#link.current !== undefined && this.#drained === undefined;
  }

  get denials(): Denial[] {
    return this.#link.denials.all();
  }

  get jetStream(): JetStreamAccess {
    return this.#link;
  }

  heard(announced: Announced, silence?: number): void {
    this.#instances.hear(announced, silence);
  }

  serve(address: Address, handler: BusHandler): () => void {
    return this.#mailboxes.serve(address, handler);
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
    const { timeout, repeatable } = request;
    return this.#calls.send({ connection, address, frame, timeout, repeatable, node, declined });
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
      stop: this.#link.subscribe(subject, undefined, (message) => this.#arrived(service, version, event, message)),
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

  /**
   * Resolves when the server has seen everything done until now, subscriptions included; immediately while there is no
   * connection.
   */
  async flush(): Promise<void> {
    await turnEnded();
    await this.#link.current?.flush();
  }

  drain(): Promise<void> {
    this.#drained ??= this.#finish();
    return this.#drained;
  }

  async #finish(): Promise<void> {
    const finished = async (): Promise<void> => {
      // A server that hangs must not cost the callers that wait for an answer of this process their time.
      await endsWithin(DRAIN_LIMIT_MS / 5, this.#link.unsubscribeAll());
      await this.#local.drain();
      await this.#calls.settled();
    };
    if (!(await endsWithin(DRAIN_LIMIT_MS, finished()))) {
      this.#log.warn({ unanswered: this.#calls.open }, 'stopping: gave up on calls that were not answered in time');
    }
    this.#instances.stop();
    await turnEnded();
    await this.#link.close(DRAIN_LIMIT_MS / 5);
  }

  /**
   * Hear an event when it is its turn: those of one name stand in one line. What a listener misses it learns later, as
   * when NATS loses an event.
   */
  #arrived(service: string, version: number, event: string, message: Msg): void {
    const name = `${service}.${event}`;
    const take = (): void => this.#heard(service, version, event, message);
    if (this.#turns.add({ caller: name, bytes: message.data.length, take }) === 'waits') return;
    this.#rubbish.say(`${name} too fast`, (repeated) =>
      this.#log.warn({ event: name, ...repeated }, 'events dropped: they come faster than this process takes them up'),
    );
  }

  #heard(service: string, version: number, event: string, message: Msg): void {
    let payload: unknown;
    try {
      payload = decodeEvent(message.data);
    } catch (error) {
      const name = `${service}.${event}`;
      this.#rubbish.say(name, (repeated) =>
        this.#log.warn({ event: name, error: errorText(error), ...repeated }, 'malformed event dropped'),
      );
      return;
    }
    this.#local.publish(service, version, event, payload);
  }
}
