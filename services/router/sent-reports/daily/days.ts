/** Days of reports, which are those of UTC, and the names of units. */

export const DAY_MS = 86_400_000;

/** `2026-11-29`, in UTC. */
export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

export function dayAfter(day: string): string {
  return dayOf(Date.parse(day) + DAY_MS);
}

/** A unit is what one report is about. Its name orders the units of a run (runs.ts). */
export function unitOf(domain: string, day: string): string {
  return `${domain}!${day}`;
}

/** The domain and the day of a unit. */
export function partsOf(unit: string): { domain: string; day: string } {
  const [domain = '', day = ''] = unit.split('!');
  return { domain, day };
}

/** The seconds of a day that a report is about, the first and the last, since 1970. */
export function secondsOf(day: string): { begin: number; end: number } {
  const begin = Date.parse(day) / 1000;
  return { begin, end: begin + DAY_MS / 1000 - 1 };
}
