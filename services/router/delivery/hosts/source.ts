import { isIP } from 'node:net';
import { reply } from '#shared/mail/reply.ts';
import { Unreachable } from '../channel.ts';
import type { HopSource } from '../job.ts';
import type { Target } from '../tls-policy/wanted.ts';

/** Where the connections of a route come from: which addresses of its hosts are used, and from which of ours. */

/** Whether addresses of a host are used. */
export function isUsed(source: HopSource | undefined, address: string): boolean {
  return source?.family === undefined || isIP(address) === (source.family === 'ipv6' ? 6 : 4);
}

/** Targets with our address for each. Rejects with `Unreachable` where none of theirs is used. */
export async function fromSource(source: HopSource | undefined, find: () => Promise<Target[]>): Promise<Target[]> {
  const found = await find();
  if (source === undefined) return found;
  const used = found.filter(({ address }) => isUsed(source, address));
  if (used.length === 0) throw otherFamily(source, found);
  return used.map((target) => {
    const own = isIP(target.address) === 6 ? source.ipv6 : source.ipv4;
    return own === undefined ? target : { ...target, source: own };
  });
}

function otherFamily({ family }: HopSource, found: readonly Target[]): Unreachable {
  const name = family === 'ipv6' ? 'IPv6' : 'IPv4';
  const hosts = [...new Set(found.map((target) => target.name))].join(', ');
  const text = `the route uses ${name} alone (family, or one of source and source6), and ${hosts} has no such address`;
  return new Unreachable('deferred', reply(451, '4.4.4', text));
}
