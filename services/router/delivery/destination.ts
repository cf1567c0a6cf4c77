import type { Settings } from '#cluster/config/settings.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { formatReply, LOCAL_ERROR, type Reply, reply } from '#shared/mail/reply.ts';
import { Backoff } from './backoff/backoff.ts';
import { Concurrency } from './backoff/concurrency.ts';
import { commonTrouble } from './backoff/replies.ts';
import { allRecipients, type Channel, StaleChannel, type Transport, Unreachable } from './channel.ts';
import { FairQueue } from './fair-queue.ts';
import type { Job, NextHop, OpenedMessage, Pause, RecipientResult } from './job.ts';

/**
 * One destination: the jobs for a next hop, which their senders get delivered in turns, and the workers that deliver them.
 *
 * A worker is `connecting` → `busy` with one job after the other → `idle` when none is left → gone after
 * `delivery.idle`. It holds one channel, and takes no further job before the results of the last one are recorded.
 * The first job starts a worker; more start while jobs wait, but never more at a time than are connected already, plus
 * one: so a destination that is down costs one attempt, and one that answers soon reaches its limit.
 *
 * Where the peer asks for less, or breaks off, fewer may be open, and more again after successes (backoff/concurrency.ts).
 *
 * The destination itself is
 *   reachable     jobs are taken; the first state. A failed connect while other workers are connected only stops growth
 *                 for a while: the peer limits its connections. A failed connect without any, or transactions in a row
 *                 that break off or are told to wait, one for each connection and two more: → backing-off.
 *   backing-off   waiting jobs are deferred with the reply, and so is every new one until the delay is over, or an
 *                 operator asks for one: → probing.
 *   probing       the next job starts one worker, the others wait for what it finds: → reachable (the next delay is the
 *                 first one again), or → backing-off for twice as long.
 *   stopping      for good. Waiting and new jobs are deferred, idle workers leave, busy ones finish their job.
 */

const STOPPING = reply(451, '4.3.2', 'delivery stops on this node, the message stays in its queue');

type Worker = {
  channel: Channel | undefined;
  /** Called with the next job, or without one to leave. Set while idle. */
  wake: ((job: Job | undefined) => void) | undefined;
  idleSince: number;
};

export class Destination {
  readonly #nextHop: NextHop;
  readonly #transport: Transport;
  readonly #settings: Settings;
  readonly #log: Logger;
  readonly #most: (() => number | undefined) | undefined;
  readonly #waiting = new FairQueue<Job>();
  readonly #workers = new Set<Worker>();
  /** The one that became idle last is used first, so that those that are not needed end. */
  readonly #idle: Worker[] = [];
  #sweep: NodeJS.Timeout | undefined;
  /** Everything under way: workers, and results of jobs that no worker took. */
  readonly #tasks = new Set<Promise<void>>();
  readonly #backoff = new Backoff();
  readonly #stop = new AbortController();
  #connecting = 0;
  readonly #concurrency = new Concurrency();

  /** `most`: concurrent connections, where fewer are allowed than `delivery.connections`. */
  constructor(
    nextHop: NextHop,
    transport: Transport,
    deps: { settings: Settings; log: Logger; most?: () => number | undefined },
  ) {
    this.#nextHop = nextHop;
    this.#transport = transport;
    this.#settings = deps.settings;
    this.#log = deps.log;
    this.#most = deps.most;
  }

  /** Nothing waits, nothing is under way, and no back-off has to be remembered. */
  get forgettable(): boolean {
    return this.#tasks.size === 0 && this.#waiting.length === 0 && this.#backoff.forgotten;
  }

  /** Set while it is backing off. */
  get pause(): Pause | undefined {
    return this.#backoff.pause;
  }

  submit(job: Job): void {
    if (this.#stop.signal.aborted) {
      this.#giveBack(job, new Unreachable('deferred', STOPPING, { local: true }));
      return;
    }
    if (job.urgent === true) this.#backoff.probe();
    const reason = this.#backoff.reason;
    if (reason !== undefined) {
      this.#giveBack(job, reason);
      return;
    }
    for (let worker = this.#idle.pop(); worker !== undefined; worker = this.#idle.pop()) {
      if (worker.channel?.usable === true) {
        worker.wake?.(job);
        return;
      }
      worker.wake?.(undefined);
    }
    this.#waiting.push(job, job.sender ?? 0);
    this.#grow();
  }

  /** Take no further job, give back those that wait, let those under way end within `limitMs`. */
  async stop(limitMs: number): Promise<void> {
    this.#stop.abort();
    this.#giveBackAll(new Unreachable('deferred', STOPPING, { local: true }));
    this.retire();
    const cut = setTimeout(() => {
      for (const { channel } of this.#workers) channel?.destroy('delivery stops');
    }, limitMs);
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    clearTimeout(cut);
  }

  /** Let idle workers go: no further job will come. */
  retire(): void {
    clearTimeout(this.#sweep);
    this.#sweep = undefined;
    for (const worker of this.#idle.splice(0)) worker.wake?.(undefined);
  }

  get #connections(): number {
    const { connections } = this.#settings.current.delivery;
    return this.#concurrency.atMost(Math.min(connections, this.#most?.() ?? connections));
  }

  #grow(): void {
    const connections = this.#connections;
    while (
      this.#waiting.length > this.#connecting &&
      this.#workers.size < connections &&
      this.#connecting <= this.#workers.size - this.#connecting
    ) {
      const worker: Worker = { channel: undefined, wake: undefined, idleSince: 0 };
      this.#workers.add(worker);
      this.#track(this.#work(worker));
    }
  }

  #track(task: Promise<void>): void {
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }

  async #work(worker: Worker): Promise<void> {
    try {
      do {
        if (worker.channel?.usable !== true) await this.#connect(worker);
        const job = await this.#next(worker);
        if (job === undefined) break;
        this.#grow();
        await this.#deliver(worker, job);
        // Fewer connections may be open than a moment ago.
        if (this.#workers.size > this.#connections) break;
      } while (worker.channel?.usable === true || this.#waiting.length > 0);
    } catch (error) {
      if (!(error instanceof Unreachable)) {
        this.#log.error({ nextHop: this.#nextHop.key, err: error }, 'delivery failed unexpectedly');
      }
    } finally {
      worker.channel?.close();
      this.#workers.delete(worker);
    }
    // Jobs that came while the last worker was leaving.
    if (!this.#stop.signal.aborted) this.#grow();
  }

  /** Give the worker a channel. Rejects with `Unreachable`, after the waiting jobs were given back. */
  async #connect(worker: Worker): Promise<void> {
    worker.channel = undefined;
    this.#connecting++;
    try {
      worker.channel = await this.#transport.connect(this.#stop.signal);
    } catch (error) {
      const reason = error instanceof Unreachable ? error : this.#unexpected(error);
      if (this.#workers.size > this.#connecting) this.#concurrency.refused(this.#workers.size - this.#connecting);
      else this.#unreachable(reason);
      throw reason;
    } finally {
      this.#connecting--;
    }
    if (this.#backoff.succeeded()) this.#log.info({ nextHop: this.#nextHop.key }, 'destination reachable again');
  }

  #next(worker: Worker): Job | undefined | Promise<Job | undefined> {
    const job = this.#waiting.shift();
    if (job !== undefined || this.#stop.signal.aborted) return job;
    return new Promise((resolve) => {
      worker.wake = (next) => {
        worker.wake = undefined;
        resolve(next);
      };
      worker.idleSince = performance.now();
      this.#idle.push(worker);
      this.#sweep ??= setTimeout(() => this.#dismiss(), this.#settings.current.delivery.idle).unref();
    });
  }

  /** Let workers go that were idle for too long: those at the front of the list. One timer serves all of them. */
  #dismiss(): void {
    const now = performance.now();
    const { idle } = this.#settings.current.delivery;
    const stay = this.#idle.findIndex(({ idleSince }) => idleSince + idle > now);
    for (const worker of this.#idle.splice(0, stay < 0 ? this.#idle.length : stay)) worker.wake?.(undefined);
    const next = this.#idle[0];
    this.#sweep = next && setTimeout(() => this.#dismiss(), next.idleSince + idle - now).unref();
  }

  async #deliver(worker: Worker, job: Job): Promise<void> {
    let results: RecipientResult[];
    try {
      if (worker.channel?.usable !== true) await this.#connect(worker);
      const opened = await job.open();
      if (!opened.ok) {
        const { state, reply: kept, local } = opened;
        results = allRecipients(job, { state, reply: kept, local });
      } else {
        results = await this.#send(worker, job, opened);
      }
    } catch (error) {
      results = allRecipients(job, error instanceof Unreachable ? error : this.#unexpected(error, job));
    }
    await this.#finish(job, results);
  }

  async #send(worker: Worker, job: Job, message: OpenedMessage): Promise<RecipientResult[]> {
    let results: RecipientResult[];
    try {
      results = await this.#channel(worker).send(job, message);
    } catch (error) {
      if (!(error instanceof StaleChannel)) throw error;
      // The peer closed just before we wrote (RFC 5321 §4.5.3.2.7 lets it): not a failure. A fresh channel is never
      // stale.
      await this.#connect(worker);
      results = await this.#channel(worker).send(job, message);
    }
    this.#learn(results, worker.channel?.broken ?? commonTrouble(results));
    return results;
  }

  /** What a transaction says of the destination. `trouble`: it broke off, or the peer asked for less. */
  #learn(results: readonly RecipientResult[], trouble: Reply | undefined): void {
    if (trouble === undefined) this.#concurrency.succeeded(this.#settings.current.delivery.connections);
    else if (results.some(({ local }) => local === true)) this.#concurrency.endRow();
    else if (this.#concurrency.pressed(this.#workers.size)) {
      this.#unreachable(new Unreachable('deferred', trouble, { host: results[0]?.outcome.host }));
    }
  }

  #channel(worker: Worker): Channel {
    if (worker.channel === undefined) throw new Error('worker without a channel');
    return worker.channel;
  }

  #unreachable(reason: Unreachable): void {
    this.#concurrency.endRow();
    const waiting = this.#waiting.length;
    const context = { nextHop: this.#nextHop.key, host: reason.host, reply: formatReply(reason.reply), waiting };
    if (reason.state === 'failed') {
      this.#log.info(context, 'destination accepts no mail');
    } else if (!this.#stop.signal.aborted) {
      this.#log.warn({ ...context, pauseMs: this.#backoff.failed(reason) }, 'destination not reachable');
    }
    this.#giveBackAll(reason);
  }

  #giveBackAll(reason: Unreachable): void {
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) this.#giveBack(job, reason);
  }

  /** End a job that no worker will take. */
  #giveBack(job: Job, reason: Unreachable): void {
    this.#track(this.#finish(job, allRecipients(job, reason)));
  }

  async #finish(job: Job, results: RecipientResult[]): Promise<void> {
    try {
      await job.finish(results);
    } catch (error) {
      this.#log.error(
        { queueId: job.queueId, trace: job.trace, error: errorText(error) },
        'results of a delivery cannot be recorded: delivered mail may be sent again',
      );
    }
  }

  #unexpected(error: unknown, job?: Job): Unreachable {
    this.#log.error(
      { nextHop: this.#nextHop.key, queueId: job?.queueId, trace: job?.trace, err: error },
      'delivery failed unexpectedly',
    );
    return new Unreachable('deferred', LOCAL_ERROR, { local: true });
  }
}
