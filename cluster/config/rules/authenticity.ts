import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import { duplicates, type Rule } from './rule.ts';

/** `*` in these lists would trust all. */
function everybody({ authenticity: { spf, dmarc } }: Config): Problem[] {
  const lists: [path: PropertyKey[], entries: string[], meant: string][] = [
    [['spf', 'exempt'], spf.exempt, 'nobody would be asked about: turn authenticity.check off instead'],
    [
      ['dmarc', 'mailing-lists'],
      dmarc['mailing-lists'],
      'every failure would be excused: set dmarc.enforce: false instead',
    ],
    [['dmarc', 'arc-sealers'], dmarc['arc-sealers'], 'everybody can seal: name the domains that you trust'],
  ];
  return lists.flatMap(([path, entries, meant]) =>
    entries.flatMap((entry, i) =>
      entry === '*' ? [{ path: ['authenticity', ...path, i], message: `"*": ${meant}` }] : [],
    ),
  );
}

export const AUTHENTICITY_RULES: readonly Rule[] = [
  { sections: ['authenticity'], check: everybody },
  {
    sections: ['authenticity'],
    check: ({ authenticity }) =>
      duplicates(
        authenticity.dmarc.overrides.map((entry) => entry.domain),
        (i) => ['authenticity', 'dmarc', 'overrides', i, 'domain'],
        'override for',
      ),
  },
];
