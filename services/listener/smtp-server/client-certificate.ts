import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { subjectName } from '#cluster/certificates/describe.ts';
import { type ClientCertificate, readableTime } from '#shared/mail/tls.ts';
import { cut, printable } from '#shared/text.ts';
import { chainProblemText } from '#shared/tls/chain-problem.ts';

/**
 * The certificate that a client presented in its handshake, or in that of the session that it resumed. That it has the key
 * is proven by then; who it is, only where an authority of the listener vouches for it.
 */

/** A certificate may hold thousands of names; what becomes of it goes to every service that has to do with the message. */
const MOST_NAMES = 50;
const LONGEST_SUBJECT = 200;

export function clientCertificate(socket: TLSSocket): ClientCertificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const verified = socket.authorized;
  return {
    subject: subjectOf(certificate),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    verified,
    ...(verified && { names: namesOf(certificate) }),
    expires: readableTime(certificate.validToDate) ?? 0,
    ...(!verified && { problem: `it ${chainProblemText(String(socket.authorizationError), 'client')}` }),
  };
}

/**
 * Host names (RFC 9525 §6.3). The common name counts where there is no subjectAltName at all: certificates of authorities
 * that one makes for oneself are often so, and public authorities put no host name there alone.
 */
function namesOf(certificate: X509Certificate): string[] {
  const { subjectAltName } = certificate;
  // Commas inside a name are escaped.
  const names =
    subjectAltName === undefined
      ? [ownCommonName(certificate) ?? '']
      : subjectAltName.split(', ').flatMap((entry) => (entry.startsWith('DNS:') ? [entry.slice(4)] : []));
  return names
    .filter((name) => /^[A-Za-z0-9._-]{1,253}$/.test(name))
    .slice(0, MOST_NAMES)
    .map((name) => name.toLowerCase());
}

/** Node separates the parts of a subject by line feeds, and escapes those inside. */
function ownCommonName({ subject }: X509Certificate): string | undefined {
  return /^CN=(.*)$/m.exec(subject ?? '')?.[1];
}

function subjectOf(certificate: X509Certificate): string {
  return printable(cut(subjectName(certificate), LONGEST_SUBJECT), LONGEST_SUBJECT + 1);
}
