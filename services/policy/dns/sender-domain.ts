import type { MxRecord } from '#shared/dns/records.ts';
import type { DnsAnswer, DnsResolver } from '#shared/dns/resolver.ts';

/**
 * Whether mail to a domain could be delivered at all: it has MX records (RFC 5321 §5.1), or an address that stands for
 * one. A null MX says that the domain takes no mail, and so sends none that expects an answer (RFC 7505 §4.2).
 */

export type DomainState =
  | { kind: 'exists'; by: 'MX' | 'address' }
  | { kind: 'null-mx' }
  /** `name`: there is such a name in DNS, without MX and addresses. */
  | { kind: 'missing'; name: boolean }
  | { kind: 'trouble'; error: string };

/** `domain` is normalized; `network` is whose questions they are, undefined where that is not known. */
type Wanted = { domain: string; network: string | undefined };

/** Without a promise where DNS was asked before. Never fails, and takes no longer than `timeoutMs`. */
export function domainState(dns: DnsResolver, wanted: Wanted, timeoutMs: number): DomainState | Promise<DomainState> {
  const end = performance.now() + timeoutMs;
  return then(dns.lookup(wanted.domain, 'MX', { waitMs: timeoutMs, network: wanted.network }), (mx) => {
    if (mx.kind === 'found') return byHosts(mx.records);
    if (mx.kind === 'trouble') return { kind: 'trouble', error: mx.error };
    if (!mx.exists) return { kind: 'missing', name: false };
    return byAddress(dns, wanted, Math.max(1, end - performance.now()));
  });
}

/** A root among other hosts is a mistake; the others count. */
function byHosts(hosts: readonly MxRecord[]): DomainState {
  return hosts.every(({ exchange }) => exchange === '') ? { kind: 'null-mx' } : { kind: 'exists', by: 'MX' };
}

function byAddress(dns: DnsResolver, { domain, network }: Wanted, waitMs: number): DomainState | Promise<DomainState> {
  const four = dns.lookup(domain, 'A', { waitMs, network });
  const six = dns.lookup(domain, 'AAAA', { waitMs, network });
  return then(four, (a) => then(six, (aaaa) => fromAddresses(a, aaaa)));
}

function fromAddresses(...answers: DnsAnswer[]): DomainState {
  if (answers.some(({ kind }) => kind === 'found')) return { kind: 'exists', by: 'address' };
  const trouble = answers.find((answer) => answer.kind === 'trouble');
  return trouble === undefined ? { kind: 'missing', name: true } : { kind: 'trouble', error: trouble.error };
}

function then<A, B>(given: A | Promise<A>, goOn: (value: A) => B | Promise<B>): B | Promise<B> {
  return given instanceof Promise ? given.then(goOn) : goOn(given);
}
