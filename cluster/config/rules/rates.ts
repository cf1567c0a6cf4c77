import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import { duplicates, type Rule } from './rule.ts';

/** Combinations that make no sense in the limits of `rates`. */

function twice({ rates }: Config): Problem[] {
  const list = (name: keyof Config['rates'], key: string, names: string[], what: string): Problem[] =>
    duplicates(names, (i) => ['rates', name, i, key], what);
  return [
    ...list(
      'destinations',
      'to',
      rates.destinations.map((d) => d.to),
      'limit to',
    ),
    ...list(
      'users',
      'name',
      rates.users.map((u) => userKey(u.name)),
      'limit of user',
    ),
    ...list(
      'senders',
      'from',
      rates.senders.map((s) => s.from),
      'limit of sender',
    ),
  ];
}

function limitsNothing({ rates }: Config): Problem[] {
  const empty = (name: keyof Config['rates'], options: string[], entries: Record<string, unknown>[]): Problem[] =>
    entries.flatMap((entry, i) =>
      options.every((option) => entry[option] === undefined)
        ? [{ path: ['rates', name, i], message: `limits nothing: add ${options.join(' or ')}` }]
        : [],
    );
  return [
    ...empty('destinations', ['messages', 'connections'], rates.destinations),
    ...empty('users', ['messages', 'recipients'], rates.users),
    ...empty('senders', ['messages', 'recipients'], rates.senders),
  ];
}

/** What two spellings of one user's name have in common: names of users are compared without case. */
function userKey(name: string): string {
  return name.normalize('NFC').toLowerCase();
}

export const RATE_RULES: readonly Rule[] = [
  { sections: ['rates'], check: twice },
  { sections: ['rates'], check: limitsNothing },
];
