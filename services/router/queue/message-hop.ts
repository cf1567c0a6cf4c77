import { parseIp } from '#shared/address/ip-address.ts';
import type { MessageTls } from '#shared/mail/message-tls.ts';
import type { TlsDemand } from '#shared/mail/tls.ts';
import { hostsOf, type MessageDemand, type NextHop } from '../delivery/job.ts';
import type { MessageRecord } from '../store/records.ts';

/**
 * The next hop of a message that asks for more, or less, TLS than its route says: that of the route with other rules, and a
 * key of its own, because connections under different rules are never shared. What the route says is never weakened, but for
 * our reports about TLS.
 *
 * Mail that does not leave this machine needs no TLS: into a folder, or by LMTP to a mailbox server at a loopback address.
 * A server there that speaks SMTP passes mail on; the way to it is safe, but REQUIRETLS also asks what comes after it.
 */
export function hopOfMessage(
  hop: NextHop,
  { tls, reversePath, tlsReport }: Pick<MessageRecord, 'tls' | 'reversePath' | 'tlsReport'>,
): NextHop {
  if (tlsReport === true) return tlsReportHop(hop);
  if (tls === undefined || staysHere(hop, tls)) return hop;
  switch (tls.level) {
    case 'optional':
      return { ...hop, key: keyOf(hop, 'TLS-Required: No'), demand: { ...NOTHING, ignorePolicies: true } };
    case 'required':
    case 'verified':
      return stronger(hop, tls.level, 'never');
    case 'requiretls':
      // RFC 8689 §5: a notification is not lost because a host does not know REQUIRETLS.
      if (reversePath === '') {
        return { ...hop, key: keyOf(hop, 'REQUIRETLS if offered'), demand: { ...NOTHING, requireTls: 'if-offered' } };
      }
      // LMTP delivers finally (RFC 2033 §2): nothing comes after it that REQUIRETLS could bind.
      return stronger(hop, 'verified', hop.spec.kind === 'lmtp' ? 'if-offered' : 'always');
  }
}

/**
 * RFC 8460 §3 has reports delivered despite any failure of TLS, which is what they are about: so a demand for TLS at the mail
 * exchangers of others is none here. A host that a route names is not reported on.
 */
function tlsReportHop(hop: NextHop): NextHop {
  if (hop.spec.kind !== 'mx') return hop;
  const tls = hop.tls === 'off' ? 'off' : 'opportunistic';
  return { ...hop, tls, key: keyOf(hop, 'TLS report'), demand: { ...NOTHING, ignorePolicies: true } };
}

const NOTHING: MessageDemand = { raises: false, strict: false, requireTls: 'never', ignorePolicies: false };
const ORDER: readonly TlsDemand[] = ['off', 'opportunistic', 'required', 'verified'];

function stronger(hop: NextHop, level: 'required' | 'verified', requireTls: MessageDemand['requireTls']): NextHop {
  const raises = ORDER.indexOf(hop.tls) < ORDER.indexOf(level);
  const tls = raises ? level : hop.tls;
  const key = keyOf(hop, requireTls === 'never' ? `forced TLS: ${tls}` : 'REQUIRETLS');
  return { ...hop, tls, key, demand: { ...NOTHING, raises, strict: true, requireTls } };
}

function keyOf({ key }: NextHop, rule: string): string {
  return `${key} (${rule})`;
}

function staysHere({ spec }: NextHop, { level }: MessageTls): boolean {
  switch (spec.kind) {
    case 'maildir':
    case 'capture':
    case 'discard':
      return true;
    case 'lmtp':
      return hostsOf(spec).every(isLoopback);
    case 'smtp':
      return level !== 'requiretls' && hostsOf(spec).every(isLoopback);
    case 'mx':
      return false;
  }
}

function isLoopback({ host }: { host: string }): boolean {
  return host === 'localhost' || parseIp(host)?.range() === 'loopback';
}
