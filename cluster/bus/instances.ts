import type { Address, Announced } from './bus.ts';
import { connectionName } from './subjects.ts';

/**
 * The processes of the cluster as a caller knows them: by the heartbeats that each sends every second. A process that
 * hangs, or sits behind a NATS server that hangs, still has its subscriptions, and NATS goes on choosing it; only its
 * silence tells. So a call that any instance may answer goes to one by name that was heard lately, and a call to a silent
 * one is given up long before its time.
 *
 *   unknown → (heard) live → (silent for `PASSED_OVER_MS`, or this process has another connection) passed over →
 *   (silent for `SILENT_MS`) silent: calls to it that wait are given up → (silent for `FORGET_MS`, or it says that it
 *   takes no more work) unknown; heard again: live. One that NATS does not know is not chosen until it is heard again.
 *
 * A process that has another connection than before gets no request that was sent over the one before, nor can it answer
 * one: calls to it that wait are given up too.
 *
 * Silence proves nothing about what was done: a caller that gives up does not know whether it was. Nothing but the
 * choice of an instance and the end of a wait follows from it. Time in which this process itself stood still, or had no
 * connection, is not the silence of others. A made-up process costs a caller a question to nobody, and a few of them
 * send it back to the shared mailbox of the service.
 */

/** How often silence is counted, in milliseconds; a process that stood still counts one such step. */
const STEP_MS = 500;
/** Two heartbeats are missing. */
const PASSED_OVER_MS = 2500;
/** Four heartbeats are missing. */
const SILENT_MS = 4500;
const FORGET_MS = 60_000;
/** Within this time a process is heard that does its work: what waits for a heartbeat waits no longer. */
export const EXPECT_MS = 1500;
/** Processes that are known at most. */
const MOST_KNOWN = 500;

/** `absent`: NATS does not know it. */
type Known = Announced & { silence: number; absent: boolean };

/** A call that waits for an instance, by its node or process. */
type Waiting = { service: string; name: string; giveUp: () => void };

const isLive = ({ silence, absent }: Known): boolean => silence < PASSED_OVER_MS && !absent;
/** Whether a process is meant by the name of its node or by its own. */
const isNamed = ({ node, process, services }: Announced, service: string, name: string): boolean =>
  (node === name || process === name) && services.includes(service);

export class Instances {
  readonly #known = new Map<string, Known>();
  readonly #waiting = new Set<Waiting>();
  /** Calls that wait for an instance to be heard. */
  readonly #expecting = new Set<() => void>();
  readonly #connected: () => boolean;
  #timer: NodeJS.Timeout | undefined;

  constructor(connected: () => boolean) {
    this.#connected = connected;
  }

  /** Count silence until `stop`. */
  start(): void {
    this.#timer = setInterval(() => this.step(), STEP_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** `silence`: ms since it announced that, where another process heard it. */
  hear(announced: Announced, silence = 0): void {
    const { process, serving, connection } = announced;
    const before = this.#known.get(process);
    if (!serving) {
      this.#known.delete(process);
      return;
    }
    if (before === undefined && this.#known.size >= MOST_KNOWN) return;
    this.#known.set(process, {
      ...announced,
      silence: Math.min(silence, before?.silence ?? silence),
      absent: false,
    });
    for (const expecting of this.#expecting) expecting();
    if (before?.connection !== undefined && before.connection !== connection) {
      this.#giveUp(({ service, name }) => isNamed(before, service, name));
    }
  }

  /** NATS knows of no such process: it is asked again once it was heard. Calls that wait for it end with its silence. */
  markAbsent(process: string): void {
    const known = this.#known.get(process);
    if (known !== undefined) known.absent = true;
  }

  /** This process has another connection: who is reachable over it must be heard over it. */
  reconnected(): void {
    for (const known of this.#known.values()) known.silence = PASSED_OVER_MS;
  }

  /**
   * A live process with this service, at random, and none of `asked`. Where all that are known are passed over, and with
   * `patient` also where none is known, it waits for one to be heard, for no longer than until `end`, a moment of
   * `performance.now`. Undefined where there is none.
   */
  async choose(service: string, asked: ReadonlySet<string>, end: number, patient = false): Promise<string | undefined> {
    const expected = Math.min(end, performance.now() + EXPECT_MS);
    for (;;) {
      const candidates = this.#which((k) => !k.absent && k.services.includes(service) && !asked.has(k.process));
      const live = candidates.filter(isLive);
      if (live.length > 0) return live[Math.floor(Math.random() * live.length)]?.process;
      const left = expected - performance.now();
      if (asked.size > 0 || (candidates.length === 0 && !patient) || left <= 0) return undefined;
      await this.#nextHeartbeat(left);
    }
  }

  /** The newest name of a node's or process's instance: that on its connection, where it is known. */
  nameOf(service: string, name: string): string {
    // While one process of a node follows another, either may be meant.
    const [only, ...others] = this.#which((k) => isNamed(k, service, name) && k.silence < SILENT_MS);
    if (only?.connection === undefined || others.length > 0) return name;
    return connectionName(only.process, only.connection);
  }

  /** Whether a process with this service is known, live or not. */
  knows(service: string): boolean {
    return this.#which((k) => k.services.includes(service)).length > 0;
  }

  /** Whether a node or process with this service is known, and each such process is silent. */
  isSilent(service: string, name: string): boolean {
    const named = this.#which((k) => isNamed(k, service, name));
    return named.length > 0 && named.every(({ silence }) => silence >= SILENT_MS);
  }

  /** Have `giveUp` called once if the instance becomes silent. Returns the way to end that. */
  watch({ service }: Address, name: string, giveUp: () => void): () => void {
    const waiting = { service, name, giveUp };
    this.#waiting.add(waiting);
    return () => this.#waiting.delete(waiting);
  }

  /** A step of time has passed. */
  step(): void {
    if (!this.#connected()) return;
    for (const [process, known] of this.#known) {
      known.silence += STEP_MS;
      if (known.silence >= FORGET_MS) this.#known.delete(process);
    }
    this.#giveUp(({ service, name }) => this.isSilent(service, name));
  }

  #which(fits: (known: Known) => boolean): Known[] {
    return [...this.#known.values()].filter(fits);
  }

  /** Resolves when any process is heard, or after `ms`. */
  async #nextHeartbeat(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#expecting.add(resolve);
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
    this.#expecting.delete(resolve);
  }

  #giveUp(which: (waiting: Waiting) => boolean): void {
    for (const waiting of [...this.#waiting].filter(which)) {
      this.#waiting.delete(waiting);
      waiting.giveUp();
    }
  }
}
