import { errorText } from '#shared/errors.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { DnsTrouble, type Resolver } from '../resolver.ts';
import { parseTlsa, type TlsaRecord, usableRecords } from './records.ts';

/**
 * DANE for SMTP (RFC 7672): TLSA records, proven by DNSSEC, say that a mail exchanger speaks TLS, and which certificate it
 * has. It applies to routes by MX with `tls: opportunistic` or `required`, where `dns.dnssec` says that the resolver
 * validates and the way to it is safe.
 *
 *   dane.ts          what DANE asks of a host: the look-ups
 *   configured.ts    what the configuration says of DANE, and what of that has no effect
 *   records.ts       TLSA records, and which of them count
 *   verify.ts        the certificates of a host against its records
 *
 * Each link of the way from the recipient's domain to the record must be proven (§2.2), and what nobody could say is never
 * taken for "no": an attacker can always make DNS fail.
 *
 *   MX records            not proven → no DANE for the domain. No answer → the domain's mail waits.
 *   addresses of a host   not proven → no DANE for the host, unless its name is a proven alias (CNAME): then the name itself
 *                         may have TLSA records. No answer → the host is missing (mx.ts).
 *   aliases of a host     all proven → the TLSA records of the last name count, or else those of the name itself (§2.1.3).
 *   TLSA records          proven, or proven not to be there. Not proven → no DANE for the host.
 *   no answer to either   the host is not used now.
 *
 * So a host has no DANE (undefined: TLS as the route says), or is one of:
 *
 *   records    TLS with a certificate that its records name. The name that the records were found at is what the host is
 *              asked for (SNI, §8.1 of RFC 7671).
 *   unusable   it has records, none that we can use: TLS, whatever the certificate (§2.2).
 *   unknown    not used now.
 *
 * A host that cannot do what is asked of it is not used; the next one is, and without one the mail waits. Never in clear.
 */
export type Dane =
  | { kind: 'records'; base: string; records: readonly TlsaRecord[]; names: readonly string[] }
  | { kind: 'unusable'; base: string }
  | { kind: 'unknown'; reply: Reply };

/** A host of a domain, and whether its addresses are proven. */
type Host = { name: string; authenticated: boolean };

/** More aliases than that are a circle. */
const MOST_ALIASES = 8;

/** What DANE asks of a host; `domain`, whose MX records are proven, is the one that the mail is for. Never fails. */
export async function daneOf(resolver: Resolver, host: Host, domain: string): Promise<Dane | undefined> {
  try {
    for (const base of await basesOf(resolver, host)) {
      const answer = await resolver.ask(`_25._tcp.${base}`, 'TLSA');
      if (answer.kind === 'none' || !answer.authenticated) continue;
      const records = usableRecords(answer.records.map(parseTlsa));
      if (records.length === 0) return { kind: 'unusable', base };
      return { kind: 'records', base, records, names: await namesFor(resolver, { base, domain, records }) };
    }
    return undefined;
  } catch (error) {
    const why = error instanceof DnsTrouble ? error.message : errorText(error);
    const text = `${host.name} may have DANE, and is not used while nobody can say: DNS gave no answer for its aliases and TLSA records: ${why}`;
    return { kind: 'unknown', reply: reply(451, '4.4.3', text) };
  }
}

/** Where the TLSA records of a host may be, the best first (RFC 7672 §2.2.2). */
async function basesOf(resolver: Resolver, { name, authenticated }: Host): Promise<string[]> {
  const { last, proven } = await follow(resolver, name);
  if (last === name) return authenticated ? [name] : [];
  if (authenticated) return [last, name];
  return proven ? [name] : [];
}

/** The last of the aliases of a name, and whether the first of them is proven. */
async function follow(resolver: Resolver, name: string): Promise<{ last: string; proven: boolean }> {
  let last = name;
  let proven: boolean | undefined;
  for (let followed = 0; followed < MOST_ALIASES; followed++) {
    const answer = await resolver.ask(last, 'CNAME');
    const [target] = answer.kind === 'found' ? answer.records : [];
    if (target === undefined) return { last, proven: proven ?? false };
    proven ??= answer.authenticated;
    last = target;
  }
  throw new DnsTrouble(`the aliases of ${name} are too many`, true);
}

/** The names that a certificate may be for, where names count (RFC 7672 §3.2.2): with DANE-TA. */
async function namesFor(
  resolver: Resolver,
  { base, domain, records }: { base: string; domain: string; records: readonly TlsaRecord[] },
): Promise<string[]> {
  if (!records.some(({ usage }) => usage === 2)) return [base];
  return [...new Set([base, domain, (await follow(resolver, domain)).last])];
}
