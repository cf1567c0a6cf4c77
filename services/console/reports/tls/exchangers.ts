import type { DnsResolver } from '#shared/dns/resolver.ts';
import { askEach } from '../keys/key-list.ts';
import { isNamed, type Shown, type ShownNode } from './shown.ts';

/**
 * The mail exchangers that DNS names for our domains, held against the MTA-STS policies that the nodes serve: a sender that
 * enforces a policy does not deliver to a host that it does not name (RFC 8461 §4.1, §5).
 */

type Policy = NonNullable<ShownNode['policy']>;

/** Sentences with what to do; none where every policy names every MX host, or asks for nothing. */
export async function exchangerProblems(
  { nodes }: Shown,
  domains: readonly string[],
  dns: Pick<DnsResolver, 'lookup'>,
): Promise<string[]> {
  const problems = await askEach(domains, async (domain) => {
    const policies = nodes.flatMap(({ policy }) => (policy?.domains.includes(domain) ? [policy] : []));
    const asking = policies.filter(({ text }) => !/^mode: none\r?$/m.test(text));
    return asking.length === 0 ? [] : await strangers(domain, asking, dns);
  });
  return problems.flat();
}

async function strangers(
  domain: string,
  policies: readonly Policy[],
  dns: Pick<DnsResolver, 'lookup'>,
): Promise<string[]> {
  const answer = await dns.lookup(domain, 'MX');
  if (answer.kind === 'trouble') {
    return [
      `whether the MTA-STS policy of ${domain} names its MX hosts cannot be told (${answer.error}): see that dns.servers answer, and run this again`,
    ];
  }
  // Without MX records, and with the one that says that the domain takes no mail (RFC 7505), there is no host to name.
  const hosts = answer.kind === 'none' ? [] : answer.records.map(({ exchange }) => exchange.toLowerCase());
  const isMissing = (host: string): boolean => policies.some(({ text }) => !isNamed(namesIn(text), host));
  const missing = hosts.filter((host) => host !== '' && isMissing(host));
  if (missing.length === 0) return [];
  return [
    `the MTA-STS policy of ${domain} does not name its MX ${missing.join(', ')}: senders that enforce the policy do not deliver there, so add it to mta-sts.mx, or remove the MX record`,
  ];
}

const namesIn = (policy: string): string[] =>
  [...policy.matchAll(/^mx: (\S+)\r?$/gm)].map(([, name = '']) => name.toLowerCase());
