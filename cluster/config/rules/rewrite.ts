import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import type { Rule } from './rule.ts';

function canonicalMaps({ rewrite }: Config): Problem[] {
  return rewrite.canonical.flatMap(({ map, directory }, i) =>
    directory === undefined && Object.keys(map).length === 0
      ? [
          {
            path: ['rewrite', 'canonical', i],
            message: 'has no addresses: give it a map, or the name of one in directory',
          },
        ]
      : [],
  );
}

function domainAliases({ rewrite, domains }: Config): Problem[] {
  const local = new Set(domains.filter((d) => d.local).map((d) => d.name));
  return Object.entries(rewrite['domain-aliases']).flatMap(([alias, target]): Problem[] => {
    const path = ['rewrite', 'domain-aliases', alias];
    if (local.has(alias)) {
      return [{ path, message: `${alias} is a local domain itself: remove local: true from its entry in domains` }];
    }
    return local.has(target)
      ? []
      : [{ path, message: `${target} is not a local domain: add { name: ${target}, local: true } to domains` }];
  });
}

function srsDomain({ rewrite }: Config): Problem[] {
  const { srs, 'domain-aliases': aliases } = rewrite;
  if (srs === undefined || !Object.hasOwn(aliases, srs.domain)) return [];
  const message = `${srs.domain} is a domain alias: its addresses are those of ${aliases[srs.domain]}`;
  return [{ path: ['rewrite', 'srs', 'domain'], message }];
}

function srsNeedsNek({ rewrite, credentials, bus }: Config): Problem[] {
  // Over NATS the policy service may run elsewhere; it says itself when its key is missing.
  if (rewrite.srs === undefined || credentials.nek !== undefined || bus.servers.length > 0) return [];
  return [
    { path: ['rewrite', 'srs'], message: 'the key of these addresses comes from the NEK: add credentials: { nek: … }' },
  ];
}

export const REWRITE_RULES: readonly Rule[] = [
  { sections: ['rewrite'], check: canonicalMaps },
  { sections: ['rewrite'], check: srsDomain },
  { sections: ['rewrite', 'domains'], check: domainAliases },
  { sections: ['rewrite', 'credentials', 'bus'], check: srsNeedsNek },
];
