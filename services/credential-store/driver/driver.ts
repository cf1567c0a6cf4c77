import { errorCode, errorText, reasonText, SealpostError } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';
import { nextTransition, type Transition } from '../life/next-transition.ts';
import { claim, noteProblem } from '../life/transitions.ts';
import type { DomainRecord } from '../records/domain-record.ts';
import { Alarm } from './alarm.ts';
import { assertSameKeys, type Change, confirm } from './conditions.ts';
import { type DomainState, newState } from './domain-state.ts';
import type { DriverEffects } from './effects.ts';
import { nextStore } from './nodes.ts';
import { systemTimer, type Timer } from './waits.ts';

/**
 * Makes the transitions in the lives of keys: confirms the conditions of each with the nodes and DNS (`conditions.ts`),
 * then writes the new state.
 *
 * One node drives a domain. When a transition is due and the node that the record names as driver is not live, another
 * one claims the domain in the record; each claim has a higher term. A driver writes only in a compare-and-set that
 * finds its own node and term in the record. So a node that was cut off, or only slow, writes nothing after another one
 * has claimed the domain; what it may still do in DNS, its successor does again. Only the process that made a claim
 * knows its term: after a restart the domain is claimed again.
 *
 * A domain, as one node sees it:
 *
 *   idle      no transition is due, or each waits, or another live node drives, or this node does not know which nodes
 *             are live. Examined again at every `wake`, after a second, and when a wait is over. → queued
 *   queued    until fewer than 8 domains are being driven. → driving
 *   driving   claim where needed, then one transition after another: confirm, write, next. → idle when none is left
 *
 * A transition that cannot be made waits (`waits.ts`) and does not hold up another one; the reason is written into its
 * keys if it lasts. A driver that cannot change DNS for minutes claims the domain for another node, which claims it again.
 */

const MAX_CONCURRENT_DOMAINS = 8;
/** Between two scans without a wake-up: nodes die silently, and some transitions are due at a time. */
const SCAN_MS = 1000;
/** Scans do not follow one another faster than this, however often the driver is woken. */
const MIN_SCAN_MS = 20;
/** Nodes try to claim a domain one after another, in the order of their names, so that they seldom collide. */
const CLAIM_STAGGER_MS = 300;
/** After a write that failed, because the cluster cannot be written to or another node was faster. */
const WRITE_PAUSE_MS = 500;
/** A shorter wait is not recorded as a problem. */
const PROBLEM_AFTER_MS = 2000;
/** After an update of DNS has failed for so long, another node tries. */
const HAND_OVER_MS = 300_000;

export class Driver {
  readonly #effects: DriverEffects;
  readonly #timer: Timer;
  readonly #alarm: Alarm;
  readonly #domains = new Map<string, DomainState>();
  readonly #queue = new Set<string>();
  readonly #driving = new Map<string, Promise<void>>();
  /** Reject what is awaited. */
  readonly #abandon = new Set<(reason: Error) => void>();
  #cancelScan = (): void => undefined;
  #lastScan = Number.NEGATIVE_INFINITY;
  #running = false;

  constructor(effects: DriverEffects, timer: Timer = systemTimer) {
    this.#effects = effects;
    this.#timer = timer;
    this.#alarm = new Alarm(effects.log, timer);
  }

  start(): void {
    this.#running = true;
    this.#scanIn(0);
  }

  /** A record or the set of live nodes changed. */
  wake(): void {
    if (this.#running) this.#scanIn(Math.max(0, this.#lastScan + MIN_SCAN_MS - this.#timer.now()));
  }

  /** The configuration changed, and with it perhaps what a transition waits for. */
  retry(): void {
    for (const { waits } of this.#domains.values()) waits.clear();
    this.wake();
  }

  /** Resolves immediately: a transition in progress is abandoned, and made by the node that drives next. */
  async close(): Promise<void> {
    this.#running = false;
    this.#cancelScan();
    this.#queue.clear();
    for (const abandon of this.#abandon) abandon(closed());
    await Promise.all(this.#driving.values());
  }

  #scanIn(ms: number): void {
    this.#cancelScan();
    this.#cancelScan = this.#timer.after(ms, () => this.#scan());
  }

  /** Find the domains in which a transition is due. */
  #scan(): void {
    const now = this.#timer.now();
    this.#lastScan = now;
    const live = this.#effects.live();
    let next = now + SCAN_MS;
    for (const record of live === undefined ? [] : this.#effects.records.all()) {
      const { domain } = record;
      if (this.#driving.has(domain)) continue;
      const state = this.#stateOf(domain);
      if (live !== undefined && this.#due(record, state, live) !== undefined) this.#queue.add(domain);
      next = Math.min(next, state.waits.next);
    }
    this.#startQueued();
    this.#scanIn(Math.max(MIN_SCAN_MS, next - now));
  }

  #stateOf(domain: string): DomainState {
    let state = this.#domains.get(domain);
    if (state === undefined) {
      state = newState(this.#timer);
      this.#domains.set(domain, state);
    }
    return state;
  }

  #startQueued(): void {
    for (const domain of this.#queue) {
      if (this.#driving.size >= MAX_CONCURRENT_DOMAINS) return;
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

  /** The transition that this node should make now. */
  #due(record: DomainRecord, state: DomainState, live: Holder[]): Transition | undefined {
    const { node } = this.#effects;
    const { driver } = record;
    state.waits.notice(record);
    if (this.#timer.now() < state.pausedUntil) return undefined;
    const stores = live.filter((h) => h.kind === 'credential-store' && (h.behind === undefined || h.node === node));
    if (driver !== undefined && driver.node !== node && stores.some((h) => h.node === driver.node)) {
      delete state.undrivenSince;
      return undefined;
    }
    const transition = nextTransition(record, this.#effects.now(), (open) => state.waits.isOver(open, live));
    if (transition === undefined || driver?.node === node) return transition;
    state.undrivenSince ??= this.#timer.now();
    const position = [...new Set(stores.map((h) => h.node))].sort().indexOf(node);
    return this.#timer.now() - state.undrivenSince >= position * CLAIM_STAGGER_MS ? transition : undefined;
  }

  async #drive(domain: string): Promise<void> {
    const state = this.#stateOf(domain);
    while (this.#running) {
      const live = this.#effects.live();
      const record = this.#effects.records.get(domain);
      const transition = live && record && this.#due(record, state, live);
      if (record === undefined || transition === undefined) return;
      const { driver } = record;
      const mine = driver?.node === this.#effects.node && driver.term === state.term;
      if (!(mine ? await this.#make(record, transition, state) : await this.#claim(record, state))) return;
    }
  }

  /** Whether it succeeded. Of several nodes that try the first one wins. */
  async #claim({ domain, driver }: DomainRecord, state: DomainState): Promise<boolean> {
    const { node, records, log } = this.#effects;
    try {
      const { record } = await this.#awaited(() =>
        records.update(domain, (newest) => {
          if (newest === undefined || newest.driver?.term !== driver?.term) throw new NotDriving();
          return claim(newest, node);
        }),
      );
      if (record?.driver === undefined) return false;
      state.term = record.driver.term;
      delete state.undrivenSince;
      log.info({ domain, term: state.term, before: driver?.node }, 'this node drives the keys of the domain');
      return true;
    } catch (error) {
      log.debug({ domain, error: errorText(error) }, 'domain not claimed');
      return this.#pause(state);
    }
  }

  /** Make a transition, or let it wait. False: this node does not drive any more, or cannot write. */
  async #make(record: DomainRecord, transition: Transition, state: DomainState): Promise<boolean> {
    const { records, log } = this.#effects;
    const { domain } = record;
    const { kind, selectors } = transition;
    const revision = state.waits.begin(transition, record, records.revision);
    try {
      const change = await this.#awaited(() => confirm({ effects: this.#effects, record, transition, revision }));
      await this.#write(domain, state, change);
      state.waits.end(transition);
      log.info({ domain, selectors, transition: kind }, 'key advanced');
      return true;
    } catch (error) {
      return this.#fail(record, transition, state, error);
    }
  }

  /** A transition was not made. The reason is recorded where it is new, and lasts or is permanent. */
  async #fail(record: DomainRecord, transition: Transition, state: DomainState, error: unknown): Promise<boolean> {
    const { log, records, node, now } = this.#effects;
    const { domain } = record;
    const { kind, selectors } = transition;
    const code = errorCode(error);
    log.debug({ domain, selectors, transition: kind, error: errorText(error) }, 'key not advanced yet');
    if (!this.#running || error instanceof NotDriving || code === 'cut-off') return false;
    const [text, permanent] = [reasonText(error), code === 'dns-refused'];
    const waitedMs = state.waits.fail(transition, records.revision, { late: code === 'late', permanent });
    if (error instanceof NotWritten) return this.#pause(state);
    const passing = waitedMs < PROBLEM_AFTER_MS && !permanent;
    if (passing || code === 'wrong-state' || code === 'not-found') return true;
    this.#alarm.failed(record, selectors, text);
    let news = false;
    const note = (newest: DomainRecord): DomainRecord => {
      assertSameKeys(record, newest, selectors);
      const noted = noteProblem(newest, selectors, { text, permanent, now: now(), node });
      news = noted !== newest;
      return noted;
    };
    try {
      await this.#write(domain, state, note);
      if (news) log.warn({ domain, selectors, transition: kind, permanent, error: text }, 'key is stuck');
      const isDns = permanent || code === 'dns-failed';
      return isDns && waitedMs >= HAND_OVER_MS ? await this.#handOver(domain, state) : true;
    } catch (failure) {
      return errorCode(failure) === 'wrong-state' || this.#pause(state);
    }
  }

  /** What this node cannot change in DNS, another one may: its network or its configuration differs. */
  async #handOver(domain: string, state: DomainState): Promise<boolean> {
    const { node, live, log } = this.#effects;
    const next = nextStore(live() ?? [], node);
    if (next === undefined) return true;
    await this.#write(domain, state, (newest) => claim(newest, next));
    log.info({ domain, to: next }, 'this node leaves the keys of the domain to another one');
    return false;
  }

  #pause(state: DomainState): false {
    state.pausedUntil = this.#timer.now() + WRITE_PAUSE_MS;
    return false;
  }

  /**
   * Write as the driver of this term. Fails with what `change` threw, with `NotDriving`, or with `NotWritten`, after which
   * the change may have been written all the same.
   */
  async #write(domain: string, state: DomainState, change: Change): Promise<void> {
    const { node, records } = this.#effects;
    let refusal: unknown;
    const driving = (newest: DomainRecord | undefined): DomainRecord => {
      try {
        refusal = undefined;
        if (newest?.driver?.node !== node || newest.driver.term !== state.term) throw new NotDriving();
        state.waits.notice(newest);
        return change(newest);
      } catch (error) {
        refusal = error;
        throw error;
      }
    };
    try {
      const { record } = await this.#awaited(() => records.update(domain, driving));
      if (record !== undefined) state.waits.wrote(record);
    } catch (error) {
      throw refusal ?? new NotWritten('the change was not answered', { cause: error });
    }
  }

  /** What is awaited, or the close of this driver. */
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
