import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { authorsOf } from '#shared/address/authors.ts';
import type { HeaderField } from '#shared/mail/header.ts';

/**
 * The author's domain: the one that every reader of the message sees.
 *
 * `domains`, normalized: that one; none for mail of nobody (the null reverse-path). Where there is a `problem` nothing can be
 * signed, because readers see no author or could see different ones; `domains` are then all that some reader could see,
 * and that of the reverse-path.
 */
export type Author = { domains: string[]; problem: string | undefined };

export function authorOf(fields: HeaderField[], reversePath: string): Author {
  const [from, ...more] = fields.filter((field) => field.name === 'from').map(authorsOf);
  const envelope = domainsOf(reversePath === '' ? [] : [reversePath]);
  if (from === undefined) return { domains: envelope, problem: 'the message has no From field' };
  const domains = domainsOf([from, ...more].flatMap(({ addresses }) => addresses));
  const unclear = (problem: string): Author => ({ domains: [...new Set([...domains, ...envelope])], problem });
  if (more.length > 0) return unclear(`the message has ${more.length + 1} From fields`);
  if (from.problem !== undefined) return unclear(`the From field can be read in different ways: ${from.problem}`);
  if (domains.length > 1) return unclear(`the From field has addresses of ${domains.length} domains`);
  // Only empty groups (RFC 6854): a From that can be signed, in the name of the sender.
  return { domains: domains.length === 0 ? envelope : domains, problem: undefined };
}

function domainsOf(addresses: readonly string[]): string[] {
  return [...new Set(addresses.map((address) => normalizeDomain(domainOf(address))))];
}
