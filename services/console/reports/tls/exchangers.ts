import type { DnsAnswer, DnsResolver } from '#shared/dns/resolver.ts';
import { askEach } from '../keys/key-list.ts';
import { isNamed, type Shown } from './shown.ts';

/**
 * The mail exchangers that DNS names for our domains, held against the MTA-STS policies that the nodes serve: a sender that
 * enforces a policy does not deliver to a host that it does not name (RFC 8461 §4.1, §5).
 */

/** A clause about a domain, and what to do. */
export type ExchangerProblem = { text: string; help: string };

/** None where every policy names every MX host, or asks for nothing. */
export async function exchangerProblems(
  shown: Shown,
  domains: readonly string[],
  dns: Pick<DnsResolver, 'lookup'>,
): Promise<ExchangerProblem[]> {
  const problems = await askEach(domains, async (domain) => {
    const policies = askingPolicies(shown, domain);
    return policies.length === 0 ? [] : (exchangerProblem(domain, policies, await dns.lookup(domain, 'MX')) ?? []);
  });
  return problems.flat();
}

/** The texts of the policies of a domain that ask for something. */
export function askingPolicies({ nodes }: Shown, domain: string): string[] {
  const texts = nodes.flatMap(({ policy }) => (policy?.domains.includes(domain) ? [policy.text] : []));
  return texts.filter((text) => !/^mode: none\r?$/m.test(text));
}

export function exchangerProblem(
  domain: string,
  policies: readonly string[],
  answer: DnsAnswer<'MX'>,
): ExchangerProblem | undefined {
  if (answer.kind === 'trouble') {
    const text = `whether the MTA-STS policy of ${domain} names its MX hosts cannot be told (${answer.error})`;
    return { text, help: 'see that dns.servers answer, and run this again' };
  }
  // Without MX records, and with the one that says that the domain takes no mail (RFC 7505), there is no host to name.
  const hosts = answer.kind === 'none' ? [] : answer.records.map(({ exchange }) => exchange.toLowerCase());
  const isMissing = (host: string): boolean => policies.some((text) => !isNamed(namesIn(text), host));
  const missing = hosts.filter((host) => host !== '' && isMissing(host));
  if (missing.length === 0) return undefined;
  return {
    text: `the MTA-STS policy of ${domain} does not name its MX ${missing.join(', ')}`,
    help: 'senders that enforce the policy do not deliver there, so add it to mta-sts.mx, or remove the MX record',
  };
}

const namesIn = (policy: string): string[] =>
  [...policy.matchAll(/^mx: (\S+)\r?$/gm)].map(([, name = '']) => name.toLowerCase());
