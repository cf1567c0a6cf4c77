import { recordsAt, Type } from '#shared/dns/message.ts';
import type { ResolverChain } from './authority.ts';

/**
 * Whether a zone is signed in a way that others can verify: a resolver that validates says so (AD), or its parent has DS
 * records for it (RFC 4035 §5.2), which one that does not validate passes on. It decides about a piece of advice, not about
 * security, so the way to the resolver does not matter. Fails like `ResolverChain.ask`.
 */
export async function isSigned(resolver: ResolverChain, zone: string): Promise<boolean> {
  const soa = await resolver.ask({ name: zone, type: Type.SOA });
  if (soa.authenticated && recordsAt(soa, zone, Type.SOA).length > 0) return true;
  return recordsAt(await resolver.ask({ name: zone, type: Type.DS }), zone, Type.DS).length > 0;
}
