/**
 * Durations, sizes and rates as people write them in the configuration: `90s`, `4h`, `5d`; `512KB`, `25MB`; `50/s`,
 * `10/15m`.
 */

const DURATION: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const KB = 1024;
const MB = 1024 ** 2;
const GB = 1024 ** 3;
const SIZE: Record<string, number> = { B: 1, KB, MB, GB };

function parse(text: string, units: Record<string, number>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]+)$/.exec(text.trim());
  const factor = match?.[2] === undefined ? undefined : units[match[2]];
  return factor === undefined ? undefined : Math.round(Number(match?.[1]) * factor);
}

/** Milliseconds, or undefined when the text is not a duration. */
export function parseDuration(text: string): number | undefined {
  return parse(text, DURATION);
}

/** Bytes, or undefined when the text is not a size. */
export function parseSize(text: string): number | undefined {
  return parse(text, SIZE);
}

/** A duration for people: `3d 4h`, `5m`, `12s`; the two largest units. */
export function formatDuration(ms: number): string {
  const parts: string[] = [];
  let rest = Math.max(0, Math.round(ms / 1000));
  for (const [unit, seconds] of [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const count = Math.floor(rest / seconds);
    rest -= count * seconds;
    if (count > 0 && parts.length < 2) parts.push(`${count}${unit}`);
  }
  return parts.length === 0 ? '0s' : parts.join(' ');
}

/** A size for people: `10.2 KB`. */
export function formatSize(bytes: number): string {
  if (bytes < KB) return `${bytes} B`;
  if (bytes < MB) return `${(bytes / KB).toFixed(1)} KB`;
  if (bytes < GB) return `${(bytes / MB).toFixed(1)} MB`;
  return `${(bytes / GB).toFixed(1)} GB`;
}

/** A moment for people, in local time: `2026-11-22 15:04:05`. */
export function formatTime(ms: number): string {
  const date = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return date.toISOString().slice(0, 19).replace('T', ' ');
}

/** A number of things in a time: `50/s`, `100/m`, `10/15m`, `1000/h`, `5000/d`. */
export type Rate = {
  count: number;
  /** Milliseconds. */
  per: number;
};

/** The rate, or undefined when the text is none or allows nothing. */
export function parseRate(text: string): Rate | undefined {
  const [, digits, units = '', unit = ''] = /^\s*(\d{1,9})\s*\/\s*(\d{0,3})\s*([smhd])\s*$/.exec(text) ?? [];
  const per = (DURATION[unit] ?? 0) * (units === '' ? 1 : Number(units));
  const count = Number(digits);
  return count > 0 && per > 0 ? { count, per } : undefined;
}

export function formatRate({ count, per }: Rate): string {
  const unit = ['d', 'h', 'm', 's'].find((key) => per % (DURATION[key] ?? 1) === 0) ?? 'ms';
  const units = per / (DURATION[unit] ?? 1);
  return `${count}/${units === 1 ? '' : units}${unit}`;
}

export function perSecond({ count, per }: Rate): number {
  return (count * 1000) / per;
}
