import type { Settings } from '#cluster/config/settings.ts';
import type { Logger } from '#shared/log.ts';
import { captureTransport } from './capture.ts';
import type { Transport } from './channel.ts';
import { Destination } from './destination.ts';
import { discardTransport } from './discard.ts';
import type { Delivery, Job, NextHop } from './job.ts';
import { maildirTransport } from './maildir.ts';
import { hostTargets, MxLookup } from './mx.ts';
import { createResolver, type Resolver } from './resolver.ts';
import { SmtpTransport, type SmtpTransportSettings } from './smtp/transport.ts';

/** How long jobs under way may take to end when delivery stops. */
const STOP_MS = 10_000;
/** How often destinations without work are dropped. */
const SWEEP_MS = 10_000;

export type DeliveryDeps = {
  settings: Settings;
  log: Logger;
  /** Connections at once to the mail exchangers of a domain, where they are limited. */
  connectionsTo?: (domain: string) => number | undefined;
};

/** Delivery on this node: one `Destination` for each next hop that has work. */
export function createDelivery(deps: DeliveryDeps & { resolver?: Resolver }): Delivery {
  const { settings, log, connectionsTo } = deps;
  const resolver = deps.resolver ?? createResolver(settings);
  const mx = new MxLookup(resolver, settings);
  const destinations = new Map<string, { nextHop: NextHop; destination: Destination }>();
  /** Destinations whose route was changed; they finish what they have. */
  const retired = new Set<Destination>();
  let stopped: Promise<void> | undefined;

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
    const transport = createTransport(nextHop, { settings, log, resolver, mx });
    const most = (): number | undefined => (spec.kind === 'mx' ? connectionsTo?.(spec.domain) : undefined);
    const destination = new Destination(nextHop, transport, { settings, log, most });
    destinations.set(nextHop.key, { nextHop, destination });
    // A destination made after the stop gives back what it gets.
    if (stopped !== undefined) void destination.stop(0);
    return destination;
  };

  const stop = async (): Promise<void> => {
    clearInterval(sweep);
    const all = [...retired, ...[...destinations.values()].map(({ destination }) => destination)];
    await Promise.all(all.map((destination) => destination.stop(STOP_MS)));
  };

  return {
    submit: (nextHop: NextHop, job: Job) => destinationOf(nextHop).submit(job),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** Whether both lead to the same place in the same way: a changed route must not use the connections of the old one. */
function isSame(a: NextHop, b: NextHop): boolean {
  const password = ({ spec }: NextHop): string | undefined =>
    spec.kind === 'smtp' ? spec.password?.reveal() : undefined;
  return a.tls === b.tls && JSON.stringify(a.spec) === JSON.stringify(b.spec) && password(a) === password(b);
}

function createTransport(
  { spec, tls }: NextHop,
  deps: { settings: Settings; log: Logger; resolver: Resolver; mx: MxLookup },
): Transport {
  const { settings: current, log, resolver, mx } = deps;
  const settings = (): SmtpTransportSettings => {
    const { delivery, node } = current.current;
    return { hostname: node.hostname, timeouts: delivery.timeout };
  };
  const common = { tls, settings, log, credentials: undefined };
  switch (spec.kind) {
    case 'mx':
      return new SmtpTransport({
        ...common,
        protocol: 'smtp',
        smartHost: false,
        targets: () => mx.targets(spec.domain),
      });
    case 'smtp': {
      const { host, port, user, password } = spec;
      const credentials = user === undefined || password === undefined ? undefined : { user, password };
      const targets = () => hostTargets(resolver, host, port);
      return new SmtpTransport({ ...common, protocol: 'smtp', smartHost: true, credentials, targets });
    }
    case 'lmtp': {
      const targets = () => hostTargets(resolver, spec.host, spec.port);
      return new SmtpTransport({ ...common, protocol: 'lmtp', smartHost: true, targets });
    }
    case 'maildir':
      return maildirTransport(spec.folder, { hostname: () => current.current.node.hostname, log });
    case 'capture':
      return captureTransport(spec.folder);
    case 'discard':
      return discardTransport(log);
  }
}
