import type { Settings } from '#cluster/config/settings.ts';
import type { Logger } from '#shared/log.ts';
import type { SessionPeer, Transcripts } from '#shared/transcript/transcripts.ts';
import { Grants, grantKey } from './access-tokens.ts';
import { captureTransport } from './capture.ts';
import type { Transport } from './channel.ts';
import { warnOfNoEffect } from './dane/configured.ts';
import { Destination } from './destination.ts';
import { discardTransport } from './discard.ts';
import type { TargetSource } from './hosts/host-order.ts';
import { hostTargets } from './hosts/named-host.ts';
import { fromSource } from './hosts/source.ts';
import { type Delivery, hostsOf, type Job, type NextHop, type Pause, type SmtpHost } from './job.ts';
import { maildirTransport } from './maildir.ts';
import { MxLookup } from './mx.ts';
import { createResolver, type Resolver } from './resolver.ts';
import type { Credentials } from './smtp/auth.ts';
import type { SmtpSettings } from './smtp/channel.ts';
import { ChunkingFaults } from './smtp/transaction/chunking.ts';
import { SmtpTransport } from './smtp/transport.ts';
import type { LadderDeps } from './tls-policy/ladder.ts';
import type { LostDestinations } from './tls-policy/lost.ts';
import type { TlsMemory } from './tls-policy/memory.ts';
import type { OnTlsResult } from './tls-policy/result.ts';
import type { StsPolicies } from './tls-policy/sts/policies.ts';
import type { Target, TlsRules } from './tls-policy/wanted.ts';

/**
 * Delivery on this node. Its words, from the queue to the wire:
 *
 *   attempt      one try at one message for recipients that share a next hop, as the queue sees it (queue/attempt.ts)
 *   job          the same as delivery sees it: what is sent to whom, `open` and `finish` (job.ts)
 *   next hop     where a route leads: a kind of transport, and a host or a folder (job.ts)
 *   throttle     where the jobs for a destination with a limit wait before they get here (pacing/pacer.ts)
 *   destination  everything for one next hop: jobs that wait, workers, back-off (destination.ts)
 *   worker       takes a destination's jobs to one channel, one after the other (destination.ts)
 *   transport    a way to deliver; makes channels (channel.ts; maildir.ts, capture.ts, discard.ts, smtp/)
 *   channel      carries one message after the other: an SMTP session, a folder (channel.ts)
 *
 * With SMTP and LMTP (smtp/):
 *
 *   peer         the server at the other end
 *   target       an address of a mail exchanger or smart host to connect to (mx.ts)
 *   connection   a TCP connection to a peer, in clear or in TLS: bytes out, replies in, one deadline
 *   session      a connection that is past greeting, EHLO, STARTTLS and AUTH, and what the peer offers on it
 *   transaction  one message over a session: MAIL, RCPT and DATA, and the verdict on each recipient
 */

/** How long jobs under way may take to end when delivery stops. */
const STOP_MS = 10_000;
/** How often destinations without work are dropped. */
const SWEEP_MS = 10_000;

export type DeliveryDeps = {
  settings: Settings;
  log: Logger;
  /** Concurrent connections to the mail exchangers of a domain, where they are limited. */
  connectionsTo?: (domain: string) => number | undefined;
  /** Without it, the one that asks `dns.servers`. */
  resolver?: Resolver;
  /** Policies of domains (MTA-STS); without it no domain has one. */
  sts?: StsPolicies | undefined;
  /** What the routers remember of the TLS of others. */
  memory?: TlsMemory | undefined;
  /** Told of each attempt to open a session with a mail exchanger, but where policies are ignored. */
  onTlsResult?: OnTlsResult | undefined;
  /** Where destinations are noted that have lost their TLS. */
  lostTls: LostDestinations;
  /** What administrators look on. */
  transcripts?: Transcripts;
};

type Known = { nextHop: NextHop; destination: Destination };

/** One `Destination` for each next hop that has work. */
export function createDelivery(deps: DeliveryDeps): Delivery {
  const { settings, log, connectionsTo } = deps;
  const resolver = deps.resolver ?? createResolver(settings);
  const mx = new MxLookup(resolver, settings, deps);
  const destinations = new Map<string, Known>();
  /** Destinations whose route has changed; they finish what they have. */
  const retired = new Set<Destination>();
  const remembered = { grants: new Grants(log), chunkingFaults: new ChunkingFaults() };
  let stopped: Promise<void> | undefined;
  void warnOfNoEffect(settings.current, log);
  const unsubscribe = settings.onChange((next) => void warnOfNoEffect(next, log));
  const sweep = setInterval(() => {
    for (const [key, { destination }] of destinations) if (destination.forgettable) destinations.delete(key);
    for (const destination of retired) if (destination.forgettable) retired.delete(destination);
  }, SWEEP_MS).unref();

  const destinationOf = (nextHop: NextHop): Destination => {
    const known = destinations.get(nextHop.key);
    if (known !== undefined && (known.nextHop === nextHop || isSame(known.nextHop, nextHop))) return known.destination;
    if (known !== undefined) {
      known.destination.retire();
      retired.add(known.destination);
    }
    const { spec } = nextHop;
    const transport = createTransport(nextHop, { ...deps, resolver, mx, ...remembered });
    const most = (): number | undefined => (spec.kind === 'mx' ? connectionsTo?.(spec.domain) : undefined);
    const destination = new Destination(nextHop, transport, { settings, log, most });
    destinations.set(nextHop.key, { nextHop, destination });
    // A destination that is made after the stop gives back every job.
    if (stopped !== undefined) void destination.stop(0);
    return destination;
  };

  const stop = async (): Promise<void> => {
    clearInterval(sweep);
    unsubscribe();
    const all = [...retired, ...[...destinations.values()].map(({ destination }) => destination)];
    await Promise.all(all.map((destination) => destination.stop(STOP_MS)));
    resolver.close?.();
  };

  return {
    submit: (nextHop: NextHop, job: Job) => destinationOf(nextHop).submit(job),
    pauseOf: (hop: NextHop | string) => pauseIn(destinations, hop),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

function pauseIn(destinations: ReadonlyMap<string, Known>, hop: NextHop | string): Pause | undefined {
  const known = destinations.get(typeof hop === 'string' ? hop : hop.key);
  const isOther = known === undefined || (typeof hop !== 'string' && !isSame(known.nextHop, hop));
  return isOther ? undefined : known.destination.pause;
}

/** Whether both lead to the same place in the same way: a changed route must not use the connections of the old one. */
function isSame(a: NextHop, b: NextHop): boolean {
  return (
    a.tls === b.tls &&
    a.ca === b.ca &&
    JSON.stringify([a.demand, a.spec, a.source]) === JSON.stringify([b.demand, b.spec, b.source]) &&
    secrets(a) === secrets(b)
  );
}

function secrets({ spec }: NextHop): string {
  if (spec.kind !== 'smtp') return '';
  return JSON.stringify(hostsOf(spec).map(({ password, oauth }) => [password?.reveal(), oauth && grantKey(oauth)]));
}

function credentialsOf({ user, password, oauth }: SmtpHost, grants: Grants): Credentials | undefined {
  if (user === undefined) return undefined;
  if (oauth !== undefined) return { user, tokens: grants.tokens(oauth) };
  return password === undefined ? undefined : { user, password };
}

/** The way to a next hop. */
export function createTransport(
  hop: NextHop,
  deps: DeliveryDeps & {
    resolver: Resolver;
    mx: MxLookup;
    grants: Grants;
    chunkingFaults?: ChunkingFaults;
    longestWaitMs?: number;
  },
): Transport {
  const { settings: current, log, resolver, mx, grants, transcripts, chunkingFaults } = deps;
  const { spec, ca, source } = hop;
  const settings = (): SmtpSettings => {
    const { delivery, node } = current.current;
    const transcript = transcripts && ((target: Target) => transcripts.session(() => peerOf(target)));
    const most = deps.longestWaitMs ?? Number.POSITIVE_INFINITY;
    const { connect, command, data } = delivery.timeout;
    const timeouts = { connect: Math.min(connect, most), command: Math.min(command, most), data };
    return { hostname: source?.ehlo ?? node.hostname, timeouts, transcript };
  };
  const tls = ladderOf(hop, deps);
  const common = { ca, settings, log, ...(chunkingFaults && { chunkingFaults }) };
  const placed = (of: TargetSource) => ({ ...of, targets: () => fromSource(source, of.targets) });
  switch (spec.kind) {
    case 'mx':
      return new SmtpTransport({
        ...common,
        protocol: 'smtp',
        smartHost: false,
        sources: [placed({ targets: () => mx.targets(spec.domain, tls.rules, source), tls, credentials: undefined })],
        missing: () => mx.missing(spec.domain),
      });
    case 'smtp': {
      const sources = hostsOf<SmtpHost>(spec).map((host) => placed(smartHost(host, tls, { resolver, grants })));
      return new SmtpTransport({ ...common, protocol: 'smtp', smartHost: true, sources });
    }
    case 'lmtp': {
      const sources = hostsOf<{ host: string; port: number }>(spec).map(({ host, port }) => {
        return placed({ targets: () => hostTargets(resolver, host, port), tls, credentials: undefined });
      });
      return new SmtpTransport({ ...common, protocol: 'lmtp', smartHost: true, sources });
    }
    case 'maildir':
      return maildirTransport(spec.folder, { hostname: () => current.current.node.hostname, log });
    case 'capture':
      return captureTransport(spec.folder);
    case 'discard':
      return discardTransport(log);
  }
}

/** A host that a route names; what it is told to log in with goes to it alone. */
function smartHost(
  host: SmtpHost,
  tls: LadderDeps,
  { resolver, grants }: { resolver: Resolver; grants: Grants },
): TargetSource {
  const credentials = credentialsOf(host, grants);
  const secret: TlsRules['secret'] = credentials && ('tokens' in credentials ? 'token' : 'password');
  return {
    credentials,
    tls: { ...tls, rules: { ...tls.rules, implicitTls: host.implicitTls === true, secret } },
    targets: async () => {
      // Without a token no connection is opened: there would be nothing to say.
      if (credentials !== undefined && 'tokens' in credentials) await credentials.tokens.current();
      const targets = await hostTargets(resolver, host.host, host.port);
      return credentials === undefined ? targets : targets.map((one) => ({ ...one, account: credentials.user }));
    },
  };
}

/** Where policies are ignored, neither memory asks for TLS, nor does anybody hear what becomes of it. */
function ladderOf({ tls, demand }: NextHop, deps: DeliveryDeps): LadderDeps {
  const { settings, lostTls: lost, log } = deps;
  const { memory, onTlsResult } = demand?.ignorePolicies ? {} : deps;
  const rules: TlsRules = { tls, byMessage: demand?.raises === true, demand, implicitTls: false, secret: undefined };
  return { rules, ifLost: () => settings.current.delivery['tls-lost'], memory, lost, onTlsResult, log };
}

/** Whom a session is with: by the domain whose mail goes there as well. */
function peerOf({ name, address, port, domain }: Target): SessionPeer {
  const names = domain === undefined ? [name] : [name, domain];
  return { address, names, text: `${name}[${address}]:${port}` };
}
