/** A number of things in a time: `50/s`, `100/m`, `1000/h`, `5000/d`. */
export type Rate = {
  count: number;
  /** Milliseconds. */
  per: number;
};

const PER: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The rate, or undefined when the text is none or allows nothing. */
export function parseRate(text: string): Rate | undefined {
  const [, digits, unit = ''] = /^\s*(\d{1,9})\s*\/\s*([smhd])\s*$/.exec(text) ?? [];
  const per = PER[unit];
  const count = Number(digits);
  return per === undefined || !(count > 0) ? undefined : { count, per };
}

export function formatRate({ count, per }: Rate): string {
  const unit = Object.keys(PER).find((key) => PER[key] === per);
  return unit === undefined ? `${count} in ${per} ms` : `${count}/${unit}`;
}

export function perSecond({ count, per }: Rate): number {
  return (count * 1000) / per;
}
