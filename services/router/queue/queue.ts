import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import type { Delivery, NextHop, Pause } from '../delivery/job.ts';
import { isSuspended, type SuspendedMail } from '../directives/suspended.ts';
import type { Pacer } from '../pacing/pacer.ts';
import { loadMessage } from '../store/load.ts';
import { isFinal, isFinished, type Message, senderOf } from '../store/message.ts';
import type { CopyPlace } from '../store/records.ts';
import type { Slot, SlotState, Slots } from '../store/slots.ts';
import { Alarm } from './alarm.ts';
import { Attempt, type AttemptDeps, type AttemptOf, type AttemptQueue } from './attempt.ts';
import { Congestion, congestionKey, UNREACHED } from './congestion.ts';
import { dueByHop, type Group } from './grouping.ts';
import { deadlineOf, deadlineOfId, mustSettle } from './parking/deadlines.ts';
import { knownHop } from './parking/known-hop.ts';
import { Parking } from './parking/parking.ts';
import type { Routing } from './routing.ts';
import type { RetryLimits } from './schedule.ts';
import { Turns } from './turns.ts';
import { monotonic, PARKED_MS, plausibleWait, waitOf } from './waits.ts';

/**
 * Decides which message is worked on when.
 *
 * A committed message goes straight to delivery. When as many messages are loaded as `queue.active-limit` allows, it
 * is read from the store when its sender's turn comes (turns.ts), like every deferred one that is due. The schedule is a
 * heap by due time; one timer waits for its first slot. On disk a due time is one of the wall clock, in the schedule one of
 * the monotonic clock: steps of the wall clock neither stop nor hurry what waits.
 *
 * A loaded message is unloaded when no attempt for it is under way. One next hop may hold half of the limit, one that has not
 * taken a message yet a few once a quarter of the limit is used, and a destination with a rate a few seconds' worth
 * (congestion.ts), so that slow and silent destinations never stop the mail for all others.
 * What is due for a next hop that backs off stays where it is until that one is back (parking/parking.ts).
 * While the store fails, no attempt starts: its outcome could not be recorded.
 *
 * The file is long because everything that moves a message in the schedule is in it.
 */

/** Messages that are read from the store concurrently. */
const CONCURRENT_LOADS = 32;
/** Messages in memory for each connection that a destination may have, when it comes back. */
const WELCOME = 2;
/** How soon to look again when the store fails. */
const STORE_RETRY_MS = 1000;
/** The next hop of mail that has none. */
const NOWHERE: NextHop = { key: '', spec: { kind: 'discard' }, tls: 'off' };

export type QueueDeps = AttemptDeps & {
  settings: Settings;
  slots: Slots;
  routing: Routing;
  pacer: Pacer;
  suspended: SuspendedMail;
};

export class Queue implements AttemptQueue {
  readonly #deps: QueueDeps;
  readonly #congestion = new Congestion();
  /** Messages that have an obstacle: another node may deliver them, or this one does not know whether it may. */
  readonly #blocked = new Set<Slot>();
  readonly #alarm = new Alarm(() => this.pump());
  readonly #turns: Turns;
  readonly #parking: Parking;
  #delivery: Delivery | undefined;
  #loaded = 0;
  /** What is being read from the store, each with a token of its reading. */
  readonly #loading = new Map<Slot, object>();

  constructor(deps: QueueDeps) {
    this.#deps = deps;
    this.#turns = new Turns(deps.slots);
    this.#parking = new Parking({
      slots: deps.slots,
      pauseOf: (hop) => this.pauseOf(hop),
      isReached: (key) => this.#congestion.isReached(key),
      isBusy: (key) => this.#congestion.isFull(key, WELCOME * this.#deps.settings.current.delivery.connections),
      isAtWork: (slot) => slot.message !== undefined || slot.inTurn || this.#loading.has(slot),
      call: (slot) => this.#turns.push(slot),
      readBy: ({ id }) => monotonic(deadlineOfId(id, Date.now(), this.#times)),
    });
  }

  /** Messages in memory. */
  get loaded(): number {
    return this.#loaded;
  }

  /** Start working. */
  begin(delivery: Delivery): void {
    this.#delivery = delivery;
    const now = performance.now();
    const { schedule } = this.#deps.slots;
    for (const slot of this.#deps.slots.all())
      if (slot.at >= 0) schedule.set(slot, now + plausibleWait(slot, schedule.due(slot) - now, this.#retry));
    this.pump();
  }

  /** Start no further attempts. */
  end(): void {
    this.#delivery = undefined;
    this.#alarm.stop();
  }

  get ended(): boolean {
    return this.#delivery === undefined;
  }

  /** Add a message that was just committed; `copy` says where its second copy is. */
  add(message: Message, copy?: CopyPlace): void {
    const { held } = message.record;
    const sender = senderOf(message.record, message.recipients[0]?.recipient.address ?? '');
    const slot = this.#deps.slots.add(message.id, held ? 'hold' : 'active', copy, sender);
    if (!held && this.#delivery !== undefined && this.#loaded < this.#limit) {
      slot.message = message;
      this.#loaded++;
      this.#work(slot, message);
    } else {
      this.#deps.bodies.release(message);
      if (!held) this.#turns.push(slot);
    }
  }

  /** Look at a slot again at `due` (ms since 1970), or now. */
  schedule(slot: Slot, due: number, state: SlotState): void {
    this.#deps.slots.move(slot, state);
    this.#deps.slots.schedule.set(slot, performance.now() + plausibleWait(slot, due - Date.now(), this.#retry));
    this.pump();
  }

  /** Look again, now, at the messages that had an obstacle. */
  releaseBlocked(): void {
    const blocked = [...this.#blocked];
    this.#blocked.clear();
    this.lookAgain(blocked);
  }

  /** Look again, now, at messages that waited for something. */
  lookAgain(waiting: readonly Slot[]): void {
    const { slots } = this.#deps;
    for (const slot of waiting)
      if (slots.has(slot) && slot.state !== 'hold') slots.schedule.set(slot, performance.now());
    this.pump();
  }

  /** Whether a next hop is left alone now, and for how long. */
  pauseOf(hop: NextHop | string): Pause | undefined {
    return this.#delivery?.pauseOf(hop);
  }

  /**
   * Something has changed on which may depend where mail goes, or how long it waits: look again, now, at what waited for a
   * next hop, and at other messages that waited for this.
   */
  forgetHops(waiting: readonly Slot[]): void {
    this.#parking.forget();
    this.lookAgain(waiting);
  }

  /** Start what is due, as far as there is room. */
  pump(): void {
    if (this.#delivery === undefined) return;
    const now = performance.now();
    const next = Math.min(this.#turns.gather(now, this.#parking), this.#parking.gather(now));
    if (this.#deps.store.failure !== undefined) {
      const again = now + STORE_RETRY_MS;
      const then = this.#turns.length > 0 ? again : Math.max(next, again);
      if (then !== Number.POSITIVE_INFINITY) this.#alarm.set(then, now);
      return;
    }
    if (next !== Number.POSITIVE_INFINITY) this.#alarm.set(next, now);
    while (this.#loading.size < CONCURRENT_LOADS && this.#loaded + this.#loading.size < this.#limit) {
      const slot = this.#turns.next();
      if (slot === undefined) return;
      if (slot.message !== undefined) this.#work(slot, slot.message);
      // What is read twice at the same time could come back after the outcome of an attempt, from before it.
      else if (!this.#loading.has(slot)) void this.#load(slot);
    }
  }

  /** The destination of an attempt has a connection for it. */
  readonly attemptOpened = (hop: NextHop): void => {
    this.#congestion.attemptOpened(congestionKey(hop));
    this.#open(hop);
  };

  /** An attempt has ended and its outcome is on disk. */
  attemptEnded(slot: Slot, message: Message, hop: NextHop): void {
    message.busy--;
    this.#wake(this.#congestion.attemptEnded(congestionKey(hop), Math.min(this.#limit / 2, this.#paced(hop))));
    this.#settle(slot, message);
    this.#parking.ended(hop.key);
    this.pump();
  }

  /** What is being read of this message is out of date. */
  forgetReading(slot: Slot): void {
    this.#loading.delete(slot);
  }

  /** Forget a message that has left the queue. */
  remove(slot: Slot, message: Message | undefined): void {
    if (message !== undefined) message.gone = true;
    slot.parked = undefined;
    this.#deps.slots.remove(slot);
    this.#blocked.delete(slot);
    this.#deps.suspended.forget(slot);
    this.#unload(slot);
  }

  #open(hop: NextHop): void {
    const now = performance.now();
    if (this.#parking.opened(hop.key) && this.#delivery !== undefined) this.#alarm.set(now, now);
  }

  get #times(): Config['queue'] {
    return this.#deps.settings.current.queue;
  }

  get #limit(): number {
    return this.#deps.settings.current.queue['active-limit'];
  }

  get #retry(): RetryLimits {
    return this.#deps.settings.current.queue.retry;
  }

  async #load(slot: Slot): Promise<void> {
    const { store, slots, corrupt, log } = this.#deps;
    const reading = {};
    this.#loading.set(slot, reading);
    const isCurrent = (): boolean => this.#loading.get(slot) === reading;
    try {
      const message = await loadMessage(store, slot.id);
      if (!slots.has(slot) || !isCurrent() || slot.state === 'hold' || slot.message !== undefined) return;
      slot.message = message;
      this.#loaded++;
      this.#work(slot, message);
    } catch (error) {
      if (errorCode(error) === 'corrupt') {
        // One that has left meanwhile, with its records, is not damaged.
        if (slots.has(slot)) corrupt.setAside(slot.id, error);
      } else {
        const fields = { queueId: slot.id, error: errorText(error) };
        log.warn(fields, 'a queued message cannot be read now, it is tried again');
        if (slots.has(slot) && slot.state !== 'hold') slots.schedule.set(slot, performance.now() + STORE_RETRY_MS);
      }
    } finally {
      if (isCurrent()) this.#loading.delete(slot);
      this.pump();
    }
  }

  /** Hand every recipient that is due to delivery. */
  #work(slot: Slot, message: Message): void {
    const groups = dueByHop(slot, message, this.#deps);
    const most = this.#deps.settings.current.delivery['recipients-per-transaction'];
    const urgent = slot.forced;
    slot.forced = false;
    slot.parked = undefined;
    this.#deps.suspended.forget(slot);
    const obstacle = groups.length === 0 ? undefined : this.#deps.obstacle(slot);
    if (obstacle !== undefined) this.#blocked.add(slot);
    else this.#blocked.delete(slot);
    for (const recipient of message.recipients) recipient.parked = false;
    const tried = this.#parking.isProbe(slot) ? new Set<string>() : undefined;
    for (const group of groups) {
      const { hop, junk, report, recipients, suspended } = group;
      if (suspended !== undefined) {
        this.#deps.suspended.park(suspended, slot);
      } else if (obstacle !== undefined) {
        const kept = { slot, message, junk, report, recipients, hop: hop ?? NOWHERE };
        this.#postpone(kept, reply(451, '4.3.2', obstacle));
      } else if (!urgent && this.#parks(slot, message, group)) {
        // They wait for their next hop to come back.
      } else if (hop !== undefined && this.#congestion.isFull(congestionKey(hop), this.#most(hop))) {
        this.#congestion.park(congestionKey(hop), slot);
        slot.forced = urgent;
        tried?.add(hop.key);
        if (hop.limit !== undefined) this.#open(hop);
      } else {
        if (hop !== undefined) tried?.add(hop.key);
        for (let i = 0; i < recipients.length; i += most)
          this.#start(slot, message, { hop, junk, report, recipients: recipients.slice(i, i + most) }, urgent);
      }
    }
    if (tried !== undefined) this.#parking.probeRead(slot, new Set(groups.map(({ hop }) => hop?.key)), tried);
    this.#settle(slot, message);
  }

  #parks(slot: Slot, message: Message, { hop, recipients }: Group): boolean {
    if (hop === undefined || mustSettle(message, recipients, Date.now(), this.#times)) return false;
    const left = message.recipients.filter((r) => !isFinal(r.status)).length;
    if (!this.#parking.keeps(hop, slot, recipients.length === left)) return false;
    for (const { index } of recipients) {
      const recipient = message.recipients[index];
      if (recipient !== undefined) recipient.parked = true;
    }
    this.#alarm.set(this.#parking.next, performance.now());
    return true;
  }

  /** Attempts that the destination may have under way right now. */
  #most(hop: NextHop): number {
    const unreached = this.#loaded >= this.#limit / 4 && !this.#congestion.isReached(congestionKey(hop));
    return Math.min(unreached ? UNREACHED : this.#limit / 2, this.#paced(hop));
  }

  #paced({ limit }: NextHop): number {
    return (limit === undefined ? undefined : this.#deps.pacer.most(limit)) ?? Number.POSITIVE_INFINITY;
  }

  #start(slot: Slot, message: Message, { hop, ...group }: Group, urgent: boolean): void {
    if (hop === undefined) {
      const reason = reply(451, '4.3.5', 'no usable route for this domain');
      this.#postpone({ slot, message, hop: NOWHERE, ...group }, reason);
      return;
    }
    const attempt = this.#attempt({ slot, message, hop, ...group, urgent });
    if (hop.limit !== undefined) this.#open(hop);
    if (attempt !== undefined) this.#delivery?.submit(hop, attempt);
  }

  /** End an attempt before it begins. */
  #postpone(attempt: Omit<AttemptOf, 'urgent'>, reason: Reply): void {
    void this.#attempt({ ...attempt, urgent: false })?.finishAll('deferred', reason, true);
  }

  #attempt(attempt: AttemptOf): Attempt | undefined {
    if (this.#delivery === undefined) return undefined;
    const { message, hop, recipients } = attempt;
    for (const { index } of recipients) {
      const recipient = message.recipients[index];
      if (recipient !== undefined) recipient.busy = true;
    }
    message.busy++;
    this.#congestion.attemptStarted(congestionKey(hop), attempt.slot);
    return new Attempt(this.#deps, this, attempt);
  }

  /** Bring the schedule in step with what the message waits for; unload it when no attempt works on it. */
  #settle(slot: Slot, message: Message): void {
    const { slots } = this.#deps;
    if (!slots.has(slot)) {
      if (message.busy === 0) this.#unload(slot);
      return;
    }
    if (message.busy === 0 && isFinished(message)) {
      // Its records are deleted together with the last status, so only a repaired store has such a message.
      this.#deps.log.warn({ queueId: slot.id }, 'a finished message was still in the queue, it is removed');
      const closed = this.#deps.settlement.close(message);
      this.remove(slot, message);
      void closed
        .then((written) => this.#deps.onSettled(slot, written))
        .catch((error: unknown) => {
          this.#deps.log.info(
            { queueId: slot.id, error: errorText(error) },
            'a finished message could not be removed from the queue: it is removed after the next start',
          );
        });
      return;
    }
    if (slot.state === 'hold') {
      slots.schedule.delete(slot);
      if (message.busy === 0) this.#unload(slot);
      return;
    }
    const untilDeadline = (): number => deadlineOf(message, Date.now(), this.#times) - Date.now();
    let wait = waitOf(slot, message, this.#retry, untilDeadline);
    if (this.#blocked.has(slot)) wait = Math.max(wait, PARKED_MS);
    const isNext = slot.parked !== undefined && !isSuspended(slot.parked);
    slots.move(slot, message.busy > 0 || isNext || wait <= 0 ? 'active' : 'deferred');
    if (wait === Number.POSITIVE_INFINITY) slots.schedule.delete(slot);
    else {
      const now = performance.now();
      slots.schedule.set(slot, now + wait);
      if (this.#delivery !== undefined) this.#alarm.set(now + wait, now);
    }
    if (message.busy > 0) return;
    if (slot.hop >= 0)
      slots.setHop(slot, slot.parked === undefined ? knownHop(message, Date.now() + wait, this.#deps) : '');
    this.#unload(slot);
  }

  #unload(slot: Slot): void {
    if (slot.message === undefined) return;
    this.#deps.bodies.release(slot.message);
    slot.message = undefined;
    this.#loaded--;
  }

  /** A message with several destinations is woken by any of them: where one is still congested, it keeps its place. */
  #wake(waiting: readonly Slot[]): void {
    for (const slot of waiting) {
      slot.parked = undefined;
      if (slot.state !== 'hold') this.#turns.push(slot);
    }
  }
}
