import type { Logger } from '#shared/log.ts';
import { cut, printable } from '#shared/text.ts';
import { signedHeaders } from '#shared/webhooks/signature.ts';
import type { TestResult, WebhookStatus } from '#shared/webhooks/status.ts';
import { endsWithin } from '../bus/bus.ts';
import type { WebhookConfig } from '../config/schema/webhooks/entry.ts';
import { VERSION } from '../version.ts';
import { askedWait, KEPT_MS, waitAfter } from './backoff.ts';
import { attempts, dropped } from './metrics.ts';
import { type Answer, failureText, post, type Receiver, receiverAt } from './post.ts';
import { type Entry, idIn, Waiting } from './waiting.ts';

/**
 * Sends what waits to one webhook.
 *
 *   working   up to 16 requests at a time, as events come. A failure → failing
 *   failing   the last attempt failed. Nothing is sent until the back-off is over, or what `Retry-After` asked for; then
 *             one event. It is taken → working; it fails → failing, for twice as long
 *   paused    the receiver answered 410 Gone. Nothing is sent until an operator asks for it, or the URL changes; what happens
 *             meanwhile waits
 *
 * An event that failed has a back-off of its own as well: one that its receiver cannot take is tried less and less, while the
 * others pass it. After a day it is given up, in each state.
 */

const MOST_UNDER_WAY = 16;
/** Bodies of so many events are kept in memory; the others are read again. */
const MOST_BODIES = 256;
const STOP_MS = 2000;
/** Until an event is read again that could not be read. */
const UNREADABLE_MS = 5000;
/** Characters of an answer that are shown. */
const LONGEST_TEXT = 200;

export type HookDeps = {
  log: Logger;
  /** The body of an event; undefined where it is not there any more. Rejects with `store-failed`. */
  read(key: string): Promise<string | undefined>;
  /** What was taken or given up, and is to be deleted. */
  done(key: string): void;
  /** It was paused, or is not any more. */
  onPaused(at: number | undefined): void;
  /** Of the first back-off, where it is not the usual one. */
  firstWaitMs?: number | undefined;
};

export class Hook {
  readonly #deps: HookDeps;
  #config: WebhookConfig;
  #receiver: Promise<Receiver> | undefined;
  readonly #waiting = new Waiting();
  readonly #underWay = new Map<Entry, Promise<void>>();
  readonly #stopping = new AbortController();
  #failures = 0;
  /** By `performance.now`: nothing is sent before. */
  #notBefore = 0;
  #failingSince: number | undefined;
  #pausedAt: number | undefined;
  #lastSuccess: number | undefined;
  #lastError: { at: number; text: string } | undefined;
  #sent = 0;
  #dropped = 0;
  #lastDropped: number | undefined;

  constructor(config: WebhookConfig, deps: HookDeps, pausedAt?: number) {
    this.#config = config;
    this.#deps = deps;
    this.#pausedAt = pausedAt;
    // Prometheus sees no increase in a series that begins with its first event.
    for (const reason of ['age', 'room'] as const) dropped.inc({ webhook: config.name, reason }, 0);
  }

  get size(): number {
    return this.#waiting.size + this.#underWay.size;
  }

  get status(): WebhookStatus {
    const { oldest } = this.#waiting;
    const [paused, since] = [this.#pausedAt, this.#failingSince];
    const next = Date.now() + Math.max(0, Math.round(this.#notBefore - performance.now()));
    return {
      ...{ name: this.#config.name, waiting: this.size, sent: this.#sent, dropped: this.#dropped },
      ...(oldest !== undefined && { oldest }),
      ...(this.#lastDropped !== undefined && { lastDropped: this.#lastDropped }),
      ...(this.#lastSuccess !== undefined && { lastSuccess: this.#lastSuccess }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
      ...(since !== undefined && { failing: { since, tries: this.#failures, next } }),
      ...(paused !== undefined && { paused: { at: paused } }),
    };
  }

  /** Another URL is another receiver: what the one before said counts no more. */
  configure(next: WebhookConfig): void {
    const { url } = this.#config;
    this.#config = next;
    // Requests under way end on the connections that they have; `ca` is read again.
    this.#receiver = undefined;
    if (next.url !== url) this.retry();
  }

  /** The event is on disk; `unsaved`: it is not. */
  add(key: string, body: string | undefined, unsaved?: true): void {
    const isKept = unsaved === true || this.#waiting.size < MOST_BODIES;
    this.#waiting.add({ key, body: isKept ? body : undefined, attempts: 0 });
    this.pump();
  }

  /** The oldest one is given up, because there are too many. */
  dropOldest(): string | undefined {
    const entry = this.#waiting.takeOldest();
    if (entry === undefined) return undefined;
    this.#gaveUp(1, 'room');
    return entry.key;
  }

  /** Each second: events whose time has come, and those whose time is over. */
  tick(): void {
    this.#waiting.wake(performance.now());
    const old = this.#waiting.takeBefore(Date.now() - KEPT_MS);
    if (old.length > 0) {
      const { name } = this.#config;
      this.#gaveUp(old.length, 'age');
      for (const { key } of old) this.#deps.done(key);
      const fields = { webhook: name, events: old.length, error: this.#lastError?.text };
      this.#deps.log.error(fields, 'events for a webhook are given up: they could not be sent in a day');
    }
    this.pump();
  }

  /** Send all that waits, from now on. */
  retry(): void {
    if (this.#pausedAt !== undefined) {
      this.#pausedAt = undefined;
      this.#deps.onPaused(undefined);
    }
    this.#notBefore = 0;
    this.#waiting.wake(Number.POSITIVE_INFINITY);
    this.pump();
  }

  pump(): void {
    if (this.#stopping.signal.aborted || this.#pausedAt !== undefined) return;
    if (this.#failures > 0 && performance.now() < this.#notBefore) return;
    const most = this.#failures > 0 ? 1 : MOST_UNDER_WAY;
    while (this.#underWay.size < most) {
      const entry = this.#waiting.take();
      if (entry === undefined) return;
      const work = this.#send(entry).finally(() => {
        this.#underWay.delete(entry);
        this.pump();
      });
      this.#underWay.set(entry, work);
    }
  }

  /** Post one event now, whatever the state. */
  async test(id: string, body: string): Promise<TestResult> {
    const began = performance.now();
    const took = () => Math.round(performance.now() - began);
    try {
      const { status, body: text } = await this.#post(id, body);
      return { id, ms: took(), status, body: text };
    } catch (error) {
      return { id, ms: took(), error: failureText(error, this.#config.timeout) };
    }
  }

  /** What is under way may end; then it is cut off, and sent again after the next start. */
  async stop(): Promise<void> {
    const ended = endsWithin(STOP_MS, Promise.all(this.#underWay.values()));
    this.#waiting.takeAll();
    await ended;
    this.#stopping.abort();
    await Promise.all(this.#underWay.values());
    this.#forgetReceiver();
  }

  /** It is not in the configuration any more. Answers what waited. */
  close(): string[] {
    this.#stopping.abort();
    this.#forgetReceiver();
    const left = [...this.#underWay.keys(), ...this.#waiting.takeAll()];
    return left.map(({ key }) => key);
  }

  /** Never rejects. */
  async #send(entry: Entry): Promise<void> {
    const { key } = entry;
    let body: string | undefined;
    try {
      body = entry.body ?? (await this.#deps.read(key));
    } catch {
      // The store says itself what is wrong with it.
      this.#waiting.addLater(entry, performance.now() + UNREADABLE_MS);
      return;
    }
    if (body === undefined) return this.#deps.done(key);
    try {
      const answer = await this.#post(idIn(key), body);
      if (answer.status >= 200 && answer.status < 300) this.#taken(key);
      else this.#refused(entry, answer);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      attempts.inc({ webhook: this.#config.name, outcome: 'failed' });
      this.#failed(entry, failureText(error, this.#config.timeout), 0);
    }
  }

  async #post(id: string, body: string): Promise<Answer> {
    const { url, ca, timeout, secret, 'previous-secret': previous } = this.#config;
    this.#receiver ??= receiverAt(new URL(url), ca, MOST_UNDER_WAY);
    const receiver = await this.#receiver.catch((error: unknown) => {
      this.#receiver = undefined;
      throw error;
    });
    const headers = {
      'content-type': 'application/json',
      'user-agent': `Sealpost/${VERSION}`,
      ...signedHeaders(id, Date.now(), body, previous === undefined ? [secret] : [secret, previous]),
    };
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(timeout)]);
    return post(receiver, { headers, body, signal });
  }

  #taken(key: string): void {
    const { name } = this.#config;
    attempts.inc({ webhook: name, outcome: 'taken' });
    this.#sent++;
    this.#lastSuccess = Date.now();
    this.#deps.done(key);
    if (this.#failures === 0) return;
    const fields = { webhook: name, tries: this.#failures, waiting: this.size };
    this.#deps.log.info(fields, 'webhook takes events again');
    this.#failures = 0;
    this.#failingSince = undefined;
  }

  #refused(entry: Entry, { status, retryAfter, body }: Answer): void {
    const { name } = this.#config;
    attempts.inc({ webhook: name, outcome: 'refused' });
    const said = body === '' ? '' : `: ${printable(cut(body, LONGEST_TEXT), LONGEST_TEXT)}`;
    const redirects = status >= 300 && status < 400 ? ', and redirects are not followed' : '';
    this.#failed(entry, `it answers ${status}${redirects}${said}`, askedWait(retryAfter, Date.now()));
    if (status !== 410 || this.#pausedAt !== undefined) return;
    this.#pausedAt = Date.now();
    this.#deps.onPaused(this.#pausedAt);
    const text =
      'webhook is paused: its receiver is gone (410); "sealpost webhooks retry" sends again, or take it out of webhooks';
    this.#deps.log.error({ webhook: name, waiting: this.size }, text);
  }

  /** `askedMs`: how long the receiver wants to be left alone. */
  #failed(entry: Entry, text: string, askedMs: number): void {
    const now = performance.now();
    const { firstWaitMs } = this.#deps;
    entry.attempts++;
    const own = now + Math.max(askedMs, waitAfter(entry.attempts, Math.random(), firstWaitMs));
    this.#waiting.addLater(entry, own);
    this.#lastError = { at: Date.now(), text };
    this.#failingSince ??= Date.now();
    // Of requests that were under way at the same time the first one that fails tells all there is to know.
    if (this.#failures > 0 && now < this.#notBefore) return;
    this.#failures++;
    const wait = Math.max(askedMs, waitAfter(this.#failures, Math.random(), firstWaitMs));
    this.#notBefore = now + wait;
    const fields = { webhook: this.#config.name, error: text, tries: this.#failures, waiting: this.size };
    const level = this.#failures === 1 ? 'warn' : 'info';
    this.#deps.log[level]({ ...fields, againInMs: wait }, 'webhook does not take events: they wait');
  }

  #gaveUp(events: number, reason: 'age' | 'room'): void {
    this.#dropped += events;
    this.#lastDropped = Date.now();
    dropped.inc({ webhook: this.#config.name, reason }, events);
  }

  #forgetReceiver(): void {
    void this.#receiver?.then(
      ({ agent }) => agent.destroy(),
      () => undefined,
    );
    this.#receiver = undefined;
  }
}
