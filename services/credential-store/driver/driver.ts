import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Holder } from '../contract.ts';
import { nextStep, type Step } from '../life/next-step.ts';
import { claim, noteProblem } from '../life/transitions.ts';
import type { DomainRecord } from '../records/domain-record.ts';
import { reasonText } from '../records/record-change.ts';
import { assertSameKeys, type Change, work } from './conditions.ts';
import type { DriverEffects } from './effects.ts';
import { StepWaits, systemTimer, type Timer } from './waits.ts';

/**
 * Makes the steps in the lives of keys: asks the nodes and DNS (`step-work.ts`), then writes the new state down.
 *
 * One node drives a domain. When a step is due and the node that the record names as driver is not there, another one
 * claims the domain in the record; each claim has a higher term. Whatever a driver writes, it writes in a
 * compare-and-set that finds its own node and term in the record. So who was cut off, or was only slow, writes nothing
 * once another one took over; what it may still do in DNS is done again by its successor. A term is known only to the
 * process that claimed it: after a restart the domain is claimed again.
 *
 * A domain, as seen by one node:
 *
 *   idle      no step is due, or each waits, or another live node drives, or this node does not know who lives. Looked
 *             at again at every `wake`, after a second, and when a wait is over. → queued
 *   queued    until one of 8 places is free. → driving
 *   driving   claim where needed, then one step after the other: work, write, next. → idle when there is none
 *
 * A step that cannot be made waits (`driver-waits.ts`) and holds up no other; why is written into its keys, if it lasts.
 */

/** Domains driven at once. */
const PLACES = 8;
/** Between two looks when nobody wakes: nodes die in silence, and times come. */
const LOOK_MS = 1000;
/** Looks come no faster than this, however often somebody wakes. */
const REST_MS = 20;
/** Nodes try to claim one after the other, in the order of their names, so that they seldom collide. */
const TURN_MS = 300;
/** After a write that failed, because the cluster cannot be written to or another node was faster. */
const PAUSE_MS = 500;
/** A wait this short is not worth a line in the record. */
const PATIENCE_MS = 2000;

/** What is known of a domain beyond its record. */
type Seen = {
  /** The term in which this process drives it. */
  term?: number;
  /** Since when a step is due that nobody makes, by the timer. */
  orphaned?: number;
  /** Nothing can be written before, by the timer. */
  rest: number;
  waits: StepWaits;
};

export class Driver {
  readonly #effects: DriverEffects;
  readonly #timer: Timer;
  readonly #domains = new Map<string, Seen>();
  readonly #queue = new Set<string>();
  readonly #driving = new Map<string, Promise<void>>();
  /** Give up what is awaited. */
  readonly #abandon = new Set<(reason: Error) => void>();
  #cancelLook = (): void => undefined;
  #lastLook = Number.NEGATIVE_INFINITY;
  #running = false;

  constructor(effects: DriverEffects, timer: Timer = systemTimer) {
    this.#effects = effects;
    this.#timer = timer;
  }

  start(): void {
    this.#running = true;
    this.#lookIn(0);
  }

  /** Something changed: a record, or who lives. */
  wake(): void {
    if (this.#running) this.#lookIn(Math.max(0, this.#lastLook + REST_MS - this.#timer.now()));
  }

  /** Resolves at once: a step that is being made is given up, and made by whoever drives next. */
  async close(): Promise<void> {
    this.#running = false;
    this.#cancelLook();
    this.#queue.clear();
    for (const abandon of this.#abandon) abandon(closed());
    await Promise.all(this.#driving.values());
  }

  #lookIn(ms: number): void {
    this.#cancelLook();
    this.#cancelLook = this.#timer.after(ms, () => this.#look());
  }

  /** Find the domains in which there is something to do. */
  #look(): void {
    const now = this.#timer.now();
    this.#lastLook = now;
    const live = this.#effects.live();
    let next = now + LOOK_MS;
    for (const record of live === undefined ? [] : this.#effects.records.all()) {
      const { domain } = record;
      if (this.#driving.has(domain)) continue;
      const seen = this.#seen(domain);
      if (live !== undefined && this.#due(record, seen, live) !== undefined) this.#queue.add(domain);
      next = Math.min(next, seen.waits.next);
    }
    this.#fillPlaces();
    this.#lookIn(Math.max(REST_MS, next - now));
  }

  #seen(domain: string): Seen {
    let seen = this.#domains.get(domain);
    if (seen === undefined) {
      seen = { rest: 0, waits: new StepWaits(this.#timer) };
      this.#domains.set(domain, seen);
    }
    return seen;
  }

  #fillPlaces(): void {
    for (const domain of this.#queue) {
      if (this.#driving.size >= PLACES) return;
      this.#queue.delete(domain);
      const driving = this.#drive(domain)
        .catch((error: unknown) =>
          this.#effects.log.error({ domain, err: error }, 'driving the keys of a domain failed'),
        )
        .finally(() => {
          this.#driving.delete(domain);
          this.wake();
        });
      this.#driving.set(domain, driving);
    }
  }

  /** The step that this node should make now. */
  #due(record: DomainRecord, seen: Seen, live: Holder[]): Step | undefined {
    const { node } = this.#effects;
    const { driver } = record;
    seen.waits.notice(record);
    if (this.#timer.now() < seen.rest) return undefined;
    const stores = live.filter((h) => h.kind === 'credential-store' && (h.behind === undefined || h.node === node));
    if (driver !== undefined && driver.node !== node && stores.some((h) => h.node === driver.node)) {
      delete seen.orphaned;
      return undefined;
    }
    const step = nextStep(record, this.#effects.now(), (open) => seen.waits.isOver(open, live));
    if (step === undefined || driver?.node === node) return step;
    seen.orphaned ??= this.#timer.now();
    const turn = [...new Set(stores.map((h) => h.node))].sort().indexOf(node);
    return this.#timer.now() - seen.orphaned >= turn * TURN_MS ? step : undefined;
  }

  async #drive(domain: string): Promise<void> {
    const seen = this.#seen(domain);
    while (this.#running) {
      const live = this.#effects.live();
      const record = this.#effects.records.get(domain);
      const step = live && record && this.#due(record, seen, live);
      if (record === undefined || step === undefined) return;
      const { driver } = record;
      const mine = driver?.node === this.#effects.node && driver.term === seen.term;
      if (!(mine ? await this.#make(record, step, seen) : await this.#claim(record, seen))) return;
    }
  }

  /** Whether it succeeded. Of several nodes that try the first one wins. */
  async #claim({ domain, driver }: DomainRecord, seen: Seen): Promise<boolean> {
    const { node, records, log } = this.#effects;
    try {
      const { record } = await this.#awaited(() =>
        records.update(domain, (newest) => {
          if (newest === undefined || newest.driver?.term !== driver?.term) throw new NotDriving();
          return claim(newest, node);
        }),
      );
      if (record?.driver === undefined) return false;
      seen.term = record.driver.term;
      delete seen.orphaned;
      log.info({ domain, term: seen.term, before: driver?.node }, 'this node drives the keys of the domain');
      return true;
    } catch (error) {
      log.debug({ domain, reason: errorText(error) }, 'domain not claimed');
      return this.#pause(seen);
    }
  }

  /** Make a step, or let it wait. False: this node does not drive any more, or cannot write. */
  async #make(record: DomainRecord, step: Step, seen: Seen): Promise<boolean> {
    const { records, log } = this.#effects;
    const { domain } = record;
    const { kind, selectors } = step;
    const revision = seen.waits.begin(step, record, records.revision);
    try {
      const change = await this.#awaited(() => work({ effects: this.#effects, record, step, revision }));
      await this.#write(domain, seen, change);
      seen.waits.end(step);
      log.info({ domain, selectors, step: kind }, 'a step in the life of a key is made');
      return true;
    } catch (error) {
      return this.#fail(record, step, seen, error);
    }
  }

  /** A step was not made. Its reason is written down where it lasts or is permanent, and is news. */
  async #fail(record: DomainRecord, step: Step, seen: Seen, error: unknown): Promise<boolean> {
    const { log, records, node, now } = this.#effects;
    const { domain } = record;
    const { kind, selectors } = step;
    const code = errorCode(error);
    log.debug({ domain, selectors, step: kind, reason: errorText(error) }, 'a step was not made');
    if (!this.#running || error instanceof NotDriving || code === 'cut-off') return false;
    const lasts = seen.waits.fail(step, records.revision, code === 'late');
    if (error instanceof NotWritten) return this.#pause(seen);
    const problem = { text: reasonText(error), permanent: code === 'dns-refused' };
    if (code === 'wrong-state' || code === 'not-found' || (lasts < PATIENCE_MS && !problem.permanent)) return true;
    let news = false;
    const note = (newest: DomainRecord): DomainRecord => {
      assertSameKeys(record, newest, selectors);
      const noted = noteProblem(newest, selectors, { ...problem, now: now(), node });
      news = noted !== newest;
      return noted;
    };
    try {
      await this.#write(domain, seen, note);
      if (news) log.warn({ domain, selectors, step: kind, ...problem }, 'a key cannot go on');
      return true;
    } catch (failure) {
      return errorCode(failure) === 'wrong-state' || this.#pause(seen);
    }
  }

  #pause(seen: Seen): false {
    seen.rest = this.#timer.now() + PAUSE_MS;
    return false;
  }

  /**
   * Write as the driver of this term. Fails with what `change` threw, with `NotDriving`, or `NotWritten`: then it may have
   * been written all the same.
   */
  async #write(domain: string, seen: Seen, change: Change): Promise<void> {
    const { node, records } = this.#effects;
    let refusal: unknown;
    const driving = (newest: DomainRecord | undefined): DomainRecord => {
      try {
        refusal = undefined;
        if (newest?.driver?.node !== node || newest.driver.term !== seen.term) throw new NotDriving();
        seen.waits.notice(newest);
        return change(newest);
      } catch (error) {
        refusal = error;
        throw error;
      }
    };
    try {
      const { record } = await this.#awaited(() => records.update(domain, driving));
      if (record !== undefined) seen.waits.wrote(record);
    } catch (error) {
      throw refusal ?? new NotWritten('the change was not answered', { cause: error });
    }
  }

  /** What is awaited, or the end of this driver. */
  #awaited<T>(begin: () => Promise<T>): Promise<T> {
    if (!this.#running) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      this.#abandon.add(reject);
      begin()
        .then(resolve, reject)
        .finally(() => this.#abandon.delete(reject));
    });
  }
}

/** The record names another driver, or another term of this one. */
class NotDriving extends Error {}

class NotWritten extends Error {}

const closed = (): SealpostError => new SealpostError('closed', 'the driver is closed');
