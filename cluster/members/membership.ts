import type { Handlers } from '#shared/contract.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { seriesOf } from '#shared/metrics.ts';
import { type AuditChange, announcer, listen, serve } from '../actor.ts';
import type { Bus } from '../bus/bus.ts';
import { configDigests } from '../config/comparison/digest.ts';
import type { Settings } from '../config/settings.ts';
import { AnnounceLoop } from './announce.ts';
import { clockOffset, type Entry, Heard } from './heard.ts';
import {
  announcedBy,
  type Heartbeat,
  type Member,
  type MemberState,
  MOST_ENTRIES,
  MOST_REASON,
  MOST_SUBJECT,
  memberContract,
} from './member-contract.ts';

/**
 * The members of the cluster: each process announces itself (`announce.ts`) and keeps what it hears of the others
 * (`heard.ts`).
 *
 * This process: joining → (its services have started) up → (it takes no more work) draining → (it ends) gone. Each step
 * is announced immediately, with a greater epoch. A process that dies says nothing more.
 *
 * Another process, as this one knows it: in the state that it last announced → (nothing heard for `SILENT_MS`) gone →
 * (heard again) as it says | (a day has passed, or a later process of its node runs all of its services) forgotten. A
 * heartbeat with an older epoch than the last one came late and is ignored. One that said it was gone stays so. But a
 * process that goes on saying the older one is that process, and the greater epoch was somebody else's: any user of the
 * bus can announce anything in the name of others, and must not silence them by it.
 *
 * The promise: none. What is heard proves life, silence proves nothing; this is for people, and anything that acts on it
 * needs a claim of its own. While NATS is away nobody is heard, and after `SILENT_MS` every other process counts as gone:
 * `away` says that the silence is that of this process.
 */

/** Silence after which a process counts as gone. */
const SILENT_MS = 5000;
const FORGET_MS = 86_400_000;
/** How long after the first of them heartbeats with an older epoch may be late ones. */
const LATE_MS = 1500;
/** Processes that are known at most. */
const MOST_MEMBERS = 500;

export type MembershipDeps = {
  bus: Bus;
  settings: Settings;
  log: Logger;
  services: readonly string[];
  /** That of Sealpost. */
  version: string;
  /** The version of each contract, by its name. */
  contracts: Record<string, number>;
  /** Lines that the log of this process has lost. */
  logDropped?: () => number;
  /** Told of changes that people make. */
  audit?: AuditChange;
  /** An administrator wants this process to hand over and end. Resolves when that has begun, rejects when it cannot. */
  drain: () => Promise<void>;
};

/**
 * `gone`: it said so, or its silence was noticed. `contradicted`: since when heartbeats with an older epoch were
 * ignored, by `performance.now`.
 */
type Known = { last: Heartbeat; clock: number; gone: boolean; contradicted: number | undefined };

export class Membership {
  readonly #deps: MembershipDeps;
  readonly #started = Date.now();
  readonly #others = new Heard<Known>({ liveMs: SILENT_MS, keepMs: FORGET_MS, most: MOST_MEMBERS });
  readonly #contradictions = new LimitedLog();
  readonly #heartbeats = new AnnounceLoop(() => this.#announce());
  #epoch = this.#started;
  #state: MemberState = 'joining';
  #connectedAt = performance.now();
  #failed: string | undefined;
  #close: (() => void) | undefined;

  constructor(deps: MembershipDeps) {
    this.#deps = deps;
  }

  /** Announce this process, hear the others, answer questions. */
  start(): void {
    const { bus, log, audit } = this.#deps;
    const life = { start: async () => undefined, stop: async () => undefined };
    const actor = serve(bus, { contract: memberContract, handlers: this.#handlers(), ...life }, log, { audit });
    const deafen = listen(bus, memberContract, log)('heartbeat', (heartbeat) => this.#hear(heartbeat));
    // Over a new connection the others are to hear this process before they call it, and wait for that.
    const unfollow = bus.jetStream?.onChange(() => this.#heartbeats.now());
    this.#close = () => {
      unfollow?.();
      deafen();
      actor.close();
    };
    this.#heartbeats.start(() => this.#everySecond());
  }

  /** This process could not start, for this reason: what is said when it ends. */
  fail(reason: string): void {
    this.#failed = reason;
  }

  /** Say that this process ends. The bus must still be open. */
  stop(): void {
    this.state = 'gone';
    this.#heartbeats.stop();
    this.#contradictions.close();
    this.#close?.();
  }

  get state(): MemberState {
    return this.#state;
  }

  set state(next: MemberState) {
    if (next === this.#state) return;
    this.#state = next;
    // A clock that was set back must not hide what is new.
    this.#epoch = Math.max(this.#epoch + 1, Date.now());
    this.#heartbeats.now();
  }

  /** For how many ms NATS has not been reached; undefined while it is, and where it is not used. */
  get away(): number | undefined {
    return this.#deps.bus.connected ? undefined : Math.round(performance.now() - this.#connectedAt);
  }

  /** Every process that is known, this one first. */
  members(): Member[] {
    const { time: _, ...own } = this.#heartbeat();
    return [{ ...own, heard: 0, clock: 0, stopped: false }, ...this.#others.all().map(memberOf)];
  }

  #handlers(): Handlers<typeof memberContract> {
    const { bus, settings } = this.#deps;
    const self = () => ({ node: settings.current.node.name, process: bus.process });
    return {
      'member-list': () => {
        const { away } = this;
        return { ...self(), ...(away !== undefined && { away }), members: this.members() };
      },
      'member-ping': () => ({ ...self(), time: Date.now() }),
      'counter-list': async ({ names }) => ({ ...self(), series: await seriesOf(names) }),
      'member-forget': ({ node }) => ({ count: this.#forget(node) }),
      'member-drain': async () => {
        await this.#deps.drain();
        return {};
      },
    };
  }

  #forget(node: string): number {
    const gone = this.#others.all().filter(({ said, live }) => said.last.node === node && (said.gone || !live));
    for (const { key } of gone) this.#others.forget(key);
    return gone.length;
  }

  #heartbeat(): Heartbeat {
    const { bus, settings, services, version, contracts } = this.#deps;
    const logDropped = this.#deps.logDropped?.() ?? 0;
    const denied = bus.denials
      .slice(0, MOST_ENTRIES)
      .map((one) => ({ ...one, subject: one.subject.slice(0, MOST_SUBJECT) }));
    return {
      node: settings.current.node.name,
      process: bus.process,
      epoch: this.#epoch,
      state: this.#state,
      services: [...services],
      connection: bus.connection,
      version,
      contracts,
      started: this.#started,
      config: configDigests(settings.current),
      ...(logDropped > 0 && { logDropped }),
      ...(settings.refused !== undefined && { refused: settings.refused.slice(0, MOST_REASON) }),
      ...(denied.length > 0 && { denied }),
      ...(this.#failed !== undefined && { failed: this.#failed.slice(0, MOST_REASON) }),
      time: Date.now(),
    };
  }

  #announce(): void {
    announcer(this.#deps.bus, memberContract)('heartbeat', this.#heartbeat());
  }

  #hear(last: Heartbeat): void {
    if (last.process === this.#deps.bus.process) return;
    const before = this.#others.get(last.process)?.said;
    if (before !== undefined && before.last.epoch > last.epoch && this.#isLate(before, last)) return;
    const gone = last.state === 'gone';
    const contradicted = before !== undefined && before.last.epoch <= last.epoch ? before.contradicted : undefined;
    this.#others.hear(last.process, { last, clock: clockOffset(last.time, before?.clock), gone, contradicted });
    this.#deps.bus.heard(announcedBy(last));
    const { node, process, state, services, version, failed } = last;
    if (before?.last.state === state && before.gone === gone) return;
    const { log } = this.#deps;
    if (failed === undefined) log.info({ member: node, process, services, version }, `${node} is ${state}`);
    else log.error({ member: node, process, services, version, error: failed }, `${node} could not start`);
  }

  /** Whether a heartbeat with an older epoch came late; otherwise the greater one is not of this process. */
  #isLate(before: Known, { node, process }: Heartbeat): boolean {
    const now = performance.now();
    const { contradicted } = before;
    // What was ignored long ago is another matter.
    if (contradicted === undefined || now - contradicted > SILENT_MS) before.contradicted = now;
    if (now - (before.contradicted ?? now) < LATE_MS) return true;
    this.#contradictions.say(process, (repeated) =>
      this.#deps.log.warn(
        { member: node, process, ...repeated },
        `${node} says something else of itself than was heard in its name: another process with a password of the bus announces itself as ${node}`,
      ),
    );
    return false;
  }

  #everySecond(): void {
    if (this.#deps.bus.connected) this.#connectedAt = performance.now();
    this.#heartbeats.now();
    for (const { key, said, live } of this.#others.all()) {
      const { node, process } = said.last;
      if (!said.gone && !live) {
        said.gone = true;
        this.#deps.log.warn({ member: node, process }, `nothing was heard of ${node} for ${SILENT_MS / 1000} s`);
      }
      if (said.gone && this.#hasSuccessor(said)) this.#others.forget(key);
    }
  }

  /** Whether a later process of its node does all that it did. */
  #hasSuccessor({ last: { node, process, started, services } }: Known): boolean {
    const others = this.#others.all().flatMap(({ said }) => (said.gone ? [] : [said.last]));
    return [this.#heartbeat(), ...others].some(
      (other) =>
        other.node === node &&
        other.process !== process &&
        other.started >= started &&
        services.every((service) => other.services.includes(service)),
    );
  }
}

function memberOf({ said: { last, clock }, silence, live }: Entry<Known>): Member {
  const { time: _, ...about } = last;
  const stopped = about.state === 'gone';
  return { ...about, state: live ? about.state : 'gone', heard: Math.round(silence), clock, stopped };
}
