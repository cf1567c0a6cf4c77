/** Numbers and times as people read them. Pure. */

/** `1,234,567` */
export const countText = (n: number): string => n.toLocaleString('en');

/** `1 message`, `2,000 messages` */
export const plural = (n: number, one: string, many = `${one}s`): string => `${countText(n)} ${n === 1 ? one : many}`;

/** Of something per second: `0`, `0.5`, `412` */
export function rateText(rate: number): string {
  if (rate === 0) return '0';
  return rate < 10 ? Math.max(0.1, rate).toFixed(1) : countText(Math.round(rate));
}

/** `99.9 %`; 100 % only where it is all, `–` where there is nothing to take a share of. */
export function shareText(share: number | undefined): string {
  if (share === undefined) return '–';
  return share === 1 ? '100 %' : `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

/** `812 B`, `4.2 KiB`, `12 MiB` */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** step;
  return `${step === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}

const STEPS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
] as const;

/** `340 ms`, `12 s`, `5 min`, `3 h`, `2 d`: the largest unit alone, rounded down. */
export function durationText(ms: number): string {
  const whole = Math.max(0, ms);
  const step = STEPS.find(([size]) => whole >= size);
  if (step !== undefined) return `${Math.floor(whole / step[0])} ${step[1]}`;
  return whole < 1000 ? `${Math.round(whole)} ms` : `${Math.floor(whole / 1000)} s`;
}

/** `now`, `12 s ago`, `in 5 min`. Both in ms since 1970. */
export function relativeText(at: number, now: number): string {
  const past = now - at;
  if (Math.abs(past) < 1000) return 'now';
  return past > 0 ? `${durationText(past)} ago` : `in ${durationText(-past)}`;
}

/** `2026-11-30 19:54:17` in the time zone of the reader. */
export const momentText = (at: number): string => new Date(at).toLocaleString('sv');

/** `a`, `a and b`, `a, b and c` */
export function listText(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? '') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
