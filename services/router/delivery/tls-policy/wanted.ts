import type { TlsDemand, TlsSource } from '#shared/mail/tls.ts';
import type { Dane } from '../dane/dane.ts';
import type { MessageDemand } from '../job.ts';
import type { RememberedDomain } from './memory.ts';
import type { StsPolicy } from './sts/policies.ts';

/**
 * What TLS is wanted of one host, as one value: how much, and who says so. The most specific counts first:
 *
 *   route      `tls` of the route, where it is not `opportunistic`; a login at a smart host
 *   message    its sender, a mark, or REQUIRETLS (RFC 8689) asks for more
 *   dane       proven TLSA records of the host (RFC 7672)
 *   mta-sts    the policy of the recipient's domain (RFC 8461), where the host has no TLSA records (§2: it never overrides DANE)
 *   memory     the destination had TLS lately; clear text would be news
 *   default    TLS if the host offers it (RFC 7435)
 *
 * `required` of a route or a message is a floor: DANE and MTA-STS may ask for a certificate besides. `verified` of a route
 * names how (an authority, and the name of the host), so DANE is not asked; that of a message leaves it open.
 *
 * What follows from it (the ladder, ladder.ts): a host that cannot do what is wanted is not used; where clear text is
 * allowed, it is the last thing that is tried.
 */

/** An address to connect to, and what is known of the TLS of its host. */
export type Target = {
  name: string;
  address: string;
  port: number;
  /** Our address, if not the one that the system chooses. */
  source?: string;
  /** The user that we log in as. */
  account?: string;
  /** The recipient's domain, of a mail exchanger. */
  domain?: string;
  /** What DANE asks of the host. */
  dane?: Dane;
  /** The policy of the domain, and whether it names the host. */
  sts?: { policy: StsPolicy; matches: boolean };
  /** Whether the domain has a policy cannot be said now. */
  stsUnknown?: true;
  /** That this host is one of the domain's is not proven by DNSSEC. */
  unproven?: true;
};

/** What a next hop and its mail ask for. */
export type TlsRules = {
  tls: TlsDemand;
  /** The mail asks for `tls`, not the route. */
  byMessage: boolean;
  /** What else it asks for. */
  demand?: MessageDemand | undefined;
  /** TLS from the first byte; there is no clear text then, whatever `tls` says. */
  implicitTls: boolean;
  /** What the route tells the peer to log in with; it goes to a verified certificate only. */
  secret: 'password' | 'token' | undefined;
};

export type Wanted = {
  tls: TlsDemand;
  by: TlsSource;
  /** With `verified`: by TLSA records, or by an authority and the name of the host. */
  proof?: 'dane' | 'web';
};

/** How long TLS of a destination is remembered to its disadvantage, in ms. */
const REMEMBERED_MS = 30 * 86_400_000;

/** `lost`: what to do where a destination has lost its TLS. */
export function wantedOf(
  { dane, sts }: Target,
  { tls, byMessage, demand, implicitTls, secret }: TlsRules,
  { remembered, lost, now }: { remembered: RememberedDomain | undefined; lost: 'wait' | 'go-on'; now: number },
): Wanted {
  const asker = byMessage ? 'message' : 'route';
  if (tls === 'off' && !implicitTls) return { tls, by: asker };
  if (secret !== undefined || (tls === 'verified' && !byMessage)) return { tls: 'verified', by: 'route', proof: 'web' };
  const sayer = tls === 'verified' ? 'message' : undefined;
  if (dane?.kind === 'records') return { tls: 'verified', by: sayer ?? 'dane', proof: 'dane' };
  if (dane === undefined && sts?.policy.mode === 'enforce')
    return { tls: 'verified', by: sayer ?? 'mta-sts', proof: 'web' };
  if (tls === 'verified') return { tls, by: asker, proof: 'web' };
  if (tls === 'required' || implicitTls) return { tls: 'required', by: asker };
  if (dane !== undefined) return { tls: 'required', by: 'dane' };
  if (demand?.ignorePolicies === true) return { tls: 'opportunistic', by: 'message' };
  if (remembered !== undefined && now - remembered.at < REMEMBERED_MS)
    return { tls: lost === 'wait' ? 'required' : 'opportunistic', by: 'memory' };
  return { tls: 'opportunistic', by: 'default' };
}

/** Who wants TLS, at the head of a reply that says why a host is not used. */
export function wishOf({ tls, by, proof }: Wanted, secret: TlsRules['secret']): string {
  if (secret !== undefined)
    return `the ${secret} of this route goes to a verified certificate only (ca: in the route names a private authority)`;
  const certificate = tls === 'verified' ? 'a verified certificate' : 'TLS';
  switch (by) {
    case 'route':
      return proof === 'web'
        ? 'a verified certificate is required for this route (ca: in the route names a private authority)'
        : 'TLS is required for this route';
    case 'message':
      return `${certificate} is required for this message`;
    case 'dane':
      return `DANE asks for ${certificate}`;
    case 'mta-sts':
      return `the MTA-STS policy of the domain asks for ${certificate}`;
    default:
      return 'this destination had TLS before (delivery.tls-lost: go-on would send in clear text)';
  }
}
