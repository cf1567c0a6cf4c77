import type { History, Overview } from '#services/console/schemas/overview.ts';

/** The figures of the overview as they grow. Pure. */

/** Moments that are kept: ten minutes of seconds. */
const MOST_MOMENTS = 600;

export type Known = { now: Overview; history: History };

const NUMBERS = ['accepted', 'refused', 'putOff', 'delivered', 'deferred', 'failed'] as const;

/** With a later moment; one that is not later changes nothing. */
export function extended({ now: before, history }: Known, now: Overview): Known {
  if (now.at <= before.at) return { now: before, history };
  const { total } = now;
  const add = <T>(column: readonly T[], value: T): T[] => [...column.slice(1 - MOST_MOMENTS), value];
  const rates = NUMBERS.map((name) => [name, add(history[name], total?.rates[name] ?? null)]);
  return {
    now,
    history: {
      ...(Object.fromEntries(rates) as Pick<History, (typeof NUMBERS)[number]>),
      at: add(history.at, now.at),
      signed: add(history.signed, total?.signed ?? null),
      encrypted: add(history.encrypted, total?.encrypted ?? null),
    },
  };
}

/** The share of the last `span` ms in which mail was delivered; undefined where none was. */
export function recentShare(history: History, name: 'signed' | 'encrypted', span: number): number | undefined {
  const from = (history.at.at(-1) ?? 0) - span;
  let [sum, all] = [0, 0];
  for (const [i, at] of history.at.entries()) {
    const [share, delivered] = [history[name][i], history.delivered[i]];
    if (at < from || share === null || share === undefined || !delivered) continue;
    sum += share * delivered;
    all += delivered;
  }
  return all === 0 ? undefined : sum / all;
}
