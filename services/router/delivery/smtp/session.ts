import { BlockList, isIP } from 'node:net';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { formatReply, reply } from '#shared/reply.ts';
import type { Secret } from '#shared/secret.ts';
import { authenticate } from './auth.ts';
import { Connection, type Timeouts } from './connection.ts';
import { ConnectionEnded, HostUnusable } from './errors.ts';
import { type Extensions, parseExtensions } from './extensions.ts';

/**
 * From a host's address to a session that is ready for MAIL: greeting, EHLO, STARTTLS, EHLO again, AUTH.
 */

export type Target = { name: string; address: string; port: number };

export type PeerSessionOptions = {
  protocol: 'smtp' | 'lmtp';
  /** Our name in EHLO. */
  hostname: string;
  /**
   * `opportunistic`: TLS if offered, else clear text. `required`: TLS or nothing. Neither checks the name in the
   * certificate: that keeps out an attacker who only listens, not one who can answer in the peer's place.
   */
  tls: 'opportunistic' | 'required' | 'off';
  credentials: { user: string; password: Secret } | undefined;
  timeouts: Timeouts;
  signal: AbortSignal;
  log: Logger;
};

export type PeerSession = { connection: Connection; peer: Extensions; protocol: 'smtp' | 'lmtp' };

class TlsFailed extends Error {
  constructor(cause: unknown) {
    super(`TLS handshake failed: ${errorText(cause)}`, { cause });
    this.name = 'TlsFailed';
  }
}

/** Open a session with one host. Rejects with `HostUnusable`. */
export async function openSession(target: Target, options: PeerSessionOptions): Promise<PeerSession> {
  try {
    return await negotiate(target, options);
  } catch (error) {
    if (!(error instanceof TlsFailed)) throw error;
    const host = hostOf(target);
    if (options.tls === 'required') {
      throw new HostUnusable(host, reply(454, '4.7.5', `TLS is required for this route. ${error.message}`), false);
    }
    // Without a policy that asks for TLS, mail in clear text is better than none (RFC 7435 §3), on a fresh connection.
    options.log.warn({ peer: host, error: error.message }, 'TLS handshake failed, sending in clear text');
    return negotiate(target, { ...options, tls: 'off' });
  }
}

function hostOf(target: Target): string {
  return `${target.name}[${target.address}]:${target.port}`;
}

async function negotiate(target: Target, options: PeerSessionOptions): Promise<PeerSession> {
  let connection: Connection | undefined;
  const abort = (): void => connection?.destroy('delivery stops');
  try {
    connection = await Connection.open(target, options.timeouts.connect, options.signal);
    options.signal.addEventListener('abort', abort, { once: true });
    const peer = await introduce(connection, target, options);
    options.log.debug({ peer: connection.peer, tls: connection.tls }, 'connected');
    return { connection, peer, protocol: options.protocol };
  } catch (error) {
    if (error instanceof HostUnusable) connection?.quit();
    else connection?.destroy(errorText(error));
    if (error instanceof ConnectionEnded) throw new HostUnusable(hostOf(target), error.reply, error.reason === 'local');
    throw error;
  } finally {
    options.signal.removeEventListener('abort', abort);
  }
}

async function introduce(connection: Connection, target: Target, options: PeerSessionOptions): Promise<Extensions> {
  const { command } = options.timeouts;
  const greeting = await connection.command('', 'the greeting', command);
  // 554 as a greeting is about the host, not about the message (RFC 5321 §3.1, §4.3.2): the next host is tried, and the
  // mail waits if there is none.
  if (greeting.reply.code !== 220) throw new HostUnusable(connection.peer, greeting.reply, false);
  let peer = await hello(connection, options);
  if (options.tls !== 'off') {
    if (await secure(connection, target, peer, options)) peer = await hello(connection, options);
  }
  if (options.credentials !== undefined) {
    if (connection.tls === undefined && !isThisMachine(target.address)) {
      throw new HostUnusable(
        connection.peer,
        reply(454, '4.7.11', `the route has a user and password, but ${connection.peer} offers no TLS to protect them`),
        true,
      );
    }
    await authenticate(connection, peer.auth, options.credentials, { timeoutMs: command, log: options.log });
  }
  return peer;
}

async function hello(connection: Connection, options: PeerSessionOptions): Promise<Extensions> {
  const { command } = options.timeouts;
  const verb = options.protocol === 'lmtp' ? 'LHLO' : 'EHLO';
  const answer = await connection.command(`${verb} ${options.hostname}\r\n`, verb, command);
  if (answer.reply.code === 250) return parseExtensions(answer.lines);
  // A server that does not know EHLO gets HELO (RFC 5321 §3.2); LMTP has nothing older (RFC 2033 §4.1). After STARTTLS
  // there is no HELO either: a server that knows one of them knows the other.
  if (answer.reply.code >= 500 && options.protocol === 'smtp' && connection.tls === undefined) {
    const old = await connection.command(`HELO ${options.hostname}\r\n`, 'HELO', command);
    if (old.reply.code === 250) return parseExtensions([]);
    throw new HostUnusable(connection.peer, old.reply, false);
  }
  throw new HostUnusable(connection.peer, answer.reply, false);
}

/** STARTTLS (RFC 3207). Resolves to whether the session is in TLS now. */
async function secure(connection: Connection, target: Target, peer: Extensions, options: PeerSessionOptions) {
  const refuse = (text: string): false => {
    if (options.tls !== 'required') return false;
    throw new HostUnusable(connection.peer, reply(454, '4.7.4', `TLS is required for this route, but ${text}`), false);
  };
  if (!peer.startTls) return refuse(`${connection.peer} does not offer STARTTLS`);
  try {
    // SNI takes names only (RFC 6066 §3).
    const name = isIP(target.name) === 0 ? target.name : undefined;
    const outcome = await connection.startTls(name, options.timeouts.command);
    if (outcome.refusal !== undefined) {
      return refuse(`${connection.peer} answered STARTTLS: ${formatReply(outcome.refusal)}`);
    }
    if (outcome.dropped > 0) {
      const { dropped } = outcome;
      options.log.warn({ peer: connection.peer, bytes: dropped }, 'dropped clear text that came after STARTTLS');
    }
    return true;
  } catch (error) {
    if (error instanceof ConnectionEnded && error.reason !== 'local') throw new TlsFailed(error);
    throw error;
  }
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** The one address to which a password may go in clear text (RFC 4954 §14). */
export function isThisMachine(address: string): boolean {
  return LOOPBACK.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}
