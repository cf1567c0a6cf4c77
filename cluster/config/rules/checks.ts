import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import type { Rule } from './rule.ts';

/** `*` in these lists would turn every check off, or be every name in EHLO. */
function everybody({ checks }: Config): Problem[] {
  const lists: [PropertyKey[], string[]][] = [
    [['checks', 'exempt'], checks.exempt],
    [['checks', 'helo', 'own'], checks.helo.own],
  ];
  return lists.flatMap(([path, entries]) =>
    entries.flatMap((entry, i) =>
      entry === '*' ? [{ path: [...path, i], message: '"*" would be everybody: turn the checks off instead' }] : [],
    ),
  );
}

export const CHECK_RULES: readonly Rule[] = [{ sections: ['checks'], check: everybody }];
