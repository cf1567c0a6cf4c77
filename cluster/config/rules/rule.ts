import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';

/**
 * Combinations that make no sense, though every value is right by itself. Each rule names the sections that it
 * reads and is asked when all of them are valid, so that one report holds every problem of a file.
 */
export type Rule = { sections: readonly (keyof Config)[]; check(config: Config): Problem[] };

/** A problem for every name that is in the list already; `path` is that of an entry. */
export function duplicates(names: string[], path: (i: number) => PropertyKey[], what: string): Problem[] {
  return names.flatMap((name, i) => {
    const first = names.indexOf(name);
    return first === i
      ? []
      : [{ path: path(i), message: `${what} "${name}" stands twice (entry ${first} has it too)` }];
  });
}
