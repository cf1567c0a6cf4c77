import type { X509Certificate } from 'node:crypto';
import { commonName, subjectName } from '#cluster/certificates/describe.ts';
import { silentLogger } from '#shared/log.ts';
import { formatReply } from '#shared/mail/reply.ts';
import { readableTime } from '#shared/mail/tls.ts';
import { cut } from '#shared/text.ts';
import type { ProbedDomain, ProbedHost, ProbedWay } from '#shared/tls/probe.ts';
import { Grants } from '../delivery/access-tokens.ts';
import { Unreachable } from '../delivery/channel.ts';
import { createTransport, type DeliveryDeps } from '../delivery/delivery.ts';
import type { NextHop } from '../delivery/job.ts';
import { MxLookup } from '../delivery/mx.ts';
import { createResolver } from '../delivery/resolver.ts';
import { SmtpTransport } from '../delivery/smtp/transport.ts';
import { LostDestinations } from '../delivery/tls-policy/lost.ts';
import type { TlsMemory } from '../delivery/tls-policy/memory.ts';
import type { Probed } from '../delivery/tls-policy/probe.ts';
import { type Redirects, Routing } from '../queue/routing.ts';
import { waysTo } from '../queue/ways.ts';

/**
 * What would become of mail for a domain, host by host: by the route, the look-ups and the handshakes of delivery itself, up
 * to where a login or MAIL would follow. Nothing of it is remembered, reported or told in the log.
 */

/** Longest wait for a host to answer, so that somebody who looks on gets an answer: shorter than that of delivery. */
const PATIENCE_MS = 10_000;
const LIMIT_MS = 80_000;
/** Certificates of a chain, and names of one, that are shown. */
const MOST_CERTIFICATES = 10;
const MOST_NAMES = 50;
/** Ways of senders that are looked at, and senders of one that are named. */
const MOST_OTHERS = 10;
const MOST_SENDERS = 20;

/** By the way of everybody, and by those of senders whose mail takes another one. */
export async function probeDomain(
  domain: string,
  deps: DeliveryDeps & { directives?: Redirects | undefined },
): Promise<ProbedDomain> {
  const { settings, directives } = deps;
  const node = settings.current.node.name;
  const resolver = deps.resolver ?? createResolver(settings);
  try {
    const [first, ...others] = waysTo(domain, new Routing(settings, directives), settings.current);
    const [general, ...rest] = await Promise.all([
      probeHop(first?.hop, { ...deps, resolver }),
      ...others.slice(0, MOST_OTHERS).map(async (way) => ({
        for: way.for.slice(0, MOST_SENDERS),
        ...(await probeHop(way.hop, { ...deps, resolver })),
      })),
    ]);
    return { node, ...general, ...(rest.length > 0 && { others: rest }) };
  } finally {
    if (deps.resolver === undefined) resolver.close?.();
  }
}

async function probeHop(
  hop: NextHop | undefined,
  deps: DeliveryDeps & { resolver: NonNullable<DeliveryDeps['resolver']> },
): Promise<ProbedWay> {
  if (hop === undefined) return { nextHop: '', hosts: [] };
  const { resolver, settings } = deps;
  const lostTls = new LostDestinations(silentLogger);
  const found = { nextHop: hop.key, ...(hop.redirected && { redirected: hop.redirected }) };
  try {
    const transport = createTransport(hop, {
      ...{ ...deps, log: silentLogger, lostTls, onTlsResult: undefined },
      mx: new MxLookup(resolver, settings, { sts: deps.sts }),
      memory: deps.memory && readOnly(deps.memory),
      grants: new Grants(silentLogger),
      longestWaitMs: PATIENCE_MS,
    });
    const hosts = transport instanceof SmtpTransport ? await transport.probe(AbortSignal.timeout(LIMIT_MS)) : [];
    return { ...found, hosts: hosts.map(hostOf) };
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    return { ...found, hosts: [], unreachable: { state: error.state, reply: formatReply(error.reply) } };
  }
}

function readOnly(memory: TlsMemory): TlsMemory {
  return {
    domain: (name) => memory.domain(name),
    host: (name) => memory.host(name),
    noteDomain: () => undefined,
    noteHost: () => undefined,
  };
}

function hostOf({ target, wanted, failures, session, handshake }: Probed): ProbedHost {
  const { name, address, port, dane, sts } = target;
  const certificate = session?.protection.certificate ?? failures.findLast((one) => one.certificate)?.certificate;
  return {
    ...{ name, address, port },
    wanted: { tls: wanted.tls, by: wanted.by, ...(wanted.proof && { proof: wanted.proof }) },
    ...(dane !== undefined && { dane: dane.kind }),
    ...(sts && { sts: { mode: sts.policy.mode, matches: sts.matches } }),
    failures: failures.map(({ rung, reply }) => ({ rung, reply: formatReply(reply) })),
    ...(session && { session }),
    ...(handshake && {
      handshake: {
        ...{ protocol: handshake.protocol, cipher: handshake.cipher },
        certificates: handshake.certificates.slice(0, MOST_CERTIFICATES).map(describe),
      },
    }),
    ...(certificate && { certificate }),
  };
}

function describe(certificate: X509Certificate) {
  const { issuer, subjectAltName, validFromDate, validToDate } = certificate;
  const names = (subjectAltName ?? '').split(', ').filter((name) => name !== '');
  return {
    ...{ subject: cut(subjectName(certificate), 255), issuer: cut(commonName(issuer), 255) },
    names: names.slice(0, MOST_NAMES).map((name) => cut(name.replace(/^(?:DNS|IP Address):/, ''), 255)),
    // One that cannot be read is long past.
    ...{ from: readableTime(validFromDate) ?? 0, until: readableTime(validToDate) ?? 0 },
  };
}
