import type { History, Overview } from '#services/console/schemas/overview.ts';

/** The figures of the overview as they grow. Pure. */

/** Moments that are kept: ten minutes of seconds. */
const MOST_MOMENTS = 600;

export type Known = { now: Overview; history: History };

const NUMBERS = ['accepted', 'refused', 'putOff', 'delivered', 'sent', 'deferred', 'failed'] as const;

/** Moments may come a little late, beside one that was read; one that is earlier than that follows a clock that was set back. */
export const GAP_MS = 5000;

/** With a later moment; one that comes late changes nothing. */
export function extended({ now: before, history }: Known, now: Overview): Known {
  if (now.at <= before.at && before.at - now.at < GAP_MS) return { now: before, history };
  const { total } = now;
  const kept = now.at > before.at ? MOST_MOMENTS - 1 : 0;
  const add = <T>(column: readonly T[], value: T): T[] => [...column.slice(Math.max(0, column.length - kept)), value];
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

/** What a share is a share of. */
const WHOLE = { signed: 'delivered', encrypted: 'sent' } as const;

/** The share of the last `span` ms; undefined where there was no such mail. */
export function recentShare(history: History, name: keyof typeof WHOLE, span: number): number | undefined {
  const from = (history.at.at(-1) ?? 0) - span;
  let [part, whole] = [0, 0];
  for (const [i, at] of history.at.entries()) {
    const [share, all] = [history[name][i], history[WHOLE[name]][i]];
    if (at < from || share === null || share === undefined || !all) continue;
    part += share * all;
    whole += all;
  }
  return whole === 0 ? undefined : part / whole;
}
