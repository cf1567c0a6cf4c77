import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { type Reply, reply } from '#shared/reply.ts';
import type { Delivery, NextHop } from '../delivery/job.ts';
import type { Lanes } from '../pacing/pacer.ts';
import type { Bodies } from '../store/bodies.ts';
import type { Corrupt } from '../store/corrupt.ts';
import { loadMessage } from '../store/load.ts';
import { dueAt, isFinished, type Message } from '../store/message.ts';
import type { CopyPlace } from '../store/records.ts';
import type { Slot, SlotState, Slots } from '../store/slots.ts';
import { Attempt, type AttemptTools } from './attempt.ts';
import { Crowds } from './congestion.ts';
import { crowdOf, dueByHop, isPaced, NOWHERE } from './grouping.ts';
import type { Routing } from './routing.ts';

/**
 * Decides which message is worked on when.
 *
 * A committed message goes straight to delivery. When as many messages are loaded as `queue.active-limit` allows, it
 * is only noted in the line and read from the store when its turn comes, like every deferred one. The line is a heap
 * by due time; one timer waits for its first slot.
 *
 * A loaded message is unloaded when no attempt for it is under way. One next hop may hold at most half of the limit
 * while the loaded messages near it, and a destination with a rate a few seconds' worth (crowds.ts), so that a slow
 * destination never stops the mail for all others.
 * While the store fails, no attempt starts: what would come of it could not be remembered.
 */

/** Messages that are read from the store at once. */
const LOADS = 32;
/** How soon to look again when the store fails. */
const STORE_RETRY_MS = 1000;
/** A message parked before a crowded next hop, or blocked, is looked at this late even if nobody wakes it. */
const PARKED_MS = 600_000;
/** The same for one that waits for its turn at a rate: those of a long line would be read again and again. */
const PACED_MS = 6 * 3_600_000;
/** setTimeout takes no more. */
const LONGEST_TIMER = 2 ** 31 - 1;

export type QueueParts = {
  settings: Settings;
  log: Logger;
  store: Store;
  slots: Slots;
  bodies: Bodies;
  corrupt: Corrupt;
  routing: Routing;
  /** Why a message must not be delivered here now, though its time has come. */
  obstacle: (slot: Slot) => string | undefined;
  lanes: Lanes;
};

export class Queue {
  readonly #parts: QueueParts;
  readonly #crowds = new Crowds();
  /** Messages that another node may deliver, or this one does not know of whether it may. */
  readonly #blocked = new Set<Slot>();
  #tools: AttemptTools | undefined;
  #delivery: Delivery | undefined;
  #loaded = 0;
  #loading = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerDue = Number.POSITIVE_INFINITY;

  constructor(parts: QueueParts) {
    this.#parts = parts;
  }

  /** Messages in memory. */
  get loaded(): number {
    return this.#loaded;
  }

  /** Start working. */
  begin(delivery: Delivery, tools: AttemptTools): void {
    this.#delivery = delivery;
    this.#tools = tools;
    this.pump();
  }

  /** Start no more attempts. */
  end(): void {
    this.#delivery = undefined;
    clearTimeout(this.#timer);
  }

  get ended(): boolean {
    return this.#delivery === undefined;
  }

  /** Take a message that was committed just now; `copy` says where its second copy is. */
  add(message: Message, copy?: CopyPlace): void {
    const slot = this.#parts.slots.add(message.id, 'active', copy);
    if (this.#delivery !== undefined && this.#loaded < this.#limit) {
      slot.message = message;
      this.#loaded++;
      this.#work(slot, message);
    } else {
      this.#parts.bodies.release(message);
      this.#parts.slots.line.set(slot, Date.now());
    }
  }

  /** Look at a slot again at `due` (ms since 1970), or now. */
  schedule(slot: Slot, due: number, state: SlotState): void {
    this.#parts.slots.move(slot, state);
    this.#parts.slots.line.set(slot, due);
    this.pump();
  }

  /** Look again, now, at what the cluster did not let go. */
  releaseBlocked(): void {
    const { slots } = this.#parts;
    for (const slot of this.#blocked) if (slots.has(slot) && slot.state !== 'hold') slots.line.set(slot, Date.now());
    this.#blocked.clear();
    this.pump();
  }

  /** Start what is due, as far as there is room. */
  pump(): void {
    if (this.#delivery === undefined) return;
    const { line } = this.#parts.slots;
    const now = Date.now();
    if (this.#parts.store.failure !== undefined) {
      if (line.size > 0) this.#arm(now + STORE_RETRY_MS, now);
      return;
    }
    while (this.#loading < LOADS && this.#loaded + this.#loading < this.#limit) {
      const slot = line.peek();
      if (slot === undefined) return;
      if (slot.due > now) {
        this.#arm(slot.due, now);
        return;
      }
      line.delete(slot);
      this.#parts.slots.move(slot, 'active');
      if (slot.message !== undefined) this.#work(slot, slot.message);
      else void this.#load(slot);
    }
  }

  /** An attempt has ended and its outcome is on disk. */
  attemptEnded(slot: Slot, message: Message, hop: NextHop): void {
    message.busy--;
    this.#wake(this.#crowds.leave(crowdOf(hop), Math.min(this.#limit / 2, this.#paced(hop))));
    this.#settle(slot, message);
    this.pump();
  }

  /** Forget a message that has left the queue. */
  remove(slot: Slot, message: Message | undefined): void {
    if (message !== undefined) message.gone = true;
    slot.parked = undefined;
    this.#parts.slots.remove(slot);
    this.#blocked.delete(slot);
    this.#unload(slot);
  }

  get #limit(): number {
    return this.#parts.settings.current.queue['active-limit'];
  }

  async #load(slot: Slot): Promise<void> {
    const { store, slots, corrupt, log } = this.#parts;
    this.#loading++;
    try {
      const message = await loadMessage(store, slot.id);
      if (!slots.has(slot) || slot.state === 'hold' || slot.message !== undefined) return;
      slot.message = message;
      this.#loaded++;
      this.#work(slot, message);
    } catch (error) {
      if (errorCode(error) === 'corrupt') {
        // One that has left meanwhile, with its records, is no damaged one.
        if (slots.has(slot)) corrupt.setAside(slot.id, error);
      } else {
        log.warn({ queueId: slot.id, err: error }, 'message cannot be read now');
        if (slots.has(slot) && slot.state !== 'hold') slots.line.set(slot, Date.now() + STORE_RETRY_MS);
      }
    } finally {
      this.#loading--;
      this.pump();
    }
  }

  /** Hand every recipient that is due to delivery. */
  #work(slot: Slot, message: Message): void {
    const groups = dueByHop(slot, message, this.#parts.routing);
    const most = this.#parts.settings.current.delivery['recipients-per-transaction'];
    const urgent = slot.forced;
    slot.forced = false;
    slot.parked = undefined;
    const obstacle = groups.length === 0 ? undefined : this.#parts.obstacle(slot);
    if (obstacle !== undefined) this.#blocked.add(slot);
    else this.#blocked.delete(slot);
    for (const { hop, indexes } of groups) {
      if (obstacle !== undefined) {
        this.#postpone(slot, message, hop ?? NOWHERE, indexes, reply(451, '4.3.2', obstacle));
        continue;
      }
      if (hop !== undefined && this.#crowds.isFull(crowdOf(hop), this.#most(hop))) {
        this.#crowds.park(crowdOf(hop), slot);
        slot.forced = urgent;
        continue;
      }
      for (let i = 0; i < indexes.length; i += most)
        this.#start(slot, message, hop, indexes.slice(i, i + most), urgent);
    }
    this.#settle(slot, message);
  }

  /** Attempts that the destination may have under way right now. */
  #most(hop: NextHop): number {
    const crowded = this.#loaded >= this.#limit * 0.75 ? this.#limit / 2 : Number.POSITIVE_INFINITY;
    return Math.min(crowded, this.#paced(hop));
  }

  #paced({ limit }: NextHop): number {
    return (limit === undefined ? undefined : this.#parts.lanes.most(limit)) ?? Number.POSITIVE_INFINITY;
  }

  #start(slot: Slot, message: Message, hop: NextHop | undefined, indexes: number[], urgent: boolean): void {
    if (hop === undefined) {
      this.#postpone(slot, message, NOWHERE, indexes, reply(451, '4.3.5', 'no usable route for this domain'));
      return;
    }
    const attempt = this.#attempt(slot, message, hop, indexes, urgent);
    if (attempt !== undefined) this.#delivery?.submit(hop, attempt);
  }

  /** End an attempt before it begins. */
  #postpone(slot: Slot, message: Message, hop: NextHop, indexes: number[], reason: Reply): void {
    void this.#attempt(slot, message, hop, indexes, false)?.finishAll('deferred', reason, true);
  }

  #attempt(slot: Slot, message: Message, hop: NextHop, indexes: number[], urgent: boolean): Attempt | undefined {
    if (this.#tools === undefined || this.#delivery === undefined) return undefined;
    for (const index of indexes) {
      const recipient = message.recipients[index];
      if (recipient !== undefined) recipient.busy = true;
    }
    message.busy++;
    this.#crowds.enter(crowdOf(hop));
    return new Attempt(this.#tools, this, slot, message, hop, indexes, urgent);
  }

  /** Bring slot and line in step with what the message waits for; unload it when nobody works on it. */
  #settle(slot: Slot, message: Message): void {
    const { slots } = this.#parts;
    if (!slots.has(slot)) {
      if (message.busy === 0) this.#unload(slot);
      return;
    }
    if (message.busy === 0 && isFinished(message)) {
      // Its records are deleted together with the last status, so only a repaired store has such a message.
      this.#parts.log.warn({ queueId: slot.id }, 'a finished message was still in the queue, it is removed');
      this.remove(slot, message);
      void this.#tools?.settlement.close(message).catch((error: unknown) => {
        this.#parts.log.info({ queueId: slot.id, reason: errorText(error) }, 'it is removed after the next start');
      });
      return;
    }
    if (slot.state === 'hold') {
      slots.line.delete(slot);
      if (message.busy === 0) this.#unload(slot);
      return;
    }
    const now = Date.now();
    let due = Number.POSITIVE_INFINITY;
    const parked = slot.parked === undefined ? 0 : now + (isPaced(slot.parked) ? PACED_MS : PARKED_MS);
    for (const r of message.recipients) {
      if (r.busy) continue;
      const at = dueAt(r.status);
      due = Math.min(due, at > now ? at : Math.max(at, parked));
    }
    if (this.#blocked.has(slot)) due = Math.max(due, now + PARKED_MS);
    slots.move(slot, message.busy > 0 || slot.parked !== undefined || due <= now ? 'active' : 'deferred');
    if (due === Number.POSITIVE_INFINITY) slots.line.delete(slot);
    else {
      slots.line.set(slot, due);
      this.#arm(due, now);
    }
    if (message.busy === 0) this.#unload(slot);
  }

  #unload(slot: Slot): void {
    if (slot.message === undefined) return;
    this.#parts.bodies.release(slot.message);
    slot.message = undefined;
    this.#loaded--;
  }

  /** A message with several destinations is woken by any of them: where it is still crowded, it keeps its place. */
  #wake(waiting: readonly Slot[]): void {
    const now = Date.now();
    for (const [n, slot] of waiting.entries()) {
      slot.parked = undefined;
      // The line knows no order among those of one moment.
      if (slot.state !== 'hold') this.#parts.slots.line.set(slot, now - (waiting.length - n) / 10_000);
    }
  }

  #arm(due: number, now: number): void {
    if (this.#delivery === undefined || this.#timerDue <= due) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    this.#timer = setTimeout(
      () => {
        this.#timerDue = Number.POSITIVE_INFINITY;
        this.pump();
      },
      Math.min(Math.max(due - now, 0), LONGEST_TIMER),
    );
  }
}
