import { setTimeout as delay } from 'node:timers/promises';
import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { History, Overview } from '../../schemas/overview.ts';
import type { Clients } from '../clients.ts';
import { examineMembers } from '../cluster/checks.ts';
import { type Finding, worstFirst } from '../doctor/finding.ts';
import { gatherTraffic, type Traffic } from './facts.ts';
import { Minutes } from './minutes.ts';
import { nodesOf, SILENT_MS } from './nodes.ts';
import { type Rates, ratesOf, remember } from './rates.ts';

/**
 * Mail as it happens, gathered once for all who look at it.
 *
 *   idle → (somebody looks) watching → (nobody has looked for `LINGER_MS`) idle
 *
 * watching: every second the processes are asked for their counts, and those who follow are told. What costs more is asked
 *   less often: whether the cluster needs a hand (`Examination`).
 * idle: counts alone are asked, every ten seconds, so that there is a history when somebody looks.
 *
 * A process that does not answer holds nobody up: the moment is told without it, and silence itself is seen by what was
 * heard of the process.
 */

const EVERY_MS = 1000;
const IDLE_MS = 10_000;
const LINGER_MS = 15_000;
/** How long a moment waits for counts. */
const PATIENCE_MS = 600;

export type Examination = {
  /** Findings, and when they were made; starts another examination where that is due. */
  findings(): { findings: readonly (Finding & { check: string })[]; examined: number | undefined };
};

export type TrafficWatchDeps = { clients: Clients; node: string; examination: Examination; log: Logger };

export class TrafficWatch {
  readonly #deps: TrafficWatchDeps;
  readonly #minutes = new Minutes();
  readonly #followers = new Set<(now: Overview) => void>();
  #gathering: Promise<void> | undefined;
  #traffic: Traffic | undefined;
  #rates: Rates | undefined;
  #now: Overview | undefined;
  #looked = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> | undefined;
  #stopped = false;

  constructor(deps: TrafficWatchDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#followers.clear();
  }

  /** Mail now and in the last minutes. */
  async look(): Promise<{ now: Overview; history: History }> {
    const now = await this.#current();
    return { now, history: this.#minutes.history() };
  }

  /** Called every second, and first with what is known; returns the way to stop. */
  follow(follower: (now: Overview) => void): () => void {
    this.#followers.add(follower);
    void this.#current().then((now) => {
      if (this.#followers.has(follower)) follower(now);
    });
    return () => this.#followers.delete(follower);
  }

  /** A moment that is not old. */
  async #current(): Promise<Overview> {
    const wasIdle = this.#isIdle();
    this.#looked = performance.now();
    if (wasIdle || this.#now === undefined) {
      clearTimeout(this.#timer);
      await this.#takeTurn();
    }
    return this.#now ?? (await this.#moment());
  }

  #isIdle(): boolean {
    return this.#followers.size === 0 && performance.now() - this.#looked > LINGER_MS;
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#takeTurn(), ms).unref();
  }

  /** One at a time; never rejects. */
  #takeTurn(): Promise<void> {
    this.#turn ??= this.#look()
      .catch((error: unknown) => this.#deps.log.warn({ error: errorText(error) }, 'the overview could not be gathered'))
      .finally(() => {
        this.#turn = undefined;
        this.#schedule(this.#isIdle() ? IDLE_MS : EVERY_MS);
      });
    return this.#turn;
  }

  async #look(): Promise<void> {
    const now = await this.#moment();
    this.#now = now;
    for (const follower of this.#followers) follower(now);
  }

  async #moment(): Promise<Overview> {
    const { clients, node, examination } = this.#deps;
    // With the node's name the question stays in this process.
    const heard = await clients.client(memberContract)['member-list']({}, { node });
    const { away, members } = heard;
    this.#gathering ??= this.#gather(members).finally(() => {
      this.#gathering = undefined;
    });
    await Promise.race([this.#gathering, delay(PATIENCE_MS, undefined, { ref: false })]);
    const { findings, examined } = this.#isIdle() ? { findings: [], examined: undefined } : examination.findings();
    const own = { node, ...(away !== undefined && { away }) };
    const silenced = members.map((one) => (one.heard > SILENT_MS ? { ...one, state: 'gone' as const } : one));
    const live = examineMembers({ ...own, members: silenced });
    return {
      ...own,
      at: Date.now(),
      nodes: nodesOf(members, { away, silent: this.#traffic?.silent ?? [], rates: this.#rates }),
      ...(this.#rates !== undefined && { total: this.#rates.all }),
      alarms: worstFirst([...live, ...withoutThose(findings, live)]),
      ...(examined !== undefined && { examined }),
    };
  }

  async #gather(members: readonly Member[]): Promise<void> {
    const before = this.#traffic;
    const after = await gatherTraffic(this.#deps.clients, members);
    this.#traffic = before === undefined ? after : remember(before, after);
    if (before === undefined) return;
    this.#rates = ratesOf(before, after);
    this.#minutes.add(Date.now(), this.#rates.all);
  }
}

/** What was just found counts more than what an examination found some seconds ago. */
function withoutThose<F extends Finding & { check: string }>(findings: readonly F[], newer: readonly F[]): F[] {
  const isAway = newer.some(({ check }) => check === 'bus-away');
  return findings.filter(({ check }) => check !== 'gone' && !(isAway && check === 'bus-away'));
}
