import { checkServerIdentity, type TLSSocket } from 'node:tls';
import { readableTime } from '#shared/mail/tls.ts';

/** What a handshake has led to, in words: version, cipher, and what the certificate of the peer is worth. */
export function describeTls(socket: TLSSocket, name: string): string {
  const certificate = socket.getPeerCertificate();
  const how = `${socket.getProtocol()} with ${socket.getCipher().standardName}`;
  if (Object.keys(certificate).length === 0) return `TLS: ${how}, without a certificate`;
  const time = readableTime(new Date(certificate.valid_to));
  const until = time === undefined ? 'a date that cannot be read' : new Date(time).toISOString().slice(0, 10);
  const issuer = certificate.issuer?.CN ?? certificate.issuer?.O;
  // The types say Error; Node keeps the code of OpenSSL.
  const problem: unknown = socket.authorizationError;
  const wrongName = checkServerIdentity(name, certificate) !== undefined;
  const verdict = [
    socket.authorized ? 'from a trusted authority' : `not trusted (${String(problem)})`,
    wrongName ? `not for ${name}` : `for ${name}`,
  ];
  return `TLS: ${how}; certificate of ${certificate.subject?.CN ?? certificate.subjectaltname} by ${issuer} until ${until}: ${verdict.join(', ')}`;
}
