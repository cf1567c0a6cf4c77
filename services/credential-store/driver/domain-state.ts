import { type Timer, TransitionWaits } from './waits.ts';

/** What this process knows of a domain beyond its record; times are those of the timer. */
export type DomainState = {
  /** The term in which this process drives it. */
  term?: number;
  /** Since when a transition has been due that no live node makes. */
  undrivenSince?: number;
  /** Nothing can be written before this time. */
  pausedUntil: number;
  waits: TransitionWaits;
};

export const newState = (timer: Timer): DomainState => ({ pausedUntil: 0, waits: new TransitionWaits(timer) });
