import { readFile } from 'node:fs/promises';
import { BlockList, isIP } from 'node:net';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { formatReply, isPositive, reply } from '#shared/mail/reply.ts';
import type { TlsDemand } from '#shared/mail/tls.ts';
import type { Dane } from '../dane/dane.ts';
import { type Verdict, verifyByDane } from '../dane/verify.ts';
import { authenticate, type Credentials } from './auth.ts';
import { Connection, type Timeouts } from './connection.ts';
import { ConnectionEnded, HostUnusable } from './errors.ts';
import { type Extensions, parseExtensions } from './extensions.ts';
import type { PeerReply } from './reply-parser.ts';
import type { TlsRules } from './tls.ts';

/**
 * From a host's address to a session that is ready for MAIL: greeting, EHLO, STARTTLS, EHLO again, AUTH; with implicit
 * TLS the handshake comes first (RFC 8314 §3).
 *
 * A handshake has succeeded when the peer has said something in TLS. With TLS 1.3 the client is through before the
 * server has judged what it sent (RFC 8446 §2): a refusal, as an alert, a close or 454, then comes in place of the first
 * reply.
 *
 * A failed handshake is followed by clear text, on a fresh connection, where the route does not ask for TLS: without
 * such a policy mail in clear text is better than none (RFC 7435 §3). A password or token goes only to a certificate that
 * is verified, or in clear text to this machine.
 *
 * A host with DANE (../dane/dane.ts) is used in TLS only, with a certificate that its records name; every failure of that
 * makes it unusable.
 */

/** `dane`: what DANE asks of the host. */
export type Target = { name: string; address: string; port: number; dane?: Dane };

export type PeerSessionOptions = {
  protocol: 'smtp' | 'lmtp';
  /** Our name in EHLO. */
  hostname: string;
  tls: TlsDemand;
  /** TLS from the first byte; there is no clear text then, whatever `tls` says. */
  implicitTls: boolean;
  /** PEM file of the authorities that a verified certificate comes from; undefined: the public ones. */
  ca: string | undefined;
  credentials: Credentials | undefined;
  timeouts: Timeouts;
  signal: AbortSignal;
  log: Logger;
};

export type PeerSession = { target: Target; connection: Connection; peer: Extensions; protocol: 'smtp' | 'lmtp' };

class TlsFailed extends Error {
  constructor(message: string, options?: { cause: unknown }) {
    super(message, options);
    this.name = 'TlsFailed';
  }
}

/** Open a session with one host. Rejects with `HostUnusable`. */
export async function openSession(target: Target, options: PeerSessionOptions): Promise<PeerSession> {
  const host = hostOf(target);
  if (target.dane?.kind === 'unknown') throw new HostUnusable(host, target.dane.reply, false);
  try {
    return await negotiate(target, options);
  } catch (error) {
    if (!(error instanceof TlsFailed)) throw error;
    if (target.dane !== undefined) throw daneRefuses(host, '4.7.5', error.message);
    const demand = demandOf(options);
    if (demand !== undefined) throw new HostUnusable(host, reply(454, '4.7.5', `${demand}. ${error.message}`), false);
    options.log.warn({ peer: host, error: error.message }, 'TLS handshake failed, sending in clear text');
    return negotiate(target, { ...options, tls: 'off' });
  }
}

/** Why a host with DANE is not used: what was wanted, of whom, and what came instead. */
function daneRefuses(host: string, enhanced: string, why: string): HostUnusable {
  return new HostUnusable(host, reply(454, enhanced, `DANE wanted at ${host}, but ${why}`), false);
}

function hostOf(target: Target): string {
  return `${target.name}[${target.address}]:${target.port}`;
}

/** Why a failed handshake is not followed by clear text; undefined where it may be. */
function demandOf({ tls, implicitTls, credentials }: PeerSessionOptions): string | undefined {
  if (tls === 'verified')
    return 'a verified certificate is required for this route (ca: in the route names a private authority)';
  if (credentials !== undefined)
    return `the ${secretOf(credentials)} of this route goes to a verified certificate only (ca: in the route names a private authority)`;
  return tls === 'required' || implicitTls ? 'TLS is required for this route' : undefined;
}

function secretOf(credentials: Credentials): string {
  return 'tokens' in credentials ? 'token' : 'password';
}

async function negotiate(target: Target, options: PeerSessionOptions): Promise<PeerSession> {
  let connection: Connection | undefined;
  const abort = (): void => connection?.destroy('delivery stops');
  try {
    const rules = await tlsRules(target, options);
    connection = await Connection.open(target, options.timeouts.connect, options.signal);
    options.signal.addEventListener('abort', abort, { once: true });
    const peer = await introduce(connection, rules, target, options);
    options.log.debug({ peer: connection.peer, tls: connection.tls }, 'connected');
    return { target, connection, peer, protocol: options.protocol };
  } catch (error) {
    if (error instanceof HostUnusable) connection?.quit();
    else connection?.destroy(errorText(error));
    if (error instanceof ConnectionEnded) throw new HostUnusable(hostOf(target), error.reply, error.reason === 'local');
    throw error;
  } finally {
    options.signal.removeEventListener('abort', abort);
  }
}

async function tlsRules(target: Target, { tls, ca, credentials }: PeerSessionOptions): Promise<TlsRules> {
  const { dane } = target;
  const name = dane !== undefined && 'base' in dane ? dane.base : target.name;
  if (tls !== 'verified' && credentials === undefined) return { name, verify: undefined };
  if (ca === undefined) return { name, verify: { ca: undefined } };
  try {
    return { name, verify: { ca: await readFile(ca) } };
  } catch (error) {
    const text = `cannot read the authorities of the route: ${errorText(error)}`;
    throw new HostUnusable(hostOf(target), reply(454, '4.7.5', text), true);
  }
}

async function introduce(
  connection: Connection,
  rules: TlsRules,
  target: Target,
  options: PeerSessionOptions,
): Promise<Extensions> {
  const { command } = options.timeouts;
  if (options.implicitTls) await handshake(connection.secure(rules, command));
  const hint =
    options.protocol === 'smtp' && target.port !== 25 ? ' (where TLS comes first, the route is smtps://)' : '';
  const greet = connection.command('', options.implicitTls ? 'the greeting' : `the greeting${hint}`, command);
  const greeting = options.implicitTls ? await firstInTls(greet) : await greet;
  // 554 as a greeting is about the host, not about the message (RFC 5321 §3.1, §4.3.2): the next host is tried, and the
  // mail waits if there is none.
  if (!isPositive(greeting.reply)) throw new HostUnusable(connection.peer, greeting.reply, false);
  let peer = await hello(connection, options);
  if (!options.implicitTls && options.tls !== 'off') {
    if (await secure(connection, peer, { rules, target, options })) peer = await helloAgain(connection, options);
  }
  if (options.credentials !== undefined) {
    if (connection.tls === undefined && !isThisMachine(target.address)) {
      throw new HostUnusable(
        connection.peer,
        reply(
          454,
          '4.7.11',
          `${connection.peer} offers no TLS to protect the ${secretOf(options.credentials)} of the route`,
        ),
        true,
      );
    }
    await authenticate(connection, peer.auth, options.credentials, { timeoutMs: command, log: options.log });
  }
  return peer;
}

async function hello(connection: Connection, options: PeerSessionOptions): Promise<Extensions> {
  const answer = await sayHello(connection, options);
  if (isPositive(answer.reply)) return parseExtensions(answer.lines);
  // A server that does not know EHLO gets HELO (RFC 5321 §3.2); LMTP has nothing older (RFC 2033 §4.1).
  if (answer.reply.code < 500 || options.protocol === 'lmtp')
    throw new HostUnusable(connection.peer, answer.reply, false);
  const old = await connection.command(`HELO ${options.hostname}\r\n`, 'HELO', options.timeouts.command);
  if (!isPositive(old.reply)) throw new HostUnusable(connection.peer, old.reply, false);
  return parseExtensions([]);
}

/** After STARTTLS there is no HELO: a server that knows one of them knows the other. */
async function helloAgain(connection: Connection, options: PeerSessionOptions): Promise<Extensions> {
  const answer = await firstInTls(sayHello(connection, options));
  if (isPositive(answer.reply)) return parseExtensions(answer.lines);
  throw new HostUnusable(connection.peer, answer.reply, false);
}

function sayHello(connection: Connection, { protocol, hostname, timeouts }: PeerSessionOptions): Promise<PeerReply> {
  const verb = protocol === 'lmtp' ? 'LHLO' : 'EHLO';
  return connection.command(`${verb} ${hostname}\r\n`, verb, timeouts.command);
}

/** STARTTLS (RFC 3207). Resolves to whether the session is in TLS now. */
async function secure(
  connection: Connection,
  peer: Extensions,
  { rules, target: { dane }, options }: { rules: TlsRules; target: Target; options: PeerSessionOptions },
): Promise<boolean> {
  const refuse = (what: string): false => {
    if (dane !== undefined) throw daneRefuses(connection.peer, '4.7.4', `it ${what}`);
    if (options.tls === 'opportunistic') return false;
    const text = `TLS is required for this route, but ${connection.peer} ${what}`;
    throw new HostUnusable(connection.peer, reply(454, '4.7.4', text), false);
  };
  if (!peer.startTls) return refuse('does not offer STARTTLS');
  const outcome = await handshake(connection.startTls(rules, options.timeouts.command));
  if (outcome.refusal !== undefined) return refuse(`answered STARTTLS: ${formatReply(outcome.refusal)}`);
  if (dane?.kind === 'records') prove(connection, dane);
  if (outcome.dropped > 0) {
    const { dropped } = outcome;
    options.log.warn({ peer: connection.peer, bytes: dropped }, 'dropped clear text that came after STARTTLS');
  }
  return true;
}

/** Note in the facts of TLS how DANE verifies the peer. Fails with `HostUnusable`. */
function prove(connection: Connection, { records, names }: Dane & { kind: 'records' }): void {
  let verdict: Verdict;
  try {
    verdict = verifyByDane(connection.presented(), { records, names, now: Date.now() });
  } catch (error) {
    verdict = { refused: `its certificate cannot be read: ${errorText(error)}` };
  }
  if ('refused' in verdict) throw daneRefuses(connection.peer, '4.7.5', verdict.refused);
  if (connection.tls !== undefined) connection.tls = { ...connection.tls, verified: verdict.verified };
}

/** What ends a connection in the handshake is a failure of TLS. */
async function handshake<T>(under: Promise<T>): Promise<T> {
  try {
    return await under;
  } catch (error) {
    if (isTlsFailure(error)) throw new TlsFailed(error.message, { cause: error });
    throw error;
  }
}

/** The first reply in TLS, or what the peer says to the handshake in its place. */
async function firstInTls(answer: Promise<PeerReply>): Promise<PeerReply> {
  try {
    const heard = await answer;
    // RFC 3207 §4: TLS not available.
    if (heard.reply.code === 454)
      throw new TlsFailed(`TLS was given up after the handshake: ${formatReply(heard.reply)}`);
    return heard;
  } catch (error) {
    if (isTlsFailure(error)) {
      throw new TlsFailed(`TLS was given up after the handshake: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

/** 421 is the peer's word about the host, not about TLS. */
function isTlsFailure(error: unknown): error is ConnectionEnded {
  return error instanceof ConnectionEnded && error.reason !== 'local' && error.reason !== 'said';
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** The one address to which a password may go in clear text (RFC 4954 §14). */
export function isThisMachine(address: string): boolean {
  return LOOPBACK.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}
