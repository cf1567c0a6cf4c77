import { networkInterfaces } from 'node:os';
import { parseIp } from '#shared/address/ip-address.ts';
import { parseServer } from '#shared/dns/server.ts';
import type { Problem } from '../problems/problem.ts';
import type { Config } from '../schema/schema.ts';
import { duplicates, type Rule } from './rule.ts';

/** Where nobody else stands on the way: this machine, or the network that it is in. */
const NEAR = new Set(['loopback', 'private', 'uniqueLocal', 'linkLocal']);

/** That an answer is validated is said by one bit of it, which anybody on the way to the server can set (RFC 4035 §4.9.3). */
function validatingServers({ dns: { dnssec, servers } }: Config): Problem[] {
  if (!dnssec) return [];
  if (servers.length === 0) {
    const message =
      'dnssec needs a validating resolver that is named: add dns.servers, [127.0.0.1] for one on this machine';
    return [{ path: ['dns', 'dnssec'], message }];
  }
  const own = new Set(
    Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => parseIp(address)?.toString()) ?? []),
  );
  return servers.flatMap((server, i) => {
    const address = parseIp(parseServer(server).address);
    return address !== undefined && (NEAR.has(address.range()) || own.has(address.toString()))
      ? []
      : [
          {
            path: ['dns', 'servers', i],
            message: `with dns.dnssec: true, ${server} must be on this machine or in a private network: whoever is on the way to it could say that DNSSEC proved an answer`,
          },
        ];
  });
}

function exceptions({ delivery }: Config): Problem[] {
  return (['dane', 'mta-sts'] as const).flatMap((section) =>
    duplicates(
      delivery[section].except.map(({ domain }) => domain),
      (i) => ['delivery', section, 'except', i, 'domain'],
      'domain',
    ),
  );
}

export const DNS_RULES: readonly Rule[] = [
  { sections: ['dns'], check: validatingServers },
  { sections: ['delivery'], check: exceptions },
];
