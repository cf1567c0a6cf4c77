import type { Config } from '#cluster/config/schema/schema.ts';
import { errorText } from '#shared/errors.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import type { Delivery, NextHop, Pause } from '../delivery/job.ts';
import { isSuspended } from '../directives/suspended.ts';
import type { Pacer } from '../pacing/pacer.ts';
import { isFinished, type Message, senderOf } from '../store/message.ts';
import type { CopyPlace } from '../store/records.ts';
import type { Slot, SlotState, Slots } from '../store/slots.ts';
import { Alarm } from './alarm.ts';
import { Attempt, type AttemptDeps, type AttemptOf, type AttemptQueue } from './attempt.ts';
import { dueByHop, type Group } from './grouping.ts';
import { Loading } from './loading.ts';
import { Admission } from './parking/admission.ts';
import { deadlineOf } from './parking/deadlines.ts';
import { knownHop } from './parking/known-hop.ts';
import type { Routing } from './routing.ts';
import { Turns } from './turns.ts';
import { PARKED_MS, plausibleWait, waitOf } from './waits.ts';

/**
 * Decides which message is worked on when.
 *
 * A committed message goes straight to delivery. When as many messages are loaded as `queue.active-limit` allows, it
 * is read from the store when its sender's turn comes (turns.ts, loading.ts), like every deferred one that is due. The
 * schedule is a heap by due time; one timer waits for its first slot. On disk a due time is one of the wall clock, in the
 * schedule one of the monotonic clock: steps of the wall clock neither stop nor hurry what waits.
 *
 * A loaded message is unloaded when no attempt for it is under way. What is due may have to wait for its next hop
 * (parking/admission.ts). While the store fails, no attempt starts: its outcome could not be recorded.
 */

/** How soon to look again when the store fails. */
const STORE_RETRY_MS = 1000;
/** The next hop of mail that has none. */
const NOWHERE: NextHop = { key: '', spec: { kind: 'discard' }, tls: 'off' };

export type QueueDeps = AttemptDeps & { slots: Slots; routing: Routing; pacer: Pacer };

export class Queue implements AttemptQueue {
  readonly #deps: QueueDeps;
  readonly #alarm = new Alarm(() => this.pump());
  readonly #turns: Turns;
  readonly #admission: Admission;
  readonly #loading: Loading;
  #delivery: Delivery | undefined;
  #loaded = 0;

  constructor(deps: QueueDeps) {
    this.#deps = deps;
    this.#turns = new Turns(deps.slots);
    this.#loading = new Loading(
      deps,
      (slot, message) => this.#take(slot, message),
      () => this.pump(),
    );
    this.#admission = new Admission({
      ...deps,
      pauseOf: (hop) => this.pauseOf(hop),
      loaded: () => this.#loaded,
      isAtWork: (slot) => slot.message !== undefined || slot.inTurn || this.#loading.has(slot),
      call: (slot) => this.#turns.push(slot),
      admit: (slot) => this.#turns.admit(slot),
      wake: (due) => this.#wakeAt(due, performance.now()),
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
      if (slot.at >= 0) schedule.set(slot, now + plausibleWait(slot, schedule.due(slot) - now, this.#times.retry));
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
      this.#take(slot, message);
    } else {
      this.#deps.bodies.release(message);
      if (!held) this.#turns.push(slot);
    }
  }

  /** Look at a slot again at `due` (ms since 1970), or now. */
  schedule(slot: Slot, due: number, state: SlotState): void {
    this.#deps.slots.move(slot, state);
    this.#deps.slots.schedule.set(slot, performance.now() + plausibleWait(slot, due - Date.now(), this.#times.retry));
    this.pump();
  }

  /** Look again, now, at the messages that had an obstacle. */
  releaseBlocked(): void {
    this.lookAgain(this.#admission.unblock());
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
   * Something has changed on which may depend where mail for these next hops goes, or how long it waits: look again, now, at
   * what waited for one of them, and at other messages that waited for this.
   */
  forgetHops(isMeant: (key: string) => boolean, waiting: readonly Slot[]): void {
    this.#admission.forget(isMeant);
    this.lookAgain(waiting);
  }

  /** Start what is due, as far as there is room. */
  pump(): void {
    if (this.#delivery === undefined) return;
    const now = performance.now();
    const next = Math.min(this.#turns.gather(now, this.#admission), this.#admission.gather(now));
    if (this.#deps.store.failure !== undefined) {
      const again = now + STORE_RETRY_MS;
      const then = this.#turns.length > 0 ? again : Math.max(next, again);
      if (then !== Number.POSITIVE_INFINITY) this.#alarm.set(then, now);
      return;
    }
    if (next !== Number.POSITIVE_INFINITY) this.#alarm.set(next, now);
    while (!this.#loading.isFull && this.#loaded + this.#loading.size < this.#limit) {
      const slot = this.#turns.next();
      if (slot === undefined) return;
      if (slot.message !== undefined) this.#work(slot, slot.message);
      else this.#loading.start(slot);
    }
  }

  /** The destination of an attempt has a connection for it. */
  attemptOpened(hop: NextHop): void {
    this.#admission.attemptOpened(hop);
  }

  /** An attempt has ended and its outcome is on disk. */
  attemptEnded(slot: Slot, message: Message, hop: NextHop): void {
    message.busy--;
    this.#admission.attemptEnded(hop);
    this.#settle(slot, message);
    this.#admission.attemptSettled(hop);
    this.pump();
  }

  /** What is being read of this message is out of date. */
  forgetReading(slot: Slot): void {
    this.#loading.forget(slot);
  }

  /** Forget a message that has left the queue. */
  remove(slot: Slot, message: Message | undefined): void {
    if (message !== undefined) message.gone = true;
    this.#deps.slots.remove(slot);
    this.#admission.remove(slot);
    this.#unload(slot);
  }

  get #times(): Config['queue'] {
    return this.#deps.settings.current.queue;
  }

  get #limit(): number {
    return this.#times['active-limit'];
  }

  #take(slot: Slot, message: Message): void {
    slot.message = message;
    this.#loaded++;
    this.#work(slot, message);
  }

  /** Hand every recipient that is due to delivery. */
  #work(slot: Slot, message: Message): void {
    const groups = dueByHop(slot, message, this.#deps);
    const urgent = slot.forced;
    slot.forced = false;
    this.#admission.sift({ slot, message, groups, urgent }, (group, obstacle) => {
      if (obstacle === undefined) this.#start({ slot, message, urgent }, group);
      else this.#postpone({ slot, message, ...group, hop: group.hop ?? NOWHERE }, reply(451, '4.3.2', obstacle));
    });
    this.#settle(slot, message);
  }

  #start(what: Pick<AttemptOf, 'slot' | 'message' | 'urgent'>, group: Group): void {
    const { hop, recipients } = group;
    if (hop === undefined) {
      this.#postpone({ ...what, ...group, hop: NOWHERE }, reply(451, '4.3.5', 'no usable route for this domain'));
      return;
    }
    const most = this.#deps.settings.current.delivery['recipients-per-transaction'];
    for (let i = 0; i < recipients.length; i += most) {
      const attempt = this.#attempt({ ...what, ...group, hop, recipients: recipients.slice(i, i + most) });
      this.#admission.paced(hop);
      if (attempt !== undefined) this.#delivery?.submit(hop, attempt);
    }
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
    this.#admission.attemptStarted(hop);
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
    let wait = waitOf(slot, message, this.#times.retry, untilDeadline);
    if (this.#admission.isBlocked(slot)) wait = Math.max(wait, PARKED_MS);
    const isNext = slot.parked !== undefined && !isSuspended(slot.parked);
    slots.move(slot, message.busy > 0 || isNext || wait <= 0 ? 'active' : 'deferred');
    if (wait === Number.POSITIVE_INFINITY) slots.schedule.delete(slot);
    else {
      const now = performance.now();
      slots.schedule.set(slot, now + wait);
      this.#wakeAt(now + wait, now);
    }
    if (message.busy > 0) return;
    if (slot.hop >= 0)
      slots.setHop(slot, slot.parked === undefined ? knownHop(message, Date.now() + wait, this.#deps) : '');
    this.#unload(slot);
  }

  #wakeAt(due: number, now: number): void {
    if (this.#delivery !== undefined) this.#alarm.set(due, now);
  }

  #unload(slot: Slot): void {
    if (slot.message === undefined) return;
    this.#deps.bodies.release(slot.message);
    slot.message = undefined;
    this.#loaded--;
  }
}
