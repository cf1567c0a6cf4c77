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
  return certificates.flatMap(({ names, acme }, i) =>
    names.flatMap((name, n): Problem[] => {
      if (acme.challenge !== 'dns-01') return [];
      if (nearestZone(challengeName(name), dns.zones)?.update !== undefined) return [];
      const message = `the authority wants a TXT record at ${challengeName(name)}, and no entry of dns.zones says how to update its zone: add it there, or set challenge: http-01`;
      return [{ path: ['certificates', i, 'names', n], message }];
    }),
  );
}

/** RFC 8555 §8.3 has no proof by HTTP for every host of a domain. */
function wildcardsNeedDns({ certificates }: Config): Problem[] {
  return certificates.flatMap(({ names, acme }, i) =>
    names.flatMap((name, n): Problem[] => {
      if (acme.challenge !== 'http-01' || !name.startsWith('*.')) return [];
      const message = `${name} can be proven by DNS alone: set challenge: dns-01, or name each host`;
      return [{ path: ['certificates', i, 'names', n], message }];
    }),
  );
}

function challengesNeedNek({ 'http-challenge': section, tls }: Config): Problem[] {
  if (section === undefined || tls?.nek !== undefined) return [];
  const message = 'a listener believes what a credential-store proves with a NEK: add tls: { nek: … }';
  return [{ path: ['http-challenge'], message }];
}

/** Over NATS the listeners of other nodes may serve it. */
function challengesNeedServer({ certificates, bus, ...config }: Config): Problem[] {
  if (config['http-challenge'] !== undefined || bus.servers.length > 0) return [];
  return certificates.flatMap(({ acme }, i): Problem[] => {
    if (acme.challenge !== 'http-01') return [];
    const message = 'no port answers the authority: add http-challenge: { port: 80 }';
    return [{ path: ['certificates', i, 'acme', 'challenge'], message }];
  });
}

export const CERTIFICATE_RULES: readonly Rule[] = [
  { sections: ['certificates'], check: namesOnce },
  { sections: ['certificates', 'tls'], check: needNek },
  { sections: ['certificates', 'dns'], check: needZones },
  { sections: ['certificates'], check: wildcardsNeedDns },
  { sections: ['http-challenge', 'tls'], check: challengesNeedNek },
  { sections: ['certificates', 'http-challenge', 'bus'], check: challengesNeedServer },
];
