import { KEY_TYPES, type KeyAlgorithm, keyTypeOf } from './algorithms.ts';

/**
 * A selector named after its day in UTC: `s20261123`, for Ed25519 `e20261123`, the next ones of the day `s20261123b` …,
 * the first that is not in `taken`. `now`: ms since 1970.
 */
export function datedSelector(algorithm: KeyAlgorithm, now: number, taken: ReadonlySet<string>): string {
  const date = new Date(now).toISOString().slice(0, 10).replaceAll('-', '');
  const name = `${KEY_TYPES[keyTypeOf(algorithm)].selectorLetter}${date}`;
  let count = 1;
  while (taken.has(name + suffix(count))) count++;
  return name + suffix(count);
}

/** Nothing for the first, then b … z, aa, ab … */
function suffix(count: number): string {
  let text = '';
  for (let rest = count === 1 ? 0 : count; rest > 0; rest = Math.floor((rest - 1) / 26)) {
    text = String.fromCharCode(97 + ((rest - 1) % 26)) + text;
  }
  return text;
}
