import type { X509Certificate } from 'node:crypto';
import { commonName, subjectName } from '#cluster/certificates/describe.ts';
import { type CertificateVerdict, verdictText } from '#shared/mail/tls.ts';
import type { TlsFacts } from '../smtp/tls.ts';

/** What a handshake has led to, in words: version, cipher, the certificate of the peer, and what it is worth. */
export function describeTls(
  { protocol, cipher }: TlsFacts,
  certificate: X509Certificate | undefined,
  verdict: CertificateVerdict,
  name: string,
): string {
  const how = `TLS: ${protocol} with ${cipher}`;
  if (certificate === undefined) return `${how}; ${verdict.problem}`;
  const { expires } = verdict;
  const until = expires === undefined ? 'a date that cannot be read' : new Date(expires).toISOString().slice(0, 10);
  const whose = `certificate of ${subjectName(certificate)} by ${commonName(certificate.issuer)} until ${until}`;
  return `${how}; ${whose}: ${verdictText(verdict, name)}`;
}
