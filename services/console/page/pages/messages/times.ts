/** The span of time of a search, as the address has it. */

export const SPANS = [
  ['', 'Any time'],
  ['1h', 'Last hour'],
  ['24h', 'Last 24 hours'],
  ['7d', 'Last 7 days'],
  ['between', 'Between …'],
] as const;
export type Span = (typeof SPANS)[number][0];

const BACK_MS: ReadonlyMap<string, number> = new Map([
  ['1h', 3_600_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
]);

/** ms since 1970; moments of `between` are local times. */
export function spanOf(query: URLSearchParams, now = Date.now()): { since?: number; until?: number } {
  const time = query.get('time') ?? '';
  const back = BACK_MS.get(time);
  if (back !== undefined) return { since: now - back };
  if (time !== 'between') return {};
  const at = (name: string): number => new Date(query.get(name) ?? '').getTime();
  const [since, until] = [at('begin'), at('end')];
  return { ...(since >= 0 && { since }), ...(until >= 0 && { until }) };
}
