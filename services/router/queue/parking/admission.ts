import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { NextHop, Pause } from '../../delivery/job.ts';
import type { SuspendedMail } from '../../directives/suspended.ts';
import type { Pacer } from '../../pacing/pacer.ts';
import { isFinal, type Message } from '../../store/message.ts';
import type { Slot, Slots } from '../../store/slots.ts';
import { Congestion, congestionKey, UNREACHED } from '../congestion.ts';
import type { Group } from '../grouping.ts';
import type { Obstacle } from '../opening/opening.ts';
import { monotonic } from '../waits.ts';
import { deadlineOfId, mustSettle } from './deadlines.ts';
import { Parking } from './parking.ts';

/**
 * Which recipients that are due are tried now, and which wait in memory: until their next hop is back (parking.ts) or has room
 * (congestion.ts), until an operator lets them go (directives/suspended.ts), or until it is known that no other node
 * delivers them.
 *
 * One next hop may hold half of the queue's limit, one that has not taken a message yet a few once a quarter of the limit is
 * used, and a destination with a rate a few seconds' worth, so that slow and silent destinations never stop the mail for all
 * others.
 */

/** Messages in memory for each connection that a destination may have, when it comes back. */
const WELCOME = 2;

export type AdmissionDeps = {
  settings: Settings;
  slots: Slots;
  pacer: Pacer;
  suspended: SuspendedMail;
  obstacle: Obstacle;
  /** Whether a next hop is left alone now, and for how long. */
  pauseOf: (hop: NextHop | string) => Pause | undefined;
  /** Messages in memory. */
  loaded: () => number;
  /** Whether a message is in memory, or on its way there. */
  isAtWork: (slot: Slot) => boolean;
  /** It is its turn. */
  call: (slot: Slot) => void;
  /** There is room for it: it comes before those whose turn it is. */
  admit: (slot: Slot) => void;
  /** `gather` has something to do at this time of the monotonic clock. */
  wake: (due: number) => void;
};

/** A message that is in memory and due; `urgent`: an operator asks for it. */
export type Due = { slot: Slot; message: Message; groups: readonly Group[]; urgent: boolean };

export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #congestion = new Congestion();
  readonly #parking: Parking;
  /** Messages that have an obstacle: another node may deliver them, or this one does not know whether it may. */
  readonly #blocked = new Set<Slot>();

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
    this.#parking = new Parking({
      slots: deps.slots,
      pauseOf: deps.pauseOf,
      isReached: (key) => this.#congestion.isReached(key),
      isBusy: (key) => this.#congestion.isFull(key, WELCOME * deps.settings.current.delivery.connections),
      isAtWork: deps.isAtWork,
      call: deps.call,
      readBy: ({ id }) => monotonic(deadlineOfId(id, Date.now(), this.#times)),
    });
  }

  /** Park a slot that is due and not in memory, where its next hop is known and cannot be reached. Otherwise it has to be read. */
  takes(slot: Slot, now: number): boolean {
    return this.#parking.takes(slot, now);
  }

  /** Let go what it is time for; when to do that again. */
  gather(now: number): number {
    return this.#parking.gather(now);
  }

  /** Mail for these next hops, by their keys, may go elsewhere now: what waits for one of them to be back is read. */
  forget(isMeant: (key: string) => boolean): void {
    this.#parking.forget(isMeant);
  }

  /** Messages that had an obstacle, which are looked at again. */
  unblock(): Slot[] {
    const blocked = [...this.#blocked];
    this.#blocked.clear();
    return blocked;
  }

  isBlocked(slot: Slot): boolean {
    return this.#blocked.has(slot);
  }

  /** It has left the queue. */
  remove(slot: Slot): void {
    slot.parked = undefined;
    this.#blocked.delete(slot);
    this.#congestion.answered(slot);
    this.#deps.suspended.forget(slot);
  }

  /** Let the groups that may be tried now `start`, those of a message with an obstacle too; the others wait. */
  sift({ slot, message, groups, urgent }: Due, start: (group: Group, obstacle: string | undefined) => void): void {
    const { suspended } = this.#deps;
    slot.parked = undefined;
    suspended.forget(slot);
    const obstacle = groups.length === 0 ? undefined : this.#deps.obstacle(slot);
    if (obstacle !== undefined) this.#blocked.add(slot);
    else this.#blocked.delete(slot);
    for (const recipient of message.recipients) recipient.parked = false;
    const tried = this.#parking.isProbe(slot) ? new Set<string>() : undefined;
    for (const group of groups) {
      const { hop } = group;
      if (group.suspended !== undefined) {
        suspended.park(group.suspended, slot);
      } else if (obstacle !== undefined) {
        start(group, obstacle);
      } else if (!urgent && this.#parks(slot, message, group)) {
        // They wait for their next hop to come back.
      } else if (hop !== undefined && this.#congestion.isFull(congestionKey(hop), this.#most(hop), slot)) {
        this.#congestion.park(congestionKey(hop), slot);
        slot.forced = urgent;
        tried?.add(hop.key);
        this.paced(hop);
      } else {
        if (hop !== undefined) tried?.add(hop.key);
        start(group, undefined);
      }
    }
    this.#congestion.answered(slot);
    if (tried !== undefined) this.#parking.probeRead(slot, new Set(groups.map(({ hop }) => hop?.key)), tried);
  }

  attemptStarted(hop: NextHop): void {
    this.#congestion.attemptStarted(congestionKey(hop));
  }

  /** The destination of an attempt has a connection for it. */
  attemptOpened(hop: NextHop): void {
    this.#congestion.attemptOpened(congestionKey(hop));
    this.#opened(hop);
  }

  /** Mail may wait for its turn at a rate: what else waits for this next hop can do so as well. */
  paced(hop: NextHop): void {
    if (hop.limit !== undefined) this.#opened(hop);
  }

  /** An attempt is over. A message with several next hops is called by any of them: where one is still congested, it keeps its place. */
  attemptEnded(hop: NextHop): void {
    const waiting = this.#congestion.attemptEnded(congestionKey(hop), Math.min(this.#limit / 2, this.#rate(hop)));
    for (const slot of waiting) {
      slot.parked = undefined;
      if (slot.state === 'hold') this.#congestion.answered(slot);
      else if (this.#congestion.hasRoom(slot)) this.#deps.admit(slot);
      else this.#deps.call(slot);
    }
  }

  /** An attempt is over, and the schedule knows what became of its message. */
  attemptSettled(hop: NextHop): void {
    this.#parking.ended(hop.key);
  }

  #opened(hop: NextHop): void {
    if (this.#parking.opened(hop.key)) this.#deps.wake(performance.now());
  }

  #parks(slot: Slot, message: Message, { hop, recipients }: Group): boolean {
    if (hop === undefined || mustSettle(message, recipients, Date.now(), this.#times)) return false;
    const left = message.recipients.filter((r) => !isFinal(r.status)).length;
    if (!this.#parking.keeps(hop, slot, recipients.length === left)) return false;
    for (const { index } of recipients) {
      const recipient = message.recipients[index];
      if (recipient !== undefined) recipient.parked = true;
    }
    this.#deps.wake(this.#parking.next);
    return true;
  }

  /** Attempts that the destination may have under way right now. */
  #most(hop: NextHop): number {
    const crowded = this.#deps.loaded() >= this.#limit / 4 && !this.#congestion.isReached(congestionKey(hop));
    return Math.min(crowded ? UNREACHED : this.#limit / 2, this.#rate(hop));
  }

  #rate({ limit }: NextHop): number {
    return (limit === undefined ? undefined : this.#deps.pacer.most(limit)) ?? Number.POSITIVE_INFINITY;
  }

  get #times(): Config['queue'] {
    return this.#deps.settings.current.queue;
  }

  get #limit(): number {
    return this.#times['active-limit'];
  }
}
