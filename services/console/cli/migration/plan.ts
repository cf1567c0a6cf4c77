import type { Draft } from './draft.ts';

/**
 * What is made of the configuration of another mail server: a sealpost.yaml, the files that it names, and an account of
 * every setting. Pure data; `run.ts` asks, writes and reports.
 */

/**
 * What became of a setting. `taken`: an option has it. `default`: Sealpost does it anyway. `none`: it has no counterpart.
 * `to-do`: the administrator must do something, which the text says. `problem`: it was wanted, and could not be taken over.
 */
export type Verdict = 'taken' | 'default' | 'none' | 'to-do' | 'problem';

/** `text`: what became of it and why; `options`: those that have it now. */
export type Answer = { verdict: Verdict; text: string; options?: readonly string[] };

/** `place`: `main.cf:12`, or where a setting stands that is in no file. `setting`: as it is written there. */
export type AccountLine = Answer & { place: string; setting: string };

/** A file that the configuration names, by its path beside it. */
export type PlannedFile = { path: string; text: string };

export type Plan = {
  account: AccountLine[];
  draft: Draft;
  files: PlannedFile[];
  /** Settings that would let anybody relay; taken over only where that was accepted. */
  openings: string[];
  /** What to do next, a paragraph each. */
  advice: string[];
};

/** How to plan: whether a setting that opens the relay is taken over. */
export type Choice = { openRelay: boolean };

export const taken = (text: string, ...options: string[]): Answer => ({ verdict: 'taken', text, options });
export const already = (text: string): Answer => ({ verdict: 'default', text });
export const none = (text: string): Answer => ({ verdict: 'none', text });
export const toDo = (text: string): Answer => ({ verdict: 'to-do', text });
export const problem = (text: string): Answer => ({ verdict: 'problem', text });
