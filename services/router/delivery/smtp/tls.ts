import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect, type TLSSocket } from 'node:tls';

/** What a handshake asks of the peer. */
export type TlsRules = {
  /** The host by name or address: what it is asked for (SNI), and what its certificate must be for. */
  name: string;
  /**
   * Whether the certificate is checked: its chain up to a public authority, or to those in the PEM text `ca`, and the
   * name. Undefined: any certificate will do. Without DANE or MTA-STS nothing says which name it must bear (RFC 7435).
   */
  verify: { ca: Buffer | undefined } | undefined;
};

export type TlsFacts = { protocol: string; cipher: string };

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
