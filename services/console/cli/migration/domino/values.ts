import type { Draft } from '../draft.ts';
import { type Answer, problem } from '../plan.ts';
import type { Ini } from './ini.ts';

/** What the settings of a notes.ini go into. `ini` is for settings that belong together. */
export type Target = {
  draft: Draft;
  listener: { address?: string; greeting?: string; 'address-syntax'?: 'lenient' };
  ini: Ini;
};

/** What a setting becomes; `value` as it is written. */
export type Handler = (value: string, target: Target) => Answer;

/** A setting that is one of few numbers. */
export function oneOf(answers: Readonly<Record<string, Answer | ((target: Target) => Answer)>>): Handler {
  const names = Object.keys(answers);
  return (value, target) => {
    const answer = Object.hasOwn(answers, value) ? answers[value] : undefined;
    if (answer === undefined) return problem(`"${value}" is not ${names.join(' or ')}: not taken`);
    return typeof answer === 'function' ? answer(target) : answer;
  };
}

/** A setting that is a whole number from `least` to `most`. */
export function number(
  { least, most = 1_000_000 }: { least: number; most?: number },
  take: (count: number, target: Target) => Answer,
): Handler {
  return (value, target) => {
    const count = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    if (count >= least && count <= most) return take(count, target);
    return problem(`"${value}" is not a whole number from ${least} to ${most}: not taken`);
  };
}

/** The same answer, whatever the value. */
export const always =
  (answer: Answer): Handler =>
  () =>
    answer;
