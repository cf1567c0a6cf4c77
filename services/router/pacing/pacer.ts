import type { Settings } from '#cluster/config/settings.ts';
import { ANNOUNCE_MS } from '#cluster/members/announce.ts';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { reply } from '#shared/mail/reply.ts';
import { perSecond } from '#shared/units.ts';
import { allRecipients } from '../delivery/channel.ts';
import { FairQueue } from '../delivery/fair-queue.ts';
import type { Delivery, Job, NextHop, Opened, Pause, RecipientResult } from '../delivery/job.ts';
import { connectionsOf, type DestinationLimit, describeLimit, limitFor, window } from './limits.ts';
import { type DemandBus, Shares } from './shares.ts';
import { TokenBucket } from './token-bucket.ts';

/**
 * Paces the mail for destinations that have a limit in `rates.destinations`. It stands between the queue and delivery:
 * jobs for other destinations pass, those for a limited one wait in its throttle until it is their turn. A limit is for
 * a recipient domain, whichever way its mail goes: mail for example.net by way of a smart host keeps to it too, in
 * transactions of its own.
 *
 * A throttle is
 *   idle       nothing waits, nothing is under way. It is forgotten when its bucket is as full as a new one.
 *   running    at the node's share of the rate one job after the other goes to delivery, as many concurrently as the
 *              node's share of the connections, and never more than delivery uses for one next hop: so what a silent
 *              next hop holds up is not sent in one burst afterwards.
 *   gone       the configuration has no such limit any more, or the router stops: what waits goes on under the rules
 *              now in force, or back into the queue.
 *
 * A job takes a token, one message of the rate, when it goes to delivery; one that was never opened for sending
 * (destination down, signer away, message held) gives it back. Waiting is not an attempt: nothing is written, and the
 * queue keeps on disk what exceeds a few seconds' worth (`most`).
 */

/** Idle throttles that are kept, so that their next message waits its time. */
const MOST_IDLE = 10_000;
/** A throttle asks for a little more than it sent lately, so that it need not wait when a little more comes. */
const HEADROOM = 1.1;
/** No timer is set for longer than this: shares change. */
const LONGEST_WAIT_MS = 60_000;

const STOPPING = reply(451, '4.3.2', 'delivery stops on this node, the message stays in its queue');

type Waiting = { hop: NextHop; job: Job };

type Throttle = {
  readonly key: string;
  limit: DestinationLimit;
  readonly waiting: FairQueue<Waiting>;
  readonly bucket: TokenBucket;
  /** Jobs with delivery. */
  inFlight: number;
  /** Jobs that went to delivery since the last tick. */
  sent: number;
  wanted: boolean;
  timer: NodeJS.Timeout | undefined;
};

export class Pacer implements Delivery {
  readonly #settings: Settings;
  readonly #log: Logger;
  readonly #shares: Shares;
  readonly #throttles = new Map<string, Throttle>();
  #inner: Delivery | undefined;
  #tick: NodeJS.Timeout | undefined;
  #stopWatching: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor({ settings, log, peers }: { settings: Settings; log: Logger; peers: DemandBus | undefined }) {
    this.#settings = settings;
    this.#log = log;
    this.#shares = new Shares({ node: settings.current.node.name, peers, onChange: () => this.#refreshAll() });
  }

  /** Begin to pace what goes to `inner`. */
  begin(inner: Delivery): this {
    this.#inner = inner;
    this.#shares.start();
    this.#stopWatching = this.#settings.onChange(() => this.#changeLimits());
    this.#tick = setInterval(() => this.#everySecond(), ANNOUNCE_MS).unref();
    this.#everySecond();
    return this;
  }

  submit(hop: NextHop, job: Job): void {
    if (this.#inner === undefined || this.#stopped !== undefined) {
      void this.#giveBack(job);
      return;
    }
    const throttle = hop.limit === undefined ? undefined : this.#throttleOf(hop.limit);
    if (throttle === undefined) {
      this.#inner.submit(hop, job);
      return;
    }
    if (throttle.waiting.length === 0) throttle.bucket.setBusy(true, performance.now());
    throttle.waiting.push({ hop, job }, job.sender ?? 0);
    this.#pump(throttle);
    if (throttle.waiting.length > 0 && !throttle.wanted) this.#ask(throttle);
  }

  pauseOf(hop: NextHop | string): Pause | undefined {
    return this.#inner?.pauseOf(hop);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Messages for a limit that may be in memory; undefined where the limit is gone. */
  most(key: string): number | undefined {
    const limit = limitFor(this.#settings.current.rates.destinations, key)?.limit;
    return limit && window(limit);
  }

  /** This node's share of the connections to a domain, where they are limited; at least one. */
  connections(domain: string): number | undefined {
    const found = limitFor(this.#settings.current.rates.destinations, domain);
    if (found?.limit.connections === undefined) return undefined;
    const share = this.#throttles.has(found.key) ? this.#shares.share(found.key) : 0;
    return Math.max(1, connectionsOf(found.limit, share) ?? 1);
  }

  /** The limit that mail waits for, for people; undefined where none does. */
  waitsFor(key: string): string | undefined {
    const throttle = this.#throttles.get(key);
    if (throttle === undefined || throttle.waiting.length === 0) return undefined;
    return describeLimit(key, throttle.limit, this.#shares.share(key));
  }

  async #stop(): Promise<void> {
    clearInterval(this.#tick);
    this.#stopWatching?.();
    this.#shares.stop();
    const inner = this.#inner?.stop();
    const waiting = [...this.#throttles.values()].flatMap((throttle) => this.#empty(throttle));
    await Promise.all([inner, ...waiting.map(({ job }) => this.#giveBack(job))]);
  }

  /** The throttle of a limit, made where there is none yet; undefined where there is no such limit. */
  #throttleOf(key: string): Throttle | undefined {
    const known = this.#throttles.get(key);
    if (known !== undefined) return known;
    const found = limitFor(this.#settings.current.rates.destinations, key);
    if (found?.key !== key) return undefined;
    const throttle: Throttle = {
      key,
      limit: found.limit,
      waiting: new FairQueue(),
      bucket: new TokenBucket(performance.now()),
      inFlight: 0,
      sent: 0,
      wanted: false,
      timer: undefined,
    };
    this.#throttles.set(key, throttle);
    this.#refresh(throttle);
    return throttle;
  }

  /** Hand over what may go now, and set the timer for the next one. */
  #pump(throttle: Throttle): void {
    clearTimeout(throttle.timer);
    throttle.timer = undefined;
    const most = this.#concurrency(throttle);
    while (throttle.waiting.length > 0 && throttle.inFlight < most) {
      const wait = throttle.limit.messages === undefined ? 0 : throttle.bucket.take(performance.now());
      if (wait > 0) {
        if (wait !== Number.POSITIVE_INFINITY) {
          throttle.timer = setTimeout(() => this.#pump(throttle), Math.min(Math.ceil(wait), LONGEST_WAIT_MS)).unref();
        }
        return;
      }
      const next = throttle.waiting.shift();
      if (next !== undefined) this.#send(throttle, next);
    }
    if (throttle.waiting.length === 0) throttle.bucket.setBusy(false, performance.now());
  }

  #send(throttle: Throttle, { hop, job }: Waiting): void {
    throttle.inFlight++;
    throttle.sent++;
    let opened = false;
    const open = async (): Promise<Opened> => {
      const answer = await job.open();
      opened ||= answer.ok;
      return answer;
    };
    const finish = async (results: RecipientResult[]): Promise<void> => {
      try {
        await job.finish(results);
      } finally {
        throttle.inFlight--;
        if (!opened) {
          throttle.sent--;
          throttle.bucket.giveBack();
        }
        if (this.#stopped === undefined) this.#pump(throttle);
      }
    };
    this.#inner?.submit(hop, wrapped(job, open, finish));
  }

  #concurrency(throttle: Throttle): number {
    const { connections } = this.#settings.current.delivery;
    return Math.min(connections, connectionsOf(throttle.limit, this.#shares.share(throttle.key)) ?? connections);
  }

  #everySecond(): void {
    if (this.#settings.current.rates.destinations.length === 0 && this.#throttles.size === 0) return;
    const now = performance.now();
    let idle = 0;
    for (const throttle of this.#throttles.values()) {
      const forgettable = throttle.waiting.length === 0 && throttle.inFlight === 0 && throttle.sent <= 0;
      if (forgettable && (throttle.limit.messages === undefined || throttle.bucket.isFull(now) || ++idle > MOST_IDLE)) {
        this.#throttles.delete(throttle.key);
        this.#shares.forget(throttle.key);
        continue;
      }
      this.#ask(throttle);
      throttle.sent = 0;
    }
    this.#shares.tell();
  }

  /** Say what the throttle could use of its limit, and take its share. */
  #ask(throttle: Throttle): void {
    const { messages, connections } = throttle.limit;
    const { length } = throttle.waiting;
    const ofRate = messages === undefined ? 0 : (length + Math.max(0, throttle.sent) * HEADROOM) / perSecond(messages);
    const ofConnections = connections === undefined ? 0 : (length + throttle.inFlight) / connections;
    const want = Math.min(1, Math.max(ofRate, ofConnections));
    throttle.wanted = want > 0;
    this.#shares.want(throttle.key, want, connections === undefined ? 0 : throttle.inFlight / connections);
    this.#refresh(throttle);
  }

  #refresh(throttle: Throttle): void {
    const { messages } = throttle.limit;
    const share = this.#shares.share(throttle.key);
    if (messages !== undefined) throttle.bucket.setRate(perSecond(messages) * share, performance.now());
    if (throttle.waiting.length > 0) this.#pump(throttle);
  }

  #refreshAll(): void {
    for (const throttle of this.#throttles.values()) this.#refresh(throttle);
  }

  /** The configuration has changed: what waits goes on under the limits that it has now. */
  #changeLimits(): void {
    const { destinations } = this.#settings.current.rates;
    const waiting = [...this.#throttles.values()].flatMap((throttle) => this.#empty(throttle));
    for (const throttle of this.#throttles.values()) {
      const found = limitFor(destinations, throttle.key);
      if (found?.key === throttle.key) {
        throttle.limit = found.limit;
        this.#refresh(throttle);
      } else {
        this.#throttles.delete(throttle.key);
        this.#shares.forget(throttle.key);
      }
    }
    for (const { hop, job } of waiting) {
      const domain = normalizeDomain(domainOf(job.recipients[0]?.recipient.address ?? ''));
      this.submit({ ...hop, limit: limitFor(destinations, domain)?.key }, job);
    }
  }

  /** Take out all that waits. */
  #empty(throttle: Throttle): Waiting[] {
    clearTimeout(throttle.timer);
    const all: Waiting[] = [];
    for (let next = throttle.waiting.shift(); next !== undefined; next = throttle.waiting.shift()) all.push(next);
    return all;
  }

  async #giveBack(job: Job): Promise<void> {
    try {
      await job.finish(allRecipients(job, { state: 'deferred', reply: STOPPING, local: true }));
    } catch (error) {
      this.#log.error(
        { queueId: job.queueId, trace: job.trace, error: errorText(error) },
        'a job cannot be given back to the queue',
      );
    }
  }
}

/** The same job, opened and finished in another way. */
function wrapped(job: Job, open: Job['open'], finish: Job['finish']): Job {
  const { queueId, trace, reversePath, sender, recipients, size, eightBitBody, smtpUtf8 } = job;
  const { ret, envid, junk, urgent } = job;
  const facts = { queueId, trace, reversePath, sender, recipients, size, eightBitBody, smtpUtf8 };
  return { ...facts, ret, envid, junk, urgent, open, finish };
}
