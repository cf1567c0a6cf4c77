import type { Problem } from '../problems/problem.ts';
import type { Config, DomainConfig, ZoneConfig } from '../schema/schema.ts';
import { nearestZone } from '../zone.ts';
import { duplicates, type Rule } from './rule.ts';

/**
 * Combinations that make no sense in the options of DKIM keys: how they get into DNS, on how many servers they are
 * kept.
 */

/**
 * RFC 6376 §3.1: parts of a selector are letters, digits and inner hyphens. DNS ignores case, the comparisons here do
 * not.
 */
const SELECTOR = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
/** RFC 1035 §2.3.4, without the root dot. */
const LONGEST_NAME = 253;

function publication({ domains, dns }: Config): Problem[] {
  return domains.flatMap((entry, i) =>
    publicationProblems(entry, dns.zones).map((p) => ({ ...p, path: ['domains', i, 'keys', ...p.path] })),
  );
}

function publicationProblems({ name, keys }: DomainConfig, zones: ZoneConfig[]): Problem[] {
  const { publish, cname, proof } = keys;
  if (proof === 'none' && publish !== undefined) {
    const message = `proof: none is for a domain that is not in DNS, but its keys are to be published (${publish}): keep one of the two`;
    return [{ path: ['proof'], message }];
  }
  if (cname !== undefined && publish !== 'cname') {
    return [{ path: ['cname'], message: 'has a meaning with publish: cname only: set it, or remove cname' }];
  }
  switch (publish) {
    case 'update':
      return zoneProblems(`_domainkey.${name}`, zones).map((message) => ({ path: ['publish'], message }));
    case 'cname':
      if (cname === undefined) {
        const message = 'cname needs the names that the CNAMEs have: add cname: { target: …, selectors: […] }';
        return [{ path: ['publish'], message }];
      }
      return [
        ...zoneProblems(`${name}.${cname.target}`, zones).map((message) => ({ path: ['cname', 'target'], message })),
        ...selectorProblems(name, cname),
      ];
    default:
      return [];
  }
}

/** Why records below `name` could not be changed: at most one sentence. */
function zoneProblems(name: string, zones: ZoneConfig[]): string[] {
  const zone = nearestZone(name, zones);
  if (zone === undefined) return [`no entry of dns.zones is the zone of ${name}: add it, with update: { … }`];
  return zone.update === undefined
    ? [`dns.zones does not say how to change ${zone.name}: add update: { … } to it`]
    : [];
}

function selectorProblems(domain: string, { target, selectors }: { target: string; selectors: string[] }): Problem[] {
  const path = (i: number): PropertyKey[] => ['cname', 'selectors', i];
  const wrong = selectors.flatMap((selector, i) => {
    if (!SELECTOR.test(selector)) {
      const message = `"${selector}" is not a selector: small letters, digits and inner hyphens, parts joined by dots`;
      return [{ path: path(i), message }];
    }
    const names = [`${selector}._domainkey.${domain}`, `${selector}.${domain}.${target}`];
    const long = names.find((name) => name.length > LONGEST_NAME);
    return long === undefined
      ? []
      : [{ path: path(i), message: `"${long}" has ${long.length} characters, a DNS name has at most ${LONGEST_NAME}` }];
  });
  return [...wrong, ...duplicates(selectors, path, 'selector')];
}

/** Rotations take turns with the selectors of the CNAMEs: each of them must be one that may sign. */
function cnameSelectors({ domains }: Config): Problem[] {
  return domains.flatMap(({ keys, signing }, i) => {
    const allowed = signing.selectors?.map((s) => s.toLowerCase());
    const silent = keys.cname?.selectors.filter((s) => allowed !== undefined && !allowed.includes(s)) ?? [];
    if (silent.length === 0) return [];
    const message = `rotations take turns with the selectors of keys.cname, but ${silent.join(', ')} could not sign: remove signing.selectors`;
    return [{ path: ['domains', i, 'signing', 'selectors'], message }];
  });
}

function replicas({ bus }: Config): Problem[] {
  return bus.replicas !== undefined && bus.servers.length === 0
    ? [{ path: ['bus', 'replicas'], message: 'there is no server to hold what is replicated: add bus.servers' }]
    : [];
}

export const KEY_RULES: readonly Rule[] = [
  { sections: ['bus'], check: replicas },
  {
    sections: ['dns'],
    check: ({ dns }) =>
      duplicates(
        dns.zones.map((z) => z.name),
        (i) => ['dns', 'zones', i, 'name'],
        'zone',
      ),
  },
  { sections: ['domains', 'dns'], check: publication },
  { sections: ['domains'], check: cnameSelectors },
];
