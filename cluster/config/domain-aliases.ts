import { domainOf, localPartOf } from '#shared/address/address.ts';
import type { Config } from './schema/schema.ts';

/** An address (canonical) of a domain that is another name of a local one, in that; any other one as it is. */
export function inLocalDomain(address: string, aliases: Config['rewrite']['domain-aliases']): string {
  const domain = domainOf(address);
  return Object.hasOwn(aliases, domain) ? `${localPartOf(address)}@${aliases[domain]}` : address;
}
