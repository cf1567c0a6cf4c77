/** Sizes and durations as sealpost.yaml has them. */

/** `10MB`, in the largest unit that is exact. */
export const sizeText = (bytes: number): string =>
  bytes % 1024 ** 2 === 0 ? `${bytes / 1024 ** 2}MB` : bytes % 1024 === 0 ? `${bytes / 1024}KB` : `${bytes}B`;

/** `90s`, `4h`, in the largest unit that is exact; `ms` are rounded to seconds. */
export const durationText = (ms: number): string => {
  for (const [unit, length] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
  ] as const) {
    if (ms > 0 && ms % length === 0) return `${ms / length}${unit}`;
  }
  return `${Math.round(ms / 1000)}s`;
};
