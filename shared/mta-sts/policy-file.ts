import { printable } from '../text.ts';

/** The policy of a domain as its web server has it (RFC 8461 §3.2). */

export type PolicyFile = {
  mode: 'enforce' | 'testing' | 'none';
  /** Patterns, in lower case, in the order of the file. */
  mx: readonly string[];
  /** How long it may be kept, in seconds. */
  maxAge: number;
  lines: readonly string[];
};

/** A year: longer is not allowed. */
const LONGEST_AGE_S = 31_557_600;

/** Each is kept and compared with every host; no domain needs so many. */
const MOST_MX = 100;

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/;
const TEXT = /^[^\x00-\x1f\x7f]+$/;
const AGE = /^[0-9]{1,10}$/;
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
/** A-labels only, and `*` in the place of the leftmost label. */
const PATTERN = new RegExp(`^(?:\\*\\.)?${LABEL}(?:\\.${LABEL})*$`);
const LONGEST_NAME = 253;

/** What a policy says, or why it is not one. Blank lines do not matter, though the grammar has none. */
export function parsePolicyFile(text: string): PolicyFile | { problem: string } {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  const fields = new Map<string, string>();
  const mx: string[] = [];
  for (const line of lines) {
    const colon = line.indexOf(':');
    const [name, value] = [line.slice(0, Math.max(0, colon)), line.slice(colon + 1).trim()];
    if (!NAME.test(name) || !TEXT.test(value)) return { problem: `not a line of a policy: "${printable(line, 100)}"` };
    if (name === 'mx') mx.push(value.toLowerCase().replace(/\.$/, ''));
    // Of fields of the same name the first counts, all but `mx`.
    else if (!fields.has(name)) fields.set(name, value);
  }
  const [version, mode, age] = [fields.get('version'), fields.get('mode'), fields.get('max_age')];
  if (version !== 'STSv1') return { problem: 'version is not STSv1' };
  if (mode !== 'enforce' && mode !== 'testing' && mode !== 'none') {
    return { problem: 'mode is not enforce, testing or none' };
  }
  if (age === undefined || !AGE.test(age)) return { problem: 'max_age is not a number of seconds' };
  const wrong = mx.find((pattern) => !PATTERN.test(pattern) || pattern.length > LONGEST_NAME);
  if (wrong !== undefined) return { problem: `mx is not a host name: "${printable(wrong, 100)}"` };
  if (mx.length > MOST_MX) return { problem: `it has ${mx.length} mx, and at most ${MOST_MX} are allowed` };
  if (mx.length === 0 && mode !== 'none') return { problem: `mode is ${mode}, and there is no mx` };
  return { mode, mx, maxAge: Math.min(Number(age), LONGEST_AGE_S), lines };
}
