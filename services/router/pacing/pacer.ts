import type { Settings } from '#cluster/config/settings.ts';
import { TELL_MS } from '#cluster/members/peers.ts';
import { domainOf, normalizeDomain } from '#shared/address.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { perSecond } from '#shared/rate.ts';
import { reply } from '#shared/reply.ts';
import { allRecipients } from '../delivery/channel.ts';
import { Fifo } from '../delivery/fifo.ts';
import type { Delivery, Job, NextHop, Opened, RecipientResult } from '../delivery/job.ts';
import { connectionsOf, type DestinationLimit, describeLimit, limitFor, window } from './limits.ts';
import { type RouterPeers, Shares } from './shares.ts';
import { Bucket } from './token-bucket.ts';

/**
 * Paces the mail for destinations that have a limit in `rates.destinations`. It stands between the queue and delivery:
 * jobs for other destinations pass, those for a limited one wait in its lane until it is their turn. A limit is that of a
 * recipient domain, whichever way its mail goes: also mail for example.net by way of a smart host keeps to the limit of
 * example.net, and goes in transactions of its own there.
 *
 * A lane is
 *   idle       nothing waits, nothing is under way. It is forgotten when its bucket is as full as that of a new one.
 *   running    at the node's share of the rate one job after the other goes to delivery, as many at once as the node's
 *              share of the connections, and never more than delivery uses for one next hop: so what a silent next hop
 *              holds up does not break loose all at once.
 *   gone       the configuration limits it no more, or the router stops: what waits goes on under the rules now in force,
 *              or back into the queue.
 *
 * A job takes a token, one message of the rate, when it goes to delivery; one that was never opened for sending
 * (destination down, signer away, message held) gives it back. Waiting is no attempt: nothing is written, and the queue
 * keeps on disk what exceeds a few seconds' worth (`most`).
 */

/** Lanes that are kept though idle, so that their next message waits its time. */
const MOST_IDLE = 10_000;
/** A lane with little to send asks for more than it sent lately, so that it need not wait when a little more comes. */
const HEADROOM = 1.1;
/** A timer is set no further than this: shares change. */
const LONGEST_WAIT_MS = 60_000;

const STOPPING = reply(451, '4.3.2', 'delivery stops on this node, the message stays in its queue');

type Waiting = { hop: NextHop; job: Job };

type Lane = {
  readonly key: string;
  limit: DestinationLimit;
  readonly waiting: Fifo<Waiting>;
  readonly bucket: Bucket;
  /** Jobs with delivery. */
  flying: number;
  /** Jobs that went to delivery since the last tick. */
  sent: number;
  wanted: boolean;
  timer: NodeJS.Timeout | undefined;
};

export class Lanes implements Delivery {
  readonly #settings: Settings;
  readonly #log: Logger;
  readonly #shares: Shares;
  readonly #lanes = new Map<string, Lane>();
  #inner: Delivery | undefined;
  #tick: NodeJS.Timeout | undefined;
  #stopWatching: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor({ settings, log, peers }: { settings: Settings; log: Logger; peers: RouterPeers | undefined }) {
    this.#settings = settings;
    this.#log = log;
    this.#shares = new Shares({ node: settings.current.node.name, peers, onChange: () => this.#refreshAll() });
  }

  /** Begin to pace what goes to `inner`. */
  begin(inner: Delivery): this {
    this.#inner = inner;
    this.#shares.start();
    this.#stopWatching = this.#settings.onChange(() => this.#changeLimits());
    this.#tick = setInterval(() => this.#everySecond(), TELL_MS).unref();
    this.#everySecond();
    return this;
  }

  submit(hop: NextHop, job: Job): void {
    if (this.#inner === undefined || this.#stopped !== undefined) {
      void this.#giveBack(job);
      return;
    }
    const lane = hop.limit === undefined ? undefined : this.#laneOf(hop.limit);
    if (lane === undefined) {
      this.#inner.submit(hop, job);
      return;
    }
    if (lane.waiting.length === 0) lane.bucket.setBusy(true, performance.now());
    lane.waiting.push({ hop, job });
    this.#pump(lane);
    if (lane.waiting.length > 0 && !lane.wanted) this.#ask(lane);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Messages for a limit that may be in memory at once; undefined where the limit is gone. */
  most(key: string): number | undefined {
    const limit = limitFor(this.#settings.current.rates.destinations, key)?.limit;
    return limit && window(limit);
  }

  /** This node's part of the connections to a domain, where they are limited; at least one. */
  connections(domain: string): number | undefined {
    const found = limitFor(this.#settings.current.rates.destinations, domain);
    if (found?.limit.connections === undefined) return undefined;
    const share = this.#lanes.has(found.key) ? this.#shares.share(found.key) : 0;
    return Math.max(1, connectionsOf(found.limit, share) ?? 1);
  }

  /** The limit that mail waits for, for people; undefined where none does. */
  waitsFor(key: string): string | undefined {
    const lane = this.#lanes.get(key);
    if (lane === undefined || lane.waiting.length === 0) return undefined;
    return describeLimit(key, lane.limit, this.#shares.share(key));
  }

  async #stop(): Promise<void> {
    clearInterval(this.#tick);
    this.#stopWatching?.();
    this.#shares.stop();
    const inner = this.#inner?.stop();
    const waiting = [...this.#lanes.values()].flatMap((lane) => this.#empty(lane));
    await Promise.all([inner, ...waiting.map(({ job }) => this.#giveBack(job))]);
  }

  /** The lane of a limit, made where there is none yet; undefined when there is no such limit. */
  #laneOf(key: string): Lane | undefined {
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const found = limitFor(this.#settings.current.rates.destinations, key);
    if (found?.key !== key) return undefined;
    const lane: Lane = {
      key,
      limit: found.limit,
      waiting: new Fifo(),
      bucket: new Bucket(performance.now()),
      flying: 0,
      sent: 0,
      wanted: false,
      timer: undefined,
    };
    this.#lanes.set(key, lane);
    this.#refresh(lane);
    return lane;
  }

  /** Hand over what may go now, and set the timer for the next one. */
  #pump(lane: Lane): void {
    clearTimeout(lane.timer);
    lane.timer = undefined;
    const most = this.#atOnce(lane);
    while (lane.waiting.length > 0 && lane.flying < most) {
      const wait = lane.limit.messages === undefined ? 0 : lane.bucket.take(performance.now());
      if (wait > 0) {
        if (wait !== Number.POSITIVE_INFINITY) {
          lane.timer = setTimeout(() => this.#pump(lane), Math.min(Math.ceil(wait), LONGEST_WAIT_MS)).unref();
        }
        return;
      }
      const next = lane.waiting.shift();
      if (next !== undefined) this.#send(lane, next);
    }
    if (lane.waiting.length === 0) lane.bucket.setBusy(false, performance.now());
  }

  #send(lane: Lane, { hop, job }: Waiting): void {
    lane.flying++;
    lane.sent++;
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
        lane.flying--;
        if (!opened) {
          lane.sent--;
          lane.bucket.giveBack();
        }
        if (this.#stopped === undefined) this.#pump(lane);
      }
    };
    this.#inner?.submit(hop, withEnds(job, open, finish));
  }

  #atOnce(lane: Lane): number {
    const { connections } = this.#settings.current.delivery;
    return Math.min(connections, connectionsOf(lane.limit, this.#shares.share(lane.key)) ?? connections);
  }

  #everySecond(): void {
    if (this.#settings.current.rates.destinations.length === 0 && this.#lanes.size === 0) return;
    const now = performance.now();
    let idle = 0;
    for (const lane of this.#lanes.values()) {
      const forgettable = lane.waiting.length === 0 && lane.flying === 0 && lane.sent <= 0;
      if (forgettable && (lane.limit.messages === undefined || lane.bucket.isFull(now) || ++idle > MOST_IDLE)) {
        this.#lanes.delete(lane.key);
        this.#shares.forget(lane.key);
        continue;
      }
      this.#ask(lane);
      lane.sent = 0;
    }
    this.#shares.tell();
  }

  /** Say what the lane could use of its limit, and take its share. */
  #ask(lane: Lane): void {
    const { messages, connections } = lane.limit;
    const { length } = lane.waiting;
    const ofRate = messages === undefined ? 0 : (length + Math.max(0, lane.sent) * HEADROOM) / perSecond(messages);
    const ofConnections = connections === undefined ? 0 : (length + lane.flying) / connections;
    const want = Math.min(1, Math.max(ofRate, ofConnections));
    lane.wanted = want > 0;
    this.#shares.want(lane.key, want, connections === undefined ? 0 : lane.flying / connections);
    this.#refresh(lane);
  }

  #refresh(lane: Lane): void {
    const { messages } = lane.limit;
    const share = this.#shares.share(lane.key);
    if (messages !== undefined) lane.bucket.setRate(perSecond(messages) * share, performance.now());
    if (lane.waiting.length > 0) this.#pump(lane);
  }

  #refreshAll(): void {
    for (const lane of this.#lanes.values()) this.#refresh(lane);
  }

  /** The configuration has changed: what waits goes on under the limits that it has now. */
  #changeLimits(): void {
    const { destinations } = this.#settings.current.rates;
    const waiting = [...this.#lanes.values()].flatMap((lane) => this.#empty(lane));
    for (const lane of this.#lanes.values()) {
      const found = limitFor(destinations, lane.key);
      if (found?.key === lane.key) {
        lane.limit = found.limit;
        this.#refresh(lane);
      } else {
        this.#lanes.delete(lane.key);
        this.#shares.forget(lane.key);
      }
    }
    for (const { hop, job } of waiting) {
      const domain = normalizeDomain(domainOf(job.recipients[0]?.recipient.address ?? ''));
      this.submit({ ...hop, limit: limitFor(destinations, domain)?.key }, job);
    }
  }

  #empty(lane: Lane): Waiting[] {
    clearTimeout(lane.timer);
    const all: Waiting[] = [];
    for (let next = lane.waiting.shift(); next !== undefined; next = lane.waiting.shift()) all.push(next);
    return all;
  }

  async #giveBack(job: Job): Promise<void> {
    try {
      await job.finish(allRecipients(job, { state: 'deferred', reply: STOPPING, local: true }));
    } catch (error) {
      this.#log.error({ queueId: job.queueId, trace: job.trace, error: errorText(error) }, 'cannot give a job back');
    }
  }
}

/** The same job with other ends. */
function withEnds(job: Job, open: Job['open'], finish: Job['finish']): Job {
  const { queueId, trace, reversePath, recipients, size, eightBitBody, smtpUtf8, ret, envid, junk, urgent } = job;
  const rest = { queueId, trace, reversePath, recipients, size, eightBitBody, smtpUtf8, ret, envid, junk, urgent };
  return { ...rest, open, finish };
}
