import type { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { BlockList, isIP } from 'node:net';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { formatReply, isPositive, reply } from '#shared/mail/reply.ts';
import type { CertificateVerdict, Protection } from '#shared/mail/tls.ts';
import type { SessionTranscript } from '#shared/transcript/transcripts.ts';
import { describeTls } from '../tls-policy/describe.ts';
import { firstInTls, handshaken, TlsFailed } from '../tls-policy/handshake.ts';
import { type Judgement, judge } from '../tls-policy/judge.ts';
import { type Attempt, mayGoClear, type Opened } from '../tls-policy/ladder.ts';
import { checkProof, usesRequireTls } from '../tls-policy/require-tls.ts';
import type { TlsFailure } from '../tls-policy/result.ts';
import { type Target, type TlsRules, wishOf } from '../tls-policy/wanted.ts';
import { authenticate, type Credentials } from './auth.ts';
import { Connection, type Timeouts } from './connection.ts';
import { ConnectionEnded, HostUnusable } from './errors.ts';
import { type Extensions, parseExtensions } from './extensions.ts';
import type { PeerReply } from './reply-parser.ts';
import type { Handshake, TlsFacts } from './tls.ts';

/**
 * From a host's address to a session that is ready for MAIL: greeting, EHLO, STARTTLS, EHLO again, AUTH; with implicit
 * TLS the handshake comes first (RFC 8314 §3).
 *
 * A handshake has succeeded when the peer has said something in TLS. With TLS 1.3 the client is through before the
 * server has judged what it sent (RFC 8446 §2): a refusal, as an alert, a close or 454, then comes in place of the first
 * reply.
 *
 * What TLS is wanted is said by the attempt (../tls-policy/wanted.ts); a host that cannot do it is unusable, with what TLS
 * has to do with it. What follows a failed handshake is up to the ladder (../tls-policy/ladder.ts). A password or token goes
 * only to a certificate that is verified, or in clear text to this machine.
 */

export type PeerSessionOptions = {
  protocol: 'smtp' | 'lmtp';
  /** Our name in EHLO. */
  hostname: string;
  rules: TlsRules;
  /** PEM file of the authorities that a verified certificate comes from; undefined: the public ones. */
  ca: string | undefined;
  credentials: Credentials | undefined;
  timeouts: Timeouts;
  signal: AbortSignal;
  log: Logger;
  transcript?: ((target: Target) => SessionTranscript) | undefined;
  /** Sees a handshake that came about, before its certificate is judged. */
  onHandshake?: ((handshake: SeenHandshake) => void) | undefined;
};

export type PeerSession = Opened & {
  target: Target;
  connection: Connection;
  peer: Extensions;
  protocol: 'smtp' | 'lmtp';
  /** It is fit for REQUIRETLS (RFC 8689 §2), and the mail asks for that. */
  requireTls: boolean;
};

export type SeenHandshake = TlsFacts & { certificates: readonly X509Certificate[] };
type Making = {
  attempt: Attempt;
  options: PeerSessionOptions;
  handshake: Handshake;
  transcript: SessionTranscript | undefined;
};
/** What came of TLS: the look at the certificate, or why there is none. */
type Secured = { judgement: Judgement } | { why: string };

/** Take a step of the ladder. Rejects with `HostUnusable`. */
export async function openSession(attempt: Attempt, options: PeerSessionOptions): Promise<PeerSession> {
  const { target } = attempt;
  const { dane, sts } = target;
  const host = hostOf(target);
  if (dane?.kind === 'unknown') {
    const trouble = { type: 'dnssec-invalid', reason: dane.reply.text, handshake: false } as const;
    throw new HostUnusable(host, dane.reply, false, trouble);
  }
  if (attempt.wanted.proof === 'web' && sts?.policy.mode === 'enforce' && !sts.matches) {
    const reason = `the MTA-STS policy of ${target.domain} does not name ${target.name}, but ${someOf(sts.policy.mx)}`;
    const trouble = { type: 'validation-failure', reason, handshake: false } as const;
    throw new HostUnusable(host, reply(454, '4.7.5', reason), false, trouble, hopelessFor(attempt));
  }
  checkProof(host, target, options.rules);
  let connection: Connection | undefined;
  const abort = (): void => connection?.destroy('delivery stops');
  try {
    const handshake = await handshakeOf(attempt, options);
    const transcript = options.transcript?.(target);
    transcript?.noteOf(() => stepText(attempt));
    connection = await Connection.open(target, options.timeouts.connect, options.signal, transcript);
    options.signal.addEventListener('abort', abort, { once: true });
    const { peer, secured } = await introduce(connection, { attempt, options, handshake, transcript });
    options.log.debug({ peer: connection.peer, tls: connection.tls }, 'connected');
    const { protocol } = options;
    const made = opened(connection, attempt, secured);
    const requireTls = usesRequireTls(host, { ...made, offered: peer.requireTls, target }, options.rules);
    return { target, connection, peer, protocol, requireTls, ...made };
  } catch (error) {
    if (error instanceof HostUnusable) connection?.quit();
    else connection?.destroy(errorText(error));
    if (error instanceof ConnectionEnded) throw new HostUnusable(host, error.reply, error.reason === 'local');
    if (error instanceof TlsFailed) {
      const { message: reason, passing } = error;
      throw refused(host, '4.7.5', { attempt, options, reason, passing }, true);
    }
    throw error;
  } finally {
    options.signal.removeEventListener('abort', abort);
  }
}

/** What is tried, for those who look on. */
function stepText({ wanted, rung, failure }: Attempt): string {
  const how = { usual: '', reduced: ', with a reduced ClientHello', clear: ', in clear text' }[rung];
  return `TLS wanted: ${wanted.tls} (${wanted.by})${how}${failure === undefined ? '' : `, as ${failure.reason}`}`;
}

function opened({ tls, localAddress }: Connection, { wanted }: Attempt, secured: Secured): Opened {
  const judgement = 'judgement' in secured ? secured.judgement : undefined;
  const verified = judgement !== undefined && (judgement.verified !== undefined || judgement.web === undefined);
  const protection: Protection = {
    wanted: wanted.tls,
    by: wanted.by,
    reached: tls === undefined ? 'clear' : verified ? 'verified' : 'encrypted',
    ...(judgement && { certificate: judgement.verdict }),
    ...('why' in secured && secured.why !== '' && { why: secured.why }),
  };
  return { protection, judgement, localAddress: localAddress() };
}

function hostOf(target: Target): string {
  return `${target.name}[${target.address}]:${target.port}`;
}

/** Why a host is not used: what was wanted, and what came instead. `passing`: it may be otherwise soon. */
function refused(
  host: string,
  enhanced: string,
  {
    attempt,
    options,
    reason,
    passing = false,
  }: { attempt: Attempt; options: PeerSessionOptions; reason: string; passing?: boolean },
  handshake: boolean,
  found: { type: TlsFailure; certificate?: CertificateVerdict } = { type: 'validation-failure' },
): HostUnusable {
  const { wanted } = attempt;
  const text =
    mayGoClear(wanted) && options.rules.secret === undefined
      ? reason
      : `${wishOf(wanted, options.rules.secret)}, but ${reason}${doubtOf(attempt)}`;
  const trouble = { reason, handshake, ...found };
  const hopeless = passing ? undefined : hopelessFor(attempt);
  return new HostUnusable(host, reply(454, enhanced, text), false, trouble, hopeless);
}

/**
 * A domain that announces its TLS and does not have it is expected to mend that: such mail waits, whoever wants it. Where it
 * cannot be told whether the domain does (RFC 8461 §3.3: trouble of the moment is not a word of the domain), mail waits too:
 * whoever strips STARTTLS may well keep the policy from us, and what comes back as 550 is not tried again.
 */
function hopelessFor({ target: { dane, sts, stsUnknown } }: Attempt): HostUnusable['insecure'] {
  return dane !== undefined || sts?.policy.mode === 'enforce' || stsUnknown ? undefined : '5.7.10';
}

function doubtOf({ wanted, target: { dane, domain, stsUnknown } }: Attempt): string {
  if (wanted.by !== 'message' || dane !== undefined || !stsUnknown) return '';
  return `; whether ${domain} promises it cannot be told, since its MTA-STS policy cannot be had now`;
}

/** A policy may have many patterns, and a reply is kept with each recipient. */
function someOf(patterns: readonly string[]): string {
  return `${patterns.slice(0, 3).join(', ')}${patterns.length > 3 ? ' …' : ''}`;
}

async function handshakeOf({ target, rung, wanted }: Attempt, { ca }: PeerSessionOptions): Promise<Handshake> {
  const { dane } = target;
  const name = dane !== undefined && 'base' in dane ? dane.base : target.name;
  const hello = rung === 'usual' ? 'usual' : mayGoClear(wanted) ? 'old' : 'reduced';
  if (ca === undefined) return { name, ca: undefined, hello };
  try {
    return { name, ca: await readFile(ca), hello };
  } catch (error) {
    const text = `cannot read the authorities of the route: ${errorText(error)}`;
    throw new HostUnusable(hostOf(target), reply(454, '4.7.5', text), true);
  }
}

async function introduce(connection: Connection, making: Making): Promise<{ peer: Extensions; secured: Secured }> {
  const { attempt, options, handshake } = making;
  const { command } = options.timeouts;
  const { implicitTls } = options.rules;
  if (implicitTls) await handshaken(connection.secure(handshake, command));
  let secured: Secured = implicitTls ? prove(connection, making) : { why: attempt.failure?.reason ?? '' };
  const hint =
    options.protocol === 'smtp' && attempt.target.port !== 25 ? ' (where TLS comes first, the route is smtps://)' : '';
  const greet = connection.command('', implicitTls ? 'the greeting' : `the greeting${hint}`, command);
  const greeting = implicitTls ? await firstInTls(greet) : await greet;
  // 554 as a greeting is about the host, not about the message (RFC 5321 §3.1, §4.3.2): the next host is tried, and the
  // mail waits if there is none.
  if (!isPositive(greeting.reply)) throw new HostUnusable(connection.peer, greeting.reply, false);
  let peer = await hello(connection, options);
  if (!implicitTls && attempt.wanted.tls !== 'off' && attempt.rung !== 'clear') {
    secured = await secure(connection, peer, making);
    if ('judgement' in secured) peer = await helloAgain(connection, options);
  }
  if (options.credentials !== undefined) {
    if (connection.tls === undefined && !isThisMachine(attempt.target.address)) {
      const text = `${connection.peer} offers no TLS to protect the ${options.rules.secret} of the route`;
      throw new HostUnusable(connection.peer, reply(454, '4.7.11', text), true);
    }
    await authenticate(connection, peer.auth, options.credentials, { timeoutMs: command, log: options.log });
  }
  return { peer, secured };
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

/** STARTTLS (RFC 3207): the session is in TLS then, or goes on in clear text where that is allowed. */
async function secure(connection: Connection, { startTls }: Extensions, making: Making): Promise<Secured> {
  const { attempt, options, handshake } = making;
  const refuse = (what: string, passing = false): Secured => {
    const reason = `${connection.peer} ${what}`;
    // A route with a login that does not ask for TLS may lead to this machine.
    if (mayGoClear(attempt.wanted) || (options.rules.secret !== undefined && options.rules.tls === 'opportunistic'))
      return { why: reason };
    const found = { type: 'starttls-not-supported' } as const;
    throw refused(connection.peer, '4.7.4', { attempt, options, reason, passing }, false, found);
  };
  if (!startTls) return refuse('does not offer STARTTLS');
  const outcome = await handshaken(connection.startTls(handshake, options.timeouts.command));
  const { refusal } = outcome;
  if (refusal !== undefined) return refuse(`answered STARTTLS: ${formatReply(refusal)}`, refusal.code < 500);
  const secured = prove(connection, making);
  if (outcome.dropped > 0) {
    const { dropped } = outcome;
    options.log.warn({ peer: connection.peer, bytes: dropped }, 'dropped clear text that came after STARTTLS');
  }
  return secured;
}

/** Look at the certificate, and note in the facts of TLS how DANE verifies it. Throws `HostUnusable`. */
function prove(connection: Connection, { attempt, options, transcript }: Making): { judgement: Judgement } {
  const { proof } = attempt.wanted;
  const { presented, chainProblem } = connection.shown();
  let leaf: X509Certificate | undefined;
  const seen = (): X509Certificate[] => {
    const certificates = presented();
    [leaf] = certificates;
    if (connection.tls !== undefined) options.onHandshake?.({ ...connection.tls, certificates });
    return certificates;
  };
  const judgement = judge({ presented: seen, chainProblem }, attempt.target);
  const { verdict: certificate, verified } = judgement;
  const { tls } = connection;
  if (tls !== undefined) transcript?.noteOf(() => describeTls(tls, leaf, certificate, attempt.target.name));
  const problem = proof === undefined ? undefined : judgement[proof];
  if (problem !== undefined) {
    const reason = `at ${connection.peer} ${problem.reason}`;
    throw refused(connection.peer, '4.7.5', { attempt, options, reason }, false, { type: problem.type, certificate });
  }
  if (verified !== undefined && connection.tls !== undefined) connection.tls = { ...connection.tls, verified };
  return { judgement };
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** The one address to which a password may go in clear text (RFC 4954 §14). */
export function isThisMachine(address: string): boolean {
  return LOOPBACK.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}
