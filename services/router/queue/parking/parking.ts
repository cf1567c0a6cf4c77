import { Fifo, inTurns } from '../../delivery/fair-queue.ts';
import type { NextHop, Pause } from '../../delivery/job.ts';
import { Heap, type HeapItem } from '../../store/heap.ts';
import type { Slot, Slots } from '../../store/slots.ts';

/**
 * Keeps the mail for a next hop that cannot be reached out of the way, until it can: what is due for it is neither read nor
 * written, and no attempt at it is counted. One message at a time finds out whether the next hop is back, the others wait for
 * what it finds.
 *
 * A next hop is
 *   open      it has no entry here: mail goes its way. The first state.
 *             → probing, when mail that it put off before is due, and no attempt has a connection to it: so that after a
 *             start, and after hours, one message goes first. → closed, when it backs off and mail for it is due.
 *   closed    it backs off (delivery/backoff/). What is due for it is parked. The time is over → probing with the first one
 *             that was parked; → open, where there is none.
 *   probing   one message is on its way. What else is due is parked. It finds a connection → opened; its attempt fails and
 *             the next hop backs off → closed; it is tried nowhere (held, removed, suspended) → probing with the next one.
 *   opened    what was parked goes: its senders in turns, two for each attempt that ends, and a few more with each second in
 *             which none did. So a host that answers and then takes nothing costs a few attempts. It backs off again →
 *             closed; nothing is parked any more → open.
 *
 * What is parked keeps its place in the schedule, by the time at which it must be read whatever becomes of its next hop:
 * when its sender is told that it is late, and when it expires (deadlines.ts). What an operator asks for is not parked.
 *
 * Which next hop a message waits for is known without reading it where that one put off all that is left of it (`Slot.hop`).
 * A message for several next hops is read when it is due for one of them, waits here for all of them that back off, and goes
 * when any of them comes back.
 *
 * When routes change, nobody knows without reading it where mail goes now: what is parked for the next hops that this concerns
 * is read, some of it at a time (changed-ways.ts), and so is what waits for a next hop of which the first message goes
 * elsewhere. When the wall clock steps, everything is.
 */

/** How soon to look whether a probe is still on its way, and whether what was parked goes on. */
const LOOK_MS = 1000;
/** Handed on for each attempt that ends: more than one, so that the destination never runs dry. */
const HANDED_ON = 2;
/** Handed on at a time, where nothing says how much is welcome, and where mail is only read again. */
const MOST = 2000;
const READ_AGAIN_MS = 50;
/** So much is a step of the wall clock. */
const STEP_MS = 30_000;

export type ParkingDeps = {
  slots: Slots;
  pauseOf: (hop: NextHop | string) => Pause | undefined;
  /** Whether an attempt has a connection to it. */
  isReached: (key: string) => boolean;
  /** Whether as many attempts at it are under way as it has a use for. */
  isBusy: (key: string) => boolean;
  /** Whether a message is in memory, or on its way there. */
  isAtWork: (slot: Slot) => boolean;
  /** It is its turn. */
  call: (slot: Slot) => void;
  /** When a message must be read at the latest, by the monotonic clock. */
  readBy: (slot: Slot) => number;
};

type Place = HeapItem & {
  readonly key: string;
  readonly number: number;
  phase: 'closed' | 'probing' | 'opened';
  probe: Slot | undefined;
  /** Mail for this next hop alone. Some of it has left meanwhile: what waits still has the number of the next hop. */
  parked: Fifo<Slot>;
  /** Mail that waits for others as well. */
  readonly shared: Set<Slot>;
  burst: number;
};

export class Parking {
  readonly #deps: ParkingDeps;
  readonly #places = new Map<string, Place>();
  /** When each place is to be looked at next. */
  readonly #schedule = new Heap<Place>();
  readonly #probes = new Map<Slot, Place>();
  /** The wall clock, as seen from the monotonic one. */
  #wall = Date.now() - performance.now();
  /** To be read, because nobody knows where it goes now. */
  #again = new Fifo<Slot>();

  constructor(deps: ParkingDeps) {
    this.#deps = deps;
  }

  /** Next hops that are not open. */
  get size(): number {
    return this.#places.size;
  }

  get next(): number {
    return this.#schedule.first;
  }

  /** Park a slot that is due, where its next hop is known and does not take it now. Otherwise it has to be read. */
  takes(slot: Slot, now: number): boolean {
    const { slots, readBy } = this.#deps;
    const key = slot.hop > 0 && !slot.forced ? slots.hops.keyOf(slot.hop) : undefined;
    if (key !== undefined && this.#isShut(key, slot, now)) {
      const due = readBy(slot);
      if (due > now) {
        slots.park(slot);
        slots.move(slot, 'deferred');
        slots.schedule.set(slot, due);
        this.#places.get(key)?.parked.push(slot);
        return true;
      }
    }
    slots.setHop(slot, '');
    return false;
  }

  /**
   * Park a slot that was read, where a next hop of its mail does not take it now; `alone`: nothing else is left of it.
   * Whoever calls says when it is due.
   */
  keeps(hop: NextHop, slot: Slot, alone: boolean): boolean {
    const { slots, pauseOf } = this.#deps;
    const isPaused = pauseOf(hop) !== undefined;
    const known = this.#places.get(hop.key);
    if (!isPaused && (known?.phase !== 'probing' || known.probe === slot)) return false;
    slots.setHop(slot, hop.key);
    if (slot.hop === 0) return false;
    slots.park(slot);
    const place = known ?? this.#begin(hop.key, slot.hop, 'closed');
    if (isPaused) this.#close(place);
    if (alone) place.parked.push(slot);
    else place.shared.add(slot);
    return true;
  }

  /** Whether it is on its way to find out whether a next hop is back. */
  readonly isProbe = (slot: Slot): boolean => this.#probes.has(slot);

  /** One was read: the keys of the next hops that it is due for, and of those at which it is tried. */
  probeRead(slot: Slot, keys: ReadonlySet<string | undefined>, tried: ReadonlySet<string>): void {
    const place = this.#probes.get(slot);
    if (place === undefined) return;
    if (!keys.has(place.key)) this.#scatter(place);
    else if (!tried.has(place.key)) this.#next(place, performance.now());
  }

  /** An attempt at a next hop has a connection, or waits for its turn at a rate: what else waits can do so as well. Whether some does. */
  opened(key: string): boolean {
    const place = this.#places.get(key);
    if (place === undefined || place.phase === 'opened' || this.#deps.pauseOf(key) !== undefined) return false;
    this.#endProbe(place);
    place.phase = 'opened';
    place.burst = HANDED_ON;
    place.parked = inTurns(place.parked, ({ sender }) => sender);
    this.#release(place, HANDED_ON);
    return true;
  }

  /** An attempt at a next hop has ended. */
  ended(key: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    if (this.#deps.pauseOf(key) !== undefined) this.#close(place);
    else if (place.phase !== 'opened') this.opened(key);
    else this.#release(place, HANDED_ON);
  }

  /** Let go what it is time for; when to do that again. */
  gather(now: number): number {
    const wall = Date.now() - now;
    if (Math.abs(wall - this.#wall) > STEP_MS) {
      // The times by which mail must be read are of the wall clock.
      this.#wall = wall;
      for (const place of [...this.#places.values()]) this.#scatter(place);
    }
    for (let place = this.#schedule.peek(); this.#schedule.first <= now; place = this.#schedule.peek())
      if (place !== undefined) this.#look(place, now);
    for (let n = 0; n < MOST; n++) {
      const slot = this.#again.shift();
      if (slot === undefined) break;
      if (slot.hop < 0 && this.#isWaiting(slot)) this.#call(slot);
    }
    return this.#again.length > 0 ? Math.min(this.#schedule.first, now + READ_AGAIN_MS) : this.#schedule.first;
  }

  /** Mail for these next hops, by their keys, may go elsewhere now: which of it does is not known without reading it. */
  forget(isMeant: (key: string) => boolean): void {
    const { slots } = this.#deps;
    for (const place of [...this.#places.values()]) if (isMeant(place.key)) this.#scatter(place);
    for (const slot of slots.all())
      if (slot.hop > 0 && isMeant(slots.hops.keyOf(slot.hop) ?? '')) slots.setHop(slot, '');
  }

  #isShut(key: string, slot: Slot, now: number): boolean {
    const known = this.#places.get(key);
    if (known !== undefined) return known.phase !== 'opened' && known.probe !== slot;
    const { pauseOf, isReached } = this.#deps;
    if (pauseOf(key) !== undefined) {
      this.#close(this.#begin(key, slot.hop, 'closed'));
      return true;
    }
    if (!isReached(key)) this.#probe(this.#begin(key, slot.hop, 'probing'), slot, now);
    return false;
  }

  #begin(key: string, hop: number, phase: Place['phase']): Place {
    const place: Place = {
      ...{ at: -1, key, number: Math.abs(hop), phase, probe: undefined },
      ...{ parked: new Fifo<Slot>(), shared: new Set<Slot>(), burst: HANDED_ON },
    };
    // The number is not another's as long as it is compared with.
    this.#deps.slots.hops.use(key);
    this.#places.set(key, place);
    return place;
  }

  #close(place: Place): void {
    this.#endProbe(place);
    place.phase = 'closed';
    this.#schedule.set(place, this.#deps.pauseOf(place.key)?.until ?? performance.now());
  }

  #probe(place: Place, slot: Slot, now: number): void {
    this.#endProbe(place);
    place.phase = 'probing';
    place.probe = slot;
    this.#probes.set(slot, place);
    this.#schedule.set(place, now + LOOK_MS);
  }

  #endProbe(place: Place): void {
    if (place.probe !== undefined) this.#probes.delete(place.probe);
    place.probe = undefined;
  }

  #look(place: Place, now: number): void {
    const { pauseOf, isAtWork } = this.#deps;
    const { probe } = place;
    if (place.phase === 'opened') {
      place.burst = Math.min(place.burst * 2, MOST);
      this.#release(place, place.burst);
    } else if (pauseOf(place.key) !== undefined) {
      this.#close(place);
    } else if (probe !== undefined && isAtWork(probe)) {
      this.#schedule.set(place, now + LOOK_MS);
    } else {
      this.#next(place, now);
    }
  }

  #next(place: Place, now: number): void {
    const slot = this.#take(place);
    if (slot === undefined) this.#end(place);
    else {
      this.#probe(place, slot, now);
      this.#call(slot);
    }
  }

  #release(place: Place, count: number): void {
    for (let n = 0; n < count && !this.#deps.isBusy(place.key); n++) {
      const slot = this.#take(place);
      if (slot === undefined) {
        this.#end(place);
        return;
      }
      this.#call(slot);
    }
    this.#schedule.set(place, performance.now() + LOOK_MS);
  }

  #take(place: Place): Slot | undefined {
    for (let slot = place.parked.shift(); slot !== undefined; slot = place.parked.shift())
      if (slot.hop === -place.number && this.#isWaiting(slot)) return slot;
    for (const slot of place.shared) {
      place.shared.delete(slot);
      if (slot.hop < 0 && this.#isWaiting(slot)) return slot;
    }
    return undefined;
  }

  #call(slot: Slot): void {
    this.#deps.slots.setHop(slot, '');
    this.#deps.call(slot);
  }

  #isWaiting(slot: Slot): boolean {
    return this.#deps.slots.has(slot) && slot.state !== 'hold';
  }

  /** All of them are read again: until their turn comes they count as parked, so that none is read twice. */
  #scatter(place: Place): void {
    for (let slot = this.#take(place); slot !== undefined; slot = this.#take(place)) this.#again.push(slot);
    this.#end(place);
  }

  #end(place: Place): void {
    this.#endProbe(place);
    this.#places.delete(place.key);
    this.#schedule.delete(place);
    this.#deps.slots.hops.drop(place.number);
  }
}
