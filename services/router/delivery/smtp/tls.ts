import type { X509Certificate } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext, type SecureContextOptions, TLSSocket } from 'node:tls';
import type { Verified } from '../dane/verify.ts';
import type { Shown } from '../tls-policy/judge.ts';

/**
 * What we say first. `usual`: all that Node offers. `reduced`: TLS 1.2 alone with few ciphers, for servers and firewalls that
 * fail on a long ClientHello. `old`: the same, down to TLS 1.0, which is better than clear text where nothing else is wanted
 * (RFC 7435 §3), and no protection where TLS is (RFC 8996).
 */
export type Hello = 'usual' | 'reduced' | 'old';

const FEW = 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:AES128-GCM-SHA256';
const HELLOS: Record<Hello, SecureContextOptions> = {
  usual: {},
  reduced: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: FEW, ecdhCurve: 'P-256' },
  // OpenSSL takes the digests of TLS 1.0 at its lowest level only.
  old: {
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.2',
    ciphers: `${FEW}:ECDHE-RSA-AES128-SHA:AES128-SHA:AES256-SHA@SECLEVEL=0`,
  },
};

/** What a handshake says and asks. The certificate is judged after it (../tls-policy/judge.ts), so none ends it. */
export type Handshake = {
  /** The host by name or address: what it is asked for (SNI). */
  name: string;
  /** PEM text of the authorities that are trusted; undefined: the public ones. */
  ca: Buffer | undefined;
  hello: Hello;
};

/** `verified`: how DANE verified the peer. */
export type TlsFacts = { protocol: string; cipher: string; verified?: Verified };

const contexts = new Map<Hello, SecureContext>();

/** To make one costs more than a handshake. */
function contextFor({ ca, hello }: Handshake): SecureContext {
  // `ca` may name the certificate of the host itself, or an authority in the middle of its chain.
  if (ca !== undefined) return createSecureContext({ ...HELLOS[hello], ca, allowPartialTrustChain: true });
  const context = contexts.get(hello) ?? createSecureContext(HELLOS[hello]);
  contexts.set(hello, context);
  return context;
}

/** Begin a handshake over a connection; `secureConnect` or `error` of what is returned ends it. */
export function beginTls(plain: Socket, handshake: Handshake): TLSSocket {
  return connect({
    socket: plain,
    rejectUnauthorized: false,
    secureContext: contextFor(handshake),
    // SNI takes names only (RFC 6066 §3).
    ...(isIP(handshake.name) === 0 ? { servername: handshake.name } : {}),
    // Only the chain: what the names must be is not known here.
    checkServerIdentity: () => undefined,
  });
}

export function tlsFacts(socket: TLSSocket): TlsFacts {
  return { protocol: socket.getProtocol() ?? 'unknown', cipher: socket.getCipher().standardName };
}

/** What the handshake showed of the peer's certificate. */
export function shownBy(socket: Socket): Shown {
  return { presented: () => presented(socket), chainProblem: chainProblem(socket) };
}

/** Why no trusted authority stands behind the certificate of the peer: a code of OpenSSL; undefined: one does. */
function chainProblem(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || socket.authorized) return undefined;
  // The types say Error; Node keeps the code of OpenSSL.
  const problem: unknown = socket.authorizationError;
  return typeof problem === 'string' ? problem : 'unknown';
}

/** What the peer presented in the handshake, its own certificate first. To be asked once: the answer empties the list of Node. */
function presented(socket: Socket): X509Certificate[] {
  const certificates: X509Certificate[] = [];
  if (!(socket instanceof TLSSocket)) return certificates;
  for (let one = socket.getPeerX509Certificate(); one !== undefined; one = one.issuerCertificate)
    certificates.push(one);
  return certificates;
}
