import type { Handlers } from '#shared/contract.ts';
import type { Logger } from '#shared/log.ts';
import { announcer, listen, serve } from '../actor.ts';
import type { Bus } from '../bus/bus.ts';
import { configDigests } from '../config/digest.ts';
import type { Settings } from '../config/settings.ts';
import { type Heartbeat, type Member, type MemberState, memberContract } from './membership-contract.ts';

/**
 * Who is in the cluster: each process announces itself every second, and keeps what it hears of the others.
 *
 * The own process: joining → (its services have started) up → (it takes no more work) draining → (it ends) gone. Each
 * step is announced at once with a greater epoch. A process that dies says nothing more.
 *
 * Another process, as it is known here: in the state that it last announced → (nothing heard for `SILENT_MS`) gone →
 * (heard again) as it says | (a day has passed, or a later process of its node runs all of its services) forgotten. What
 * it announced with an older epoch than is known came late and is passed over. One that said it was gone stays so.
 *
 * What is heard proves life, silence proves nothing: whoever acts on it needs a claim of its own. While NATS is away
 * nobody is heard, and after `SILENT_MS` everybody else counts as gone: `away` says that the silence is our own.
 */

/** How often a process announces itself, in milliseconds. */
const HEARTBEAT_MS = 1000;
/** Silence after which a process counts as gone. */
const SILENT_MS = 5000;
const FORGET_MS = 86_400_000;
/** Processes that are kept; the one that was silent for longest makes room. */
const MOST_MEMBERS = 500;
/** An offset that changes by more than this is a clock that was set, not a message that was slow. */
const CLOCK_SET_MS = 1000;

export type MembershipOptions = {
  bus: Bus;
  settings: Settings;
  log: Logger;
  services: readonly string[];
  /** Of Sealpost. */
  version: string;
  /** The version of each contract, by its name. */
  contracts: Record<string, number>;
  /** An administrator wants this process to hand over and end. Resolves when that has begun, rejects when it cannot. */
  drain: () => Promise<void>;
};

type Heard = { last: Heartbeat; at: number; clock: number; gone: boolean };

export class Membership {
  readonly #options: MembershipOptions;
  readonly #started = Date.now();
  readonly #others = new Map<string, Heard>();
  #epoch = this.#started;
  #state: MemberState = 'joining';
  #connectedAt = performance.now();
  #close: (() => void) | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** Announce this process, hear the others, answer questions. */
  start(): void {
    const { bus, log } = this.#options;
    const service = { contract: memberContract, handlers: this.#handlers() };
    const life = { start: async () => undefined, stop: async () => undefined };
    const actor = serve(bus, { ...service, ...life }, log);
    const deafen = listen(bus, memberContract, log)('heartbeat', (heartbeat) => this.#hear(heartbeat));
    const timer = setInterval(() => this.#tick(), HEARTBEAT_MS);
    this.#close = () => {
      clearInterval(timer);
      deafen();
      actor.close();
    };
    this.#announce();
  }

  /** Say that this process ends. The bus must still be open. */
  stop(): void {
    this.state = 'gone';
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
    this.#announce();
  }

  /** For how many ms NATS has not been reached; undefined while it is, and where there is none. */
  get away(): number | undefined {
    return this.#options.bus.connected ? undefined : Math.round(performance.now() - this.#connectedAt);
  }

  /** Everybody who is known, this process first. */
  members(): Member[] {
    const { time: _, ...own } = this.#heartbeat();
    const now = performance.now();
    return [
      { ...own, heard: 0, clock: 0, stopped: false },
      ...[...this.#others.values()].map((heard) => memberOf(heard, now)),
    ];
  }

  #handlers(): Handlers<typeof memberContract> {
    const { bus, settings } = this.#options;
    const self = () => ({ node: settings.current.node.name, process: bus.process });
    return {
      'member-list': () => {
        const { away } = this;
        return { ...self(), ...(away !== undefined && { away }), members: this.members() };
      },
      'member-ping': () => ({ ...self(), time: Date.now() }),
      'member-drain': async () => {
        await this.#options.drain();
        return {};
      },
    };
  }

  #heartbeat(): Heartbeat {
    const { bus, settings, services, version, contracts } = this.#options;
    return {
      node: settings.current.node.name,
      process: bus.process,
      epoch: this.#epoch,
      state: this.#state,
      services: [...services],
      version,
      contracts,
      started: this.#started,
      config: configDigests(settings.current),
      time: Date.now(),
    };
  }

  #announce(): void {
    announcer(this.#options.bus, memberContract)('heartbeat', this.#heartbeat());
  }

  #hear(last: Heartbeat): void {
    if (last.process === this.#options.bus.process) return;
    const before = this.#others.get(last.process);
    if (before !== undefined && before.last.epoch > last.epoch) return;
    const offset = last.time - Date.now();
    // The message that was fastest says most about the other clock.
    const clock =
      before === undefined || Math.abs(offset - before.clock) > CLOCK_SET_MS ? offset : Math.max(offset, before.clock);
    const gone = last.state === 'gone';
    this.#others.set(last.process, { last, at: performance.now(), clock, gone });
    const { node, process, state, services, version } = last;
    if (before?.last.state !== state || before.gone !== gone) {
      this.#options.log.info({ member: node, process, services, version }, `${node} is ${state}`);
    }
    if (this.#others.size > MOST_MEMBERS) this.#forgetOldest();
  }

  #tick(): void {
    const now = performance.now();
    if (this.#options.bus.connected) this.#connectedAt = now;
    this.#announce();
    for (const [id, heard] of this.#others) {
      const { node, process } = heard.last;
      if (!heard.gone && now - heard.at > SILENT_MS) {
        heard.gone = true;
        this.#options.log.warn({ member: node, process }, `nothing was heard of ${node} for ${SILENT_MS / 1000} s`);
      }
      if (heard.gone && (now - heard.at > FORGET_MS || this.#hasSuccessor(heard))) this.#others.delete(id);
    }
  }

  /** Whether a later process of its node does all that it did. */
  #hasSuccessor({ last: { node, process, started, services } }: Heard): boolean {
    const others = [...this.#others.values()].filter((heard) => !heard.gone).map((heard) => heard.last);
    return [this.#heartbeat(), ...others].some(
      (other) =>
        other.node === node &&
        other.process !== process &&
        other.started >= started &&
        services.every((service) => other.services.includes(service)),
    );
  }

  #forgetOldest(): void {
    const [oldest] = [...this.#others].toSorted(([, a], [, b]) => a.at - b.at);
    if (oldest !== undefined) this.#others.delete(oldest[0]);
  }
}

function memberOf({ last: { time: _, ...about }, at, clock }: Heard, now: number): Member {
  const heard = Math.round(now - at);
  const stopped = about.state === 'gone';
  return { ...about, state: heard > SILENT_MS ? 'gone' : about.state, heard, clock, stopped };
}
