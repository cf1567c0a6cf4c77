import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import { nearestZone } from '../zone.ts';
import { duplicates, type Rule } from './rule.ts';

/** Rules of the certificates that the cluster orders. */

/** Where the authority looks for the proof that a name is ours (RFC 8555 §8.4); the same for a wildcard. */
export const challengeName = (name: string): string => `_acme-challenge.${name.replace(/^\*\./, '')}`;

function namesOnce({ certificates }: Config): Problem[] {
  return duplicates(
    certificates.map(({ name }) => name),
    (i) => ['certificates', i, 'name'],
    'certificate',
  );
}

function needNek({ certificates, tls }: Config): Problem[] {
  if (certificates.length === 0 || tls?.nek !== undefined) return [];
  const message = 'the private key of an ordered certificate is stored wrapped by a NEK: add tls: { nek: … }';
  return [{ path: ['certificates', 0], message }];
}

function needZones({ certificates, dns }: Config): Problem[] {
  return certificates.flatMap(({ names }, i) =>
    names.flatMap((name, n): Problem[] => {
      if (nearestZone(challengeName(name), dns.zones)?.update !== undefined) return [];
      const message = `the authority wants a TXT record at ${challengeName(name)}, and no entry of dns.zones says how to update its zone`;
      return [{ path: ['certificates', i, 'names', n], message }];
    }),
  );
}

export const CERTIFICATE_RULES: readonly Rule[] = [
  { sections: ['certificates'], check: namesOnce },
  { sections: ['certificates', 'tls'], check: needNek },
  { sections: ['certificates', 'dns'], check: needZones },
];
