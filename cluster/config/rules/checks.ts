import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import type { Rule } from './rule.ts';

/** `*` in these lists would turn a check off for all. */
function everybody({ checks }: Config): Problem[] {
  const lists: [PropertyKey[], string[]][] = [
    [['checks', 'exempt'], checks.exempt],
    [['checks', 'helo', 'own'], checks.helo.own],
    [['checks', 'greylist', 'clients'], checks.greylist.clients],
    [['checks', 'greylist', 'recipients'], checks.greylist.recipients],
  ];
  return lists.flatMap(([path, entries]) =>
    entries.flatMap((entry, i) =>
      entry === '*' ? [{ path: [...path, i], message: '"*" would be everybody: turn the checks off instead' }] : [],
    ),
  );
}

function greylistTimes({ checks: { greylist } }: Config): Problem[] {
  return greylist.window > greylist.delay
    ? []
    : [
        {
          path: ['checks', 'greylist', 'window'],
          message: 'must be longer than delay: nobody could come again in time',
        },
      ];
}

export const CHECK_RULES: readonly Rule[] = [
  { sections: ['checks'], check: everybody },
  { sections: ['checks'], check: greylistTimes },
];
