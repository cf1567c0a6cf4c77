import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { LdapConnection, LdapResult, type LdapServer, LdapTrouble } from './connection.ts';

/**
 * The servers of a directory, all of which know the same, and the connections to them.
 *
 * At most `connections` operations run concurrently, each on a connection of its own, so that one that hangs takes no other
 * with it. Of those that have to wait there are at most `MOST_WAITING`, each until its own time is over: a slow server
 * fills no memory.
 *
 * A server is:
 * - in use: it is the one that connections go to. One that cannot be connected to, or that has answered no operation since
 *   one began whose time is over, is paused, and the next one in the list is in use
 * - paused for `PAUSE_MS`: it is not tried. When all are, every operation fails immediately
 *
 * The one that answers stays in use, also when one before it in the list is back.
 */

const MOST_WAITING = 1000;
const PAUSE_MS = 5000;
/** Who had less time to answer is not called silent. */
const FAIR_MS = 250;
/** Idle for longer, a connection is not trusted: a firewall may have forgotten it. */
const MOST_IDLE_MS = 60_000;

export type ServersOptions = {
  servers: readonly LdapServer[];
  connections: number;
  /** What every connection begins with. */
  bind: { dn: string; password: string } | undefined;
};

/** `error`: why it cannot be asked. */
export type ServerState = { url: string; error?: string };

type State = { server: LdapServer; pausedUntil: number; answered: number; error: string | undefined };
type Idle = { connection: LdapConnection; since: number };

export class LdapServers {
  readonly #states: State[];
  readonly #options: ServersOptions;
  readonly #log: Logger;
  readonly #open = new Set<LdapConnection>();
  #idle: Idle[] = [];
  #running = 0;
  readonly #waiting = new Set<(error?: Error) => void>();
  #inUse = 0;
  /** None of them could be asked. */
  #away = false;
  #closed = false;

  constructor(options: ServersOptions, log: Logger) {
    this.#options = options;
    this.#states = options.servers.map((server) => ({ server, pausedUntil: 0, answered: 0, error: undefined }));
    this.#log = log;
  }

  /** The URL of the server in use. */
  get inUse(): string {
    return this.#current.server.url;
  }

  /** Which of them can be asked, each with a connection of its own. */
  check(work: (connection: LdapConnection) => Promise<unknown>, until: number): Promise<ServerState[]> {
    const checks = this.#states.map(async ({ server }): Promise<ServerState> => {
      const { url } = server;
      try {
        const connection = await this.#bound(server, until, true);
        await work(connection).finally(() => this.#drop(connection));
        return { url };
      } catch (error) {
        return { url, error: errorText(error) };
      }
    });
    return Promise.all(checks);
  }

  /** Run an operation on a bound connection. Fails with `LdapTrouble`, and with what the operation fails with. */
  run<T>(work: (connection: LdapConnection) => Promise<T>, until: number): Promise<T> {
    return this.#inTurn(until, async () => {
      const idle = this.#takeIdle();
      if (idle !== undefined) {
        try {
          return await this.#work(idle, work);
        } catch (error) {
          // It may have been closed while it was idle: that says nothing about the server.
          if (!(error instanceof LdapTrouble) || error.kind !== 'gone') throw error;
        }
      }
      return await this.#work(await this.#connect(until, true), work);
    });
  }

  /** Run an operation on a connection that nobody else has used or will use. */
  runAlone<T>(work: (connection: LdapConnection) => Promise<T>, until: number): Promise<T> {
    return this.#inTurn(until, async () => {
      const connection = await this.#connect(until, false);
      try {
        return await work(connection);
      } finally {
        this.#drop(connection);
      }
    });
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#open) connection.close();
    for (const settle of this.#waiting) settle(new LdapTrouble('closed by this server'));
    this.#idle = [];
  }

  async #inTurn<T>(until: number, work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#options.connections) await this.#turn(until);
    else this.#running++;
    try {
      if (this.#closed) throw new LdapTrouble('closed by this server');
      if (performance.now() >= until) throw new LdapTrouble('every connection was busy for too long');
      return await work();
    } finally {
      // Who waits takes the place over.
      const [next] = this.#waiting;
      if (next === undefined) this.#running--;
      else next();
    }
  }

  #turn(until: number): Promise<void> {
    if (this.#waiting.size >= MOST_WAITING) throw new LdapTrouble('too many questions wait for it');
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        if (error === undefined) resolve();
        else reject(error);
      };
      const late = () => settle(new LdapTrouble('every connection was busy for too long'));
      const timer = setTimeout(late, Math.max(0, until - performance.now()));
      this.#waiting.add(settle);
    });
  }

  async #work<T>(connection: LdapConnection, work: (c: LdapConnection) => Promise<T>): Promise<T> {
    const began = performance.now();
    try {
      const result = await work(connection);
      this.#answered(connection.server);
      this.#putBack(connection);
      return result;
    } catch (error) {
      if (error instanceof LdapResult) {
        this.#answered(connection.server);
        this.#putBack(connection);
        throw error;
      }
      this.#drop(connection);
      const state = this.#stateOf(connection.server);
      if (isSilent(error, began) && state.answered < began) this.#pause(state, error);
      throw error instanceof LdapTrouble
        ? new LdapTrouble(`${connection.server.url}: ${error.message}`, error.kind)
        : error;
    }
  }

  #takeIdle(): LdapConnection | undefined {
    const fresh = performance.now() - MOST_IDLE_MS;
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.connection.closed && idle.since > fresh) return idle.connection;
      this.#drop(idle.connection);
    }
    return undefined;
  }

  #drop(connection: LdapConnection): void {
    connection.close();
    this.#open.delete(connection);
  }

  #putBack(connection: LdapConnection): void {
    if (!connection.closed) this.#idle.push({ connection, since: performance.now() });
    else this.#open.delete(connection);
  }

  /** A connection to the server in use, or to the next one that can be reached. Fails with `LdapTrouble`. */
  async #connect(until: number, bind: boolean): Promise<LdapConnection> {
    for (let tried = 0; tried < this.#states.length; tried++) {
      const state = this.#current;
      if (state.pausedUntil > performance.now()) break;
      // The others get their share of the time.
      const now = performance.now();
      const share = now + (until - now) / (this.#states.length - tried);
      try {
        return await this.#bound(state.server, share, bind);
      } catch (error) {
        if (error instanceof LdapTrouble && error.kind === 'silent' && !isSilent(error, now)) throw error;
        this.#pause(state, error);
      }
    }
    throw new LdapTrouble(`${this.#current.server.url}: ${this.#current.error ?? 'cannot be asked'}`);
  }

  async #bound(server: LdapServer, until: number, bind: boolean): Promise<LdapConnection> {
    const connection = await LdapConnection.open(server, until);
    if (this.#closed) connection.close();
    this.#open.add(connection);
    try {
      const { bind: credentials } = this.#options;
      if (bind && credentials !== undefined) await connection.bind(credentials.dn, credentials.password, until);
      return connection;
    } catch (error) {
      this.#drop(connection);
      throw error instanceof LdapResult ? new LdapTrouble(`log-in of bind-dn refused: ${error.message}`) : error;
    }
  }

  get #current(): State {
    const state = this.#states[this.#inUse];
    if (state === undefined) throw new Error('a directory without servers');
    return state;
  }

  #stateOf(server: LdapServer): State {
    return this.#states.find((state) => state.server === server) ?? this.#current;
  }

  #answered(server: LdapServer): void {
    const state = this.#stateOf(server);
    state.answered = performance.now();
    if (state.error === undefined && !this.#away) return;
    state.error = undefined;
    state.pausedUntil = 0;
    this.#away = false;
    this.#log.info({ server: server.url }, 'LDAP server answers again');
  }

  #pause(state: State, error: unknown): void {
    if (this.#closed) return;
    const wasWell = state.error === undefined;
    state.error = errorText(error);
    state.pausedUntil = performance.now() + PAUSE_MS;
    if (this.#current === state) this.#inUse = (this.#inUse + 1) % this.#states.length;
    this.#away = this.#states.every(({ pausedUntil }) => pausedUntil > performance.now());
    const fields = { server: state.server.url, error: state.error };
    if (!wasWell) return;
    if (this.#away) this.#log.error(fields, 'LDAP server cannot be asked: what only LDAP knows is deferred');
    else this.#log.warn(fields, 'LDAP server cannot be asked: the next one is');
  }
}

/** Whether a server that was asked at `began` has said nothing for long enough. */
function isSilent(error: unknown, began: number): boolean {
  return error instanceof LdapTrouble && error.kind === 'silent' && performance.now() - began >= FAIR_MS;
}
