import { randomBytes } from 'node:crypto';
import type { Settings } from '#cluster/config/settings.ts';
import type { Person } from '../api/access.ts';
import type { BlockedUsers } from './blocked-users.ts';
import { digestOf, type Proof, personOf } from './people.ts';

/**
 * The sessions of people in their browsers, in the memory of this process.
 *
 *   open → (sign-out | idle for too long | too old | no entry in the configuration any more | blocked | room is needed) ended
 *
 * A browser has the id in a cookie; here is only its digest, which opens nothing. When a session ends, so does what it has
 * open. Open streams do not keep a session from being idle: a page left open is nobody at work.
 */

const MOST_SESSIONS = 1000;
/** Nobody can push others out by signing in again and again. */
const MOST_OF_ONE = 20;
const SWEEP_MS = 5000;

export type Session = {
  readonly key: string;
  readonly proof: Proof;
  readonly opened: number;
  used: number;
  /** What ends with it. */
  readonly streams: Set<() => void>;
};

export class Sessions {
  readonly #settings: Settings;
  readonly #blocked: Pick<BlockedUsers, 'has'>;
  /** By the digest of their ids, in the order in which they were opened. */
  readonly #open = new Map<string, Session>();
  #timer: NodeJS.Timeout | undefined;
  #unfollow = (): unknown => undefined;

  constructor(settings: Settings, blocked: Pick<BlockedUsers, 'has'>) {
    this.#settings = settings;
    this.#blocked = blocked;
  }

  start(): void {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    this.#unfollow = this.#settings.onChange(() => this.#sweep());
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#unfollow();
    for (const session of this.#open.values()) this.end(session);
  }

  get count(): number {
    return this.#open.size;
  }

  /** Answers the id for the cookie: 256 random bits. */
  begin(proof: Proof): string {
    this.#sweep();
    const own = [...this.#open.values()].filter((session) => sameBearer(session.proof, proof));
    if (own.length >= MOST_OF_ONE) this.#endIdlest(own);
    if (this.#open.size >= MOST_SESSIONS) this.#endIdlest([...this.#open.values()]);
    const id = randomBytes(32).toString('base64url');
    const key = keyOf(id);
    const now = performance.now();
    this.#open.set(key, { key, proof, opened: now, used: now, streams: new Set() });
    return id;
  }

  /** The session and its person now; undefined where it has ended. */
  use(id: string): { session: Session; person: Person } | undefined {
    const session = this.#open.get(keyOf(id));
    const person = session && this.#personOf(session);
    if (session === undefined || person === undefined) return undefined;
    session.used = performance.now();
    return { session, person };
  }

  end(session: Session): void {
    this.#open.delete(session.key);
    for (const close of session.streams) close();
    session.streams.clear();
  }

  /** Ends it where it has ended. */
  #personOf(session: Session): Person | undefined {
    const { current } = this.#settings;
    const { proof } = session;
    const person = 'names' in proof && this.#blocked.has(proof.names) ? undefined : personOf(proof, current);
    const { idle = 0, longest = 0 } = current.console?.sessions ?? {};
    const now = performance.now();
    if (person !== undefined && now - session.used < idle && now - session.opened < longest) return person;
    this.end(session);
    return undefined;
  }

  #sweep(): void {
    for (const session of [...this.#open.values()]) this.#personOf(session);
  }

  #endIdlest(sessions: readonly Session[]): void {
    const [idlest] = sessions.toSorted((a, b) => a.used - b.used);
    if (idlest !== undefined) this.end(idlest);
  }
}

const keyOf = (id: string): string => digestOf(id).toString('base64url');

function sameBearer(one: Proof, other: Proof): boolean {
  const name = (proof: Proof): string => `${proof.by} ${'user' in proof ? proof.user : proof.name}`;
  return name(one) === name(other);
}
