import { shorten, table } from '../table.ts';
import type { AccountLine, Plan, Verdict } from './plan.ts';

/** The account of an import, as people read it. */

const WORDS: Record<Verdict, string> = {
  taken: 'taken over',
  default: 'the default',
  none: 'no counterpart',
  'to-do': 'to do',
  problem: 'problem',
};

/** Of a value with more than this, the rest is in the file that it came from, and in --json. */
const WIDEST_SETTING = 100;

export function accountText({ account, advice }: Plan): string {
  const rows = account.map((line) => [line.place, shorten(line.setting, WIDEST_SETTING), resultText(line)]);
  return [
    account.length === 0 ? 'no setting is about mail' : table(['PLACE', 'SETTING', 'RESULT'], rows),
    countText(account),
    ...advice,
  ].join('\n\n');
}

/** How many settings came to what. */
export function counts(account: readonly AccountLine[]): Record<Verdict, number> {
  const all: Record<Verdict, number> = { taken: 0, default: 0, none: 0, 'to-do': 0, problem: 0 };
  for (const { verdict } of account) all[verdict]++;
  return all;
}

function resultText({ verdict, text, options = [] }: AccountLine): string {
  const into = options.length === 0 ? '' : ` (${options.join(', ')})`;
  return `${WORDS[verdict]}${into}: ${text}`;
}

function countText(account: readonly AccountLine[]): string {
  const all = Object.entries(counts(account)) as [Verdict, number][];
  return all.map(([verdict, count]) => `${WORDS[verdict]}: ${count}`).join(', ');
}
