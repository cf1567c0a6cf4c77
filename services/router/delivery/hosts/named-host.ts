import { isIP } from 'node:net';
import { errorText } from '#shared/errors.ts';
import { reply } from '#shared/mail/reply.ts';
import { Unreachable } from '../channel.ts';
import type { Resolver } from '../resolver.ts';
import type { Target } from '../tls-policy/wanted.ts';

/** Addresses of a host or of the hosts of a domain that are tried in one attempt. */
export const MAX_ADDRESSES = 10;

export function dnsTrouble(name: string, error: unknown, local: boolean): Unreachable {
  const text = `DNS gave no answer for ${name}: ${errorText(error)}`;
  return new Unreachable('deferred', reply(451, '4.4.3', text), { local });
}

/**
 * The addresses of a host that a route names. Rejects with `Unreachable`, never permanently: the route can be
 * corrected.
 */
export async function hostTargets(resolver: Resolver, host: string, port: number): Promise<Target[]> {
  if (isIP(host) !== 0) return [{ name: host, address: host, port }];
  let addresses: string[];
  try {
    ({ addresses } = await resolver.machine(host));
  } catch (error) {
    throw dnsTrouble(host, error, true);
  }
  if (addresses.length === 0) {
    const text = `host ${host} of the route has no address: check the route and the name servers`;
    throw new Unreachable('deferred', reply(451, '4.4.4', text), { local: true });
  }
  return addresses.slice(0, MAX_ADDRESSES).map((address) => ({ name: host, address, port }));
}
