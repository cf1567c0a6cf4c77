import type { RecipientResult } from '#services/router/delivery/job.ts';
import type { RecipientStatus } from '#shared/mail/envelope.ts';
import { reply } from '#shared/mail/reply.ts';
import type { Chance } from '#test/kit/simulation/chance.ts';
import { type FakeDelivery, type GivenJob, LATER, NO_USER, OK, readAll } from '#test/unit/router/fixture.ts';
import type { Life } from './life.ts';

/**
 * The hosts that mail goes to, what came there, and what operators have done with it: what the router does is held against
 * that.
 */

export type Mood = 'takes' | 'later' | 'refuses' | 'mixed' | 'slow' | 'dead';
export const MOODS: readonly Mood[] = ['takes', 'takes', 'takes', 'later', 'refuses', 'mixed', 'slow', 'dead', 'dead'];
type Host = { mood: Mood; pauseMs: number };

/** What is known of a recipient. `came`: its mail is at the host, and the router knows or must not forget it. */
type Fate = { arrivals: number; came: 'not' | 'now' | 'known' | 'perhaps'; refused: boolean };
/** `undefined` of what operators did: it is not known, because their command is under way or was not answered. */
export type Known = {
  id: string;
  arrived: number;
  reversePath: string;
  recipients: string[];
  held: boolean | undefined;
  removed: boolean | undefined;
  via: string | undefined | 'unknown';
};

const DEAD = reply(451, '4.4.1', 'connection refused');
const UNREADABLE = reply(451, '4.3.0', 'cannot be read now');
const STOPPING = reply(451, '4.3.2', 'stopping');

export class World {
  readonly #chance: Chance;
  readonly #hosts = new Map<string, Host>();
  readonly #fates = new Map<string, Fate>();
  /** Messages whose 250 was heard. */
  readonly accepted = new Map<string, Known>();
  /** Domains that are suspended for certain, each until a time (ms since 1970). */
  readonly suspended = new Map<string, number>();
  readonly violations: string[] = [];
  readonly counts = new Map<string, number>();
  readonly story: string[] = [];
  /** The router stops while its disk fails: an outcome that it has taken may be lost. */
  forgetful = false;
  /** Nothing more goes wrong. */
  healed = false;

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  note(text: string): void {
    this.story.push(`${Math.round(performance.now())} ${text}`);
  }

  violated(text: string): void {
    this.note(`VIOLATION ${text}`);
    this.violations.push(text);
  }

  host(key: string): Host {
    const known = this.#hosts.get(key);
    if (known !== undefined) return known;
    const host: Host = { mood: 'takes', pauseMs: 1000 };
    this.#hosts.set(key, host);
    return host;
  }

  get hosts(): string[] {
    return [...this.#hosts.keys()];
  }

  heal(): void {
    this.healed = true;
    for (const host of this.#hosts.values()) host.mood = 'takes';
  }

  /** What was not known to be on disk is delivered again, perhaps. */
  crashed(): void {
    for (const fate of this.#fates.values()) if (fate.came === 'now') fate.came = 'perhaps';
  }

  /** Deliver the mail of a router, as delivery does. */
  attach(delivery: FakeDelivery, life: Life): void {
    delivery.automatic = (given) => this.#deliver(delivery, given, life);
  }

  async #deliver(delivery: FakeDelivery, given: GivenJob, life: Life): Promise<void> {
    const { hop, job } = given;
    const host = this.host(hop.key);
    if (job.urgent === true) delivery.pauses.delete(hop.key);
    const pause = delivery.pauseOf(hop);
    if (pause !== undefined) return given.end('deferred', pause.reply);
    await life.sleep(this.#chance.delay(20, 500));
    if (delivery.stopped) return given.end('deferred', STOPPING, { local: true });
    const later = delivery.pauseOf(hop);
    if (later !== undefined) return given.end('deferred', later.reply);
    if (host.mood === 'dead' && !this.healed) return this.#fail(delivery, given, host);
    host.pauseMs = 1000;
    const forbidden = this.#whyNot(given);
    const opened = await job.open();
    if (!opened.ok) {
      const { state, reply: said, local } = opened;
      return given.end(state, said, { local });
    }
    if (forbidden !== undefined) this.violated(`${job.queueId} goes ${forbidden}`);
    this.note(`opened ${job.queueId} ${given.to.join()} at ${hop.key}`);
    const read = await readAll(opened).catch(() => undefined);
    if (read === undefined) return given.end('deferred', UNREADABLE, { local: true });
    if (read.length !== opened.size) this.violated(`${job.queueId} is not whole`);
    const isSlow = host.mood === 'slow' && !this.healed;
    await life.sleep(isSlow ? this.#chance.between(5000, 200_000) : this.#chance.delay(100, 3000));
    await this.#end(given, host);
  }

  #fail(delivery: FakeDelivery, given: GivenJob, host: Host): Promise<void> {
    const until = performance.now() + host.pauseMs;
    host.pauseMs = Math.min(host.pauseMs * 2, 60_000);
    delivery.pauses.set(given.hop.key, { until, at: Date.now(), reply: DEAD, host: undefined });
    return given.end('deferred', DEAD);
  }

  /** Why mail must not go now. */
  #whyNot({ job, hop, to }: GivenJob): string | undefined {
    const known = this.accepted.get(job.queueId);
    if (known?.held === true) return 'although it is held';
    if (known?.removed === true) return 'although it was removed';
    if (to.some((address) => (this.suspended.get(address.split('@')[1] ?? '') ?? 0) > Date.now()))
      return 'although it is suspended';
    const { via } = known ?? {};
    return via !== undefined && via !== 'unknown' && via !== hop.key ? `to ${hop.key} instead of ${via}` : undefined;
  }

  async #end({ job }: GivenJob, host: Host): Promise<void> {
    const results = job.recipients.map(({ index }) => this.#result(job.queueId, index, host));
    await job.finish(results);
    if (this.forgetful) return;
    for (const { index, state } of results) {
      const fate = this.#fate(job.queueId, index);
      if (state === 'delivered' && fate.came === 'now') fate.came = 'known';
    }
  }

  #result(queueId: string, index: number, { mood }: Host): RecipientResult {
    const fate = this.#fate(queueId, index);
    const outcome = (said: typeof OK) => ({ at: Date.now(), host: 'mx.peer.example[192.0.2.1]:25', reply: said });
    const does = this.healed
      ? 'takes'
      : mood === 'mixed'
        ? this.#chance.of(['takes', 'later', 'refuses'] as const)
        : mood;
    if (does === 'later' || does === 'dead') return { index, state: 'deferred', outcome: outcome(LATER) };
    if (does === 'refuses') {
      fate.refused = true;
      return { index, state: 'failed', outcome: outcome(NO_USER) };
    }
    this.#arrive(`${queueId} ${index}`, fate);
    if (this.healed || !this.#chance.is(0.03)) return { index, state: 'delivered', outcome: outcome(OK) };
    this.count('reply lost');
    fate.came = 'perhaps';
    return { index, state: 'deferred', outcome: outcome(LATER) };
  }

  #arrive(what: string, fate: Fate): void {
    fate.arrivals++;
    this.count('arrived');
    this.note(`arrived ${what}`);
    if (fate.came === 'now' || fate.came === 'known') this.violated(`${what} was delivered twice`);
    if (fate.came === 'perhaps') this.count('arrived again');
    fate.came = 'now';
  }

  #fate(queueId: string, index: number): Fate {
    const key = `${queueId} ${index}`;
    const known = this.#fates.get(key);
    if (known !== undefined) return known;
    const fate: Fate = { arrivals: 0, came: 'not', refused: false };
    this.#fates.set(key, fate);
    return fate;
  }

  /** Hold what a receipt says against what happened. `mayExpire`: it has been old enough. */
  checkEnd({ id, removed }: Known, states: readonly RecipientStatus['state'][], mayExpire: boolean): void {
    for (const [index, state] of states.entries()) {
      const { arrivals, came, refused } = this.#fate(id, index);
      const what = `${id} ${index}`;
      this.count(`ended ${state}`);
      if (state === 'delivered' && arrivals === 0) this.violated(`${what} is said to be delivered, and is lost`);
      if (state === 'failed' && !refused && removed === false) this.violated(`${what} failed without a reason`);
      if (state === 'expired' && !mayExpire) this.violated(`${what} expired too early`);
      if (state !== 'delivered' && came === 'known' && removed === false)
        this.violated(`${what} was delivered, and is said to be ${state}`);
      if (state === 'waiting' || state === 'deferred') this.violated(`${what} has left the queue as ${state}`);
    }
  }
}
