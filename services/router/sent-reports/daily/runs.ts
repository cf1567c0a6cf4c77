import type { ReportRuns } from '../../copies/claims.ts';
import { dayAfter } from './days.ts';

/**
 * Which router sends the reports of the cluster, and which rows are in them: one record in the claims for each kind of
 * report, changed by compare and set. Pure.
 *
 * A run sends the reports on all days up to `day`, one for each unit (days.ts), in the order of their names. It is begun
 * by the first router that finds it due. `through` is the last unit whose report is in the queue of that router. When the
 * router dies, another one goes on from there, in a new epoch of the same run; so does the same router after a restart.
 *
 * A router marks a unit with the epoch in which it gave the rows away. That epoch tells later whether they were reported:
 * they were if it came as far as the unit, except where
 *   - the unit is in `left`: no report could be made of it, the next run tries again,
 *   - the router is in `without` from this unit on: it did not answer in time, and its rows came too late, if at all.
 * So rows that were reported are never reported again, and rows that were not stay for the next run, which sends them in a
 * report of their own on that day. Only where a router dies between the two steps (its report is in its queue, and the
 * claims do not say so) is a report sent again; it has the same id then, by which its reader drops the second one.
 */

export type Epoch = ReportRuns['epochs'][number];

/** Epochs that are remembered: of what is older, every row that is still there was reported. */
const MOST_EPOCHS = 14;
/** Units of one epoch that may be left; more of them, and something is wrong with this node rather than with them. */
export const MOST_LEFT = 100;
/** After every unit: `~` sorts after all characters of a domain. */
const END = '~';

export function isOver({ through }: Epoch): boolean {
  return through === END;
}

/** Whether an epoch has reported the rows that a store gave it; undefined: this node has not heard of the epoch yet. */
export function isReported(
  runs: ReportRuns | undefined,
  given: { unit: string; epoch: number; store: string },
): boolean | undefined {
  const newest = runs?.epochs[0]?.epoch ?? 0;
  if (given.epoch > newest) return undefined;
  const epoch = runs?.epochs.find((e) => e.epoch === given.epoch);
  if (epoch === undefined) return true;
  if (given.unit > epoch.through || epoch.left.includes(given.unit)) return false;
  return !epoch.without.some(({ store, from }) => store === given.store && given.unit >= from);
}

/** A day that cannot have ended yet, by the day that is due here: of a router whose clock was wrong. Clocks differ a little. */
export function isToCome(day: string, due: string): boolean {
  return day > dayAfter(due);
}

/**
 * Begin the run of a day, or go on with one that is not over; the same object where neither is to be done. `isLive` tells
 * of another store whether its router may be working.
 */
export function begin(
  runs: ReportRuns | undefined,
  own: { store: string; node: string; day: string },
  isLive: (store: string) => boolean,
): ReportRuns {
  const last = runs?.epochs[0];
  if (runs === undefined || last === undefined) return opened(runs, { ...own, through: '' });
  if (isOver(last) || isToCome(last.day, own.day)) {
    // A run of a day to come, which others could give no rows for, does not stand for those of the days before it.
    const isDone = runs.epochs.some((e) => isOver(e) && e.day >= own.day && !isToCome(e.day, own.day));
    return isDone ? runs : opened(runs, { ...own, through: '' });
  }
  if (last.store !== own.store && isLive(last.store)) return runs;
  return opened(runs, { ...own, day: last.day, through: last.through });
}

function opened(runs: ReportRuns | undefined, first: Pick<Epoch, 'store' | 'node' | 'day' | 'through'>): ReportRuns {
  const before = runs?.epochs ?? [];
  const epoch = { ...first, epoch: (before[0]?.epoch ?? 0) + 1, left: [], without: [] };
  return { kind: 'reports', epochs: [epoch, ...before].slice(0, MOST_EPOCHS) };
}

/** Change the epoch that is under way; undefined where it is another one by now. */
export function changed(
  runs: ReportRuns | undefined,
  epoch: number,
  change: (epoch: Epoch) => Partial<Epoch>,
): ReportRuns | undefined {
  const [current, ...before] = runs?.epochs ?? [];
  if (current?.epoch !== epoch) return undefined;
  return { kind: 'reports', epochs: [{ ...current, ...change(current) }, ...before] };
}

/** The report on a unit is in the queue, or nobody wants it; `left`: it is left for the next run. */
export function advanced({ left }: Epoch, unit: string, isLeft: boolean): Partial<Epoch> {
  return { through: unit, ...(isLeft && { left: [...left, unit] }) };
}

/** The rows of a store are not in the reports from this unit on. */
export function withoutStore({ without }: Epoch, store: string, from: string): Partial<Epoch> {
  return { without: [...without, { store, from }] };
}

export function ended(): Partial<Epoch> {
  return { through: END };
}
