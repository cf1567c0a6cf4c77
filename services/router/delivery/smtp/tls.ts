import type { X509Certificate } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect, TLSSocket } from 'node:tls';
import type { Verified } from '../dane/verify.ts';

/** What a handshake asks of the peer. */
export type TlsRules = {
  /** The host by name or address: what it is asked for (SNI), and what its certificate must be for. */
  name: string;
  /**
   * Whether the certificate is checked: its chain up to a public authority, or to those in the PEM text `ca`, and the
   * name. Undefined: any certificate will do for the handshake. Without DANE nothing says which name it must bear (RFC 7435).
   */
  verify: { ca: Buffer | undefined } | undefined;
};

/** `verified`: how DANE verified the peer. */
export type TlsFacts = { protocol: string; cipher: string; verified?: Verified };

/** Begin a handshake over a connection; `secureConnect` or `error` of what is returned ends it. */
export function beginTls(plain: Socket, { name, verify }: TlsRules): TLSSocket {
  return connect({
    socket: plain,
    rejectUnauthorized: verify !== undefined,
    // SNI takes names only (RFC 6066 §3).
    ...(isIP(name) === 0 ? { servername: name } : {}),
    // `ca` may name the certificate of the host itself, or an authority in the middle of its chain.
    ...(verify?.ca === undefined ? {} : { ca: verify.ca, allowPartialTrustChain: true }),
    checkServerIdentity: (_servername, certificate) => checkServerIdentity(name, certificate),
  });
}

export function tlsFacts(socket: TLSSocket): TlsFacts {
  return { protocol: socket.getProtocol() ?? 'unknown', cipher: socket.getCipher().standardName };
}

/** What the peer presented in the handshake, its own certificate first. To be asked once: the answer empties the list of Node. */
export function presented(socket: Socket): X509Certificate[] {
  const certificates: X509Certificate[] = [];
  if (!(socket instanceof TLSSocket)) return certificates;
  for (let one = socket.getPeerX509Certificate(); one !== undefined; one = one.issuerCertificate)
    certificates.push(one);
  return certificates;
}
