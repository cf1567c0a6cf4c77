import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { DebugEvents, Events, type Msg, type NatsConnection, type Subscription } from 'nats';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Secret } from '#shared/secret.ts';
import { endsWithin } from './bus.ts';
import { Denials, RENEW_PERMISSIONS } from './denials.ts';
import type { JetStreamAccess } from './jetstream-access.ts';
import { CONNECT_LIMIT_MS, connectClient, parseServer, reasonOf, type Server } from './nats-transport.ts';
import { inboxPrefix } from './subjects.ts';

/**
 * Keeps a connection to NATS up for as long as the process runs, and renews the subscriptions on each new one.
 *
 * - waiting: no connection. Entered at the start and whenever a connection ends. All servers are tried in random
 *   order, the one that was just lost last, in rounds with a pause between them; every 10 s the log says why none
 *   could be reached. Left when a server accepts (→ up) or by `close` (→ closed).
 * - up: `current` is the connection and everything is subscribed on it. Left when it ends or no longer answers pings
 *   (→ waiting) or by `close` (→ closed).
 * - closed: for good.
 *
 * The client's own reconnection is off: it gives up after two refused passwords, does not cover the first
 * connection, and later sends what callers have given up on. Here the first connection and all later ones are one path.
 */
export type NatsConnectionOptions = {
  /** `nats://host:port` or `tls://host:port`. */
  servers: readonly string[];
  /** Name of this client in the server's lists. */
  name: string;
  log: Logger;
  user?: string | undefined;
  password?: Secret | undefined;
  /** PEM files; present: clear-text connections are refused. */
  tls?: { ca?: string | undefined; certificate?: string | undefined; key?: string | undefined } | undefined;
};

/** Pause between rounds over the servers; half of it is random, so that nodes do not reconnect all at the same time. */
const RETRY_PAUSE_MS = 1500;
/** How often the log says that no server of NATS was reached. */
const REMIND_MS = 10_000;
/** A server that answers none of `PINGS` hangs or is gone. That is known within one interval more. */
const PING_INTERVAL_MS = 1000;
const PINGS = 3;

/** How often a subscription is tried again that the server refused: its permissions may have been renewed. */
const REFUSED_MS = 10_000;

/** A subscription as it is wanted, and as it is on the current connection. */
type Wanted = {
  /** For the connection of this number. */
  subject: (connection: number) => string;
  queue: string | undefined;
  deliver: (message: Msg) => void;
  subscription: Subscription | undefined;
  /** The server refused it. */
  refused: boolean;
};

export class NatsLink implements JetStreamAccess {
  readonly #options: NatsConnectionOptions;
  readonly #servers: Server[];
  readonly #log: Logger;
  readonly #wanted = new Set<Wanted>();
  /** What the server of the current connection does not permit. */
  readonly denials = new Denials();
  /** Nothing is subscribed to any more. */
  #ended = false;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<() => void>();
  /** How many connections there were, the current one included. */
  connections = 0;
  #current: NatsConnection | undefined;
  /** The server of the last connection. Where its whole machine is gone, a try takes all of `CONNECT_LIMIT_MS`. */
  #last: Server | undefined;

  constructor(options: NatsConnectionOptions) {
    this.#options = options;
    this.#servers = options.servers.map(parseServer);
    this.#log = options.log;
  }

  /** The connection, while it is up. */
  get current(): NatsConnection | undefined {
    return this.#current?.isClosed() === true ? undefined : this.#current;
  }

  get restricted(): boolean {
    return this.#options.user !== undefined;
  }

  /** Called after every connection that came up or ended. Returns the way to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Begin to connect. Resolves when a server accepted, or when all were tried once without success. */
  async start(): Promise<void> {
    const tried = Promise.withResolvers<void>();
    void this.#keepUp(tried.resolve).catch((error: unknown) => {
      this.#log.fatal({ err: error }, 'the connection to NATS is not maintained any more: restart this node');
    });
    await tried.promise;
  }

  /**
   * Subscribe to a subject on this and every later connection, alone or in the queue group `queue`; the subject may be
   * another one on each connection. Returns the way to stop; what the server had already routed to this process is still
   * delivered.
   */
  subscribe(
    subject: string | ((connection: number) => string),
    queue: string | undefined,
    deliver: (message: Msg) => void,
  ): () => void {
    // A mailbox that left its subject for a moment would come back to one that nobody answers at.
    if (this.#ended) return () => undefined;
    const subjectOn = typeof subject === 'string' ? () => subject : subject;
    const wanted: Wanted = { subject: subjectOn, queue, deliver, subscription: undefined, refused: false };
    this.#wanted.add(wanted);
    if (this.current !== undefined) this.#attach(wanted, this.current);
    return () => {
      this.#wanted.delete(wanted);
      // One that broke with its connection has nothing more to deliver.
      wanted.subscription?.drain().catch(() => undefined);
    };
  }

  /** End all subscriptions, and those to come. Resolves when everything that the server had already routed here was delivered. */
  async unsubscribeAll(): Promise<void> {
    this.#ended = true;
    const ending = [...this.#wanted].map(({ subscription }) => subscription?.drain());
    this.#wanted.clear();
    // One that the server refused or that broke with its connection has nothing more to deliver.
    await Promise.allSettled(ending);
  }

  /** End the connection, after what was sent has reached the server, within `limit` milliseconds. */
  async close(limit: number): Promise<void> {
    this.#closing.abort();
    const connection = this.current;
    if (connection !== undefined && !(await endsWithin(limit, connection.drain()))) void connection.close();
  }

  #attach(wanted: Wanted, connection: NatsConnection): void {
    // It has just broken: the next connection gets the subscription.
    if (connection.isClosed()) return;
    const { subject, queue, deliver } = wanted;
    wanted.refused = false;
    wanted.subscription = connection.subscribe(subject(this.connections), {
      ...(queue === undefined ? {} : { queue }),
      // An error here is a refused subscription, which `#watch` logs with the user and the subject.
      callback: (error, message) => {
        if (error === null) deliver(message);
        else wanted.refused = true;
      },
    });
  }

  /** Subscribe again to what was refused, for as long as this is the connection. */
  async #tryRefused(connection: NatsConnection, ended: AbortSignal): Promise<void> {
    for (;;) {
      await delay(REFUSED_MS, undefined, { signal: ended, ref: false });
      const refused = [...this.#wanted].filter((wanted) => wanted.refused);
      for (const wanted of refused) this.#attach(wanted, connection);
      // The server answers in order: a refusal comes before this.
      if (refused.length > 0) await connection.flush();
      const accepted = refused.filter((wanted) => !wanted.refused);
      for (const { subject } of accepted) this.denials.accepted(subject(this.connections));
      if (accepted.length > 0) this.#log.info(`NATS permits ${accepted.length} subscriptions that it refused before`);
    }
  }

  async #keepUp(tried: () => void): Promise<void> {
    let since = performance.now();
    let reminded = Number.NEGATIVE_INFINITY;
    while (!this.#closing.signal.aborted) {
      const problems: string[] = [];
      const connection = await this.#connectAny(problems);
      if (connection !== undefined && this.#closing.signal.aborted) await connection.close();
      else if (connection !== undefined) {
        this.#current = connection;
        this.connections++;
        this.denials.clear();
        for (const wanted of this.#wanted) this.#attach(wanted, connection);
        for (const listener of this.#listeners) listener();
        tried();
        await this.#stayUp(connection);
        since = performance.now();
        reminded = Number.NEGATIVE_INFINITY;
      } else if (performance.now() - reminded >= REMIND_MS && !this.#closing.signal.aborted) {
        reminded = performance.now();
        const seconds = Math.round((reminded - since) / 1000);
        const error = problems.join('; ');
        this.#log.warn({ error, seconds }, 'waiting for NATS; calls to other processes fail until a server answers');
      }
      tried();
      const pause =
        connection === undefined ? RETRY_PAUSE_MS / 2 + (Math.random() * RETRY_PAUSE_MS) / 2 : Math.random() * 200;
      // An aborted pause is how `close` ends the loop.
      await delay(pause, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
    tried();
  }

  /** Try every server once, the last one at the end, else in random order. What went wrong is added to `problems`. */
  async #connectAny(problems: string[]): Promise<NatsConnection | undefined> {
    const order = this.#servers
      .map((server) => ({ server, key: server === this.#last ? 1 : Math.random() }))
      .sort((a, b) => a.key - b.key);
    for (const { server } of order) {
      if (this.#closing.signal.aborted) return undefined;
      try {
        const connection = await this.#connect(server);
        this.#last = server;
        return connection;
      } catch (error) {
        problems.push(`${server.url}: ${reasonOf(error)}`);
      }
    }
    return undefined;
  }

  #connect({ host, port, tls }: Server): Promise<NatsConnection> {
    const { user, password, name } = this.#options;
    const files = this.#options.tls ?? (tls ? {} : undefined);
    const secure = files && {
      ...(files.ca === undefined ? {} : { caFile: files.ca }),
      ...(files.certificate === undefined ? {} : { certFile: files.certificate }),
      ...(files.key === undefined ? {} : { keyFile: files.key }),
      // RFC 6066 §3: no addresses in SNI. The certificate must name what the configuration names, address or name.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      checkServerIdentity: (_name: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate),
    };
    return connectClient({
      signal: this.#closing.signal,
      servers: isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`,
      name,
      timeout: CONNECT_LIMIT_MS,
      reconnect: false,
      ignoreClusterUpdates: true,
      // The system's resolver knows /etc/hosts; the client's own does not.
      resolve: false,
      noEcho: true,
      inboxPrefix: inboxPrefix(user),
      noAsyncTraces: true,
      pingInterval: PING_INTERVAL_MS,
      maxPingOut: PINGS,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { pass: password.reveal() }),
      ...(secure === undefined ? {} : { tls: secure }),
    });
  }

  /** Resolves when the connection has ended. */
  async #stayUp(connection: NatsConnection): Promise<void> {
    const server = connection.getServer();
    this.#log.info({ server, version: connection.info?.version }, 'connected to NATS');
    const stale = Promise.withResolvers<Error>();
    void this.#watch(connection, () => stale.resolve(new Error('it answers no pings')));
    const ended = new AbortController();
    // It ends with the connection.
    this.#tryRefused(connection, ended.signal).catch(() => undefined);
    const reason = await Promise.race([connection.closed(), stale.promise]);
    ended.abort();
    this.#current = undefined;
    for (const listener of this.#listeners) listener();
    // Fails what waits for a reply. It does not end while a dead connection still holds unsent bytes.
    void connection.close();
    if (this.#closing.signal.aborted) return;
    const why = reason instanceof Error ? errorText(reason) : 'the server closed it';
    this.#log.warn({ server, error: why }, 'connection to NATS lost; reconnecting');
  }

  async #watch(connection: NatsConnection, onStale: () => void): Promise<void> {
    const server = connection.getServer();
    for await (const status of connection.status()) {
      if (status.type === DebugEvents.StaleConnection) onStale();
      else if (status.type === Events.LDM) this.#log.info({ server }, 'this NATS server is shutting down');
      else if (status.type === Events.Error) {
        const { permissionContext: denied } = status;
        if (denied === undefined) this.#log.error({ server, error: status.data }, 'NATS reports an error');
        else {
          const { operation, subject } = denied;
          this.denials.add(operation === 'publish' ? 'publish' : 'subscription', subject);
          const text = `NATS permits user ${this.#options.user ?? '(none)'} no ${operation} on ${subject}: ${RENEW_PERMISSIONS}`;
          this.#log.error({ server, operation, subject }, text);
        }
      }
    }
  }
}
