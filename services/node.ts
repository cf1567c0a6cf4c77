import { dirname, resolve } from 'node:path';
import { client } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { openControl } from '#cluster/bus/control-socket.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { busLogin } from '#cluster/config/bus-login.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { watchConfig } from '#cluster/config/watch.ts';
import { Drain, type DrainDeps } from '#cluster/members/drain.ts';
import type { Member } from '#cluster/members/member-contract.ts';
import { Membership, type MembershipDeps } from '#cluster/members/membership.ts';
import { VERSION } from '#cluster/version.ts';
import { routerContract } from '#services/router/contract.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { makeFolder } from '#shared/files/folder.ts';
import type { Logger } from '#shared/log.ts';
import { auditor } from './audit.ts';
import { createService, type NodeDeps, type Served } from './create.ts';
import { CONTRACTS, MAIL_SERVICES, SERVICES, type ServiceName } from './topology.ts';

/**
 * The one composition root: makes the services of a process (`create.ts` gives each the clients of its peers), starts
 * them in order and stops them in reverse.
 */

export type NodeOptions = {
  config: Config;
  /** Default: all that the configuration has something for. */
  services?: readonly ServiceName[];
  log: Logger;
  /** Lines that `log` has lost, for operators to see. */
  logDropped?: () => number;
  /** The file that `config` came from; it is watched. */
  configFile?: string;
};

export type RunningNode = AsyncDisposable & {
  readonly bus: Bus;
  readonly settings: Settings;
  /** Those that run. */
  readonly services: readonly ServiceName[];
  /** The members of the cluster, and what this process announces of itself. */
  readonly membership: Membership;
  /** Read the configuration file again; nothing happens where there is none. */
  reload(): Promise<void>;
  /** Resolves when an administrator drained this process and nothing is left: it is to be stopped. */
  readonly drained: Promise<void>;
  /** Take no more work, finish what is under way, close. Once; a second call waits for the first. */
  stop(): Promise<void>;
};

/**
 * Start services in this process. Fails with the error of the first service that cannot start, after everything
 * started before it has been stopped again.
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { config, log } = options;
  const wanted = wantedServices(options);
  requireBusFor(wanted, config);
  await makeFolder(config.node.data);
  const { configFile } = options;
  const settings = new Settings(config, configFile && dirname(resolve(configFile)));
  const bus = await connectBus(config, log);
  const { logDropped } = options;
  const deps: NodeDeps = { bus, settings, log, ...(logDropped !== undefined && { logDropped }) };
  const undo = new AsyncDisposableStack();
  try {
    undo.defer(() => bus.drain());
    const node = await startServices(wanted, deps, undo);
    // A process with every service answers for its node while NATS is unreachable, and a credential-store those who have
    // its NEK, which the user of its bus may not serve: who may open the socket could read all that it keeps.
    if (wanted.includes('credential-store')) {
      const control = await openControl(config.node.data, bus, log);
      undo.defer(() => control.close());
    }
    const reload = await followConfig(configFile, wanted, deps, undo);
    node.membership.state = 'up';
    log.info({ node: config.node.name, services: wanted }, 'node is up');
    return running({ bus, settings, services: wanted, ...node, reload }, undo);
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
}

/**
 * Tell the cluster why this process does not start, where that is known before it begins to: the others say so to those who
 * ask why it is missing.
 */
export async function announceFailedStart(options: NodeOptions, reason: string): Promise<void> {
  const { config, log } = options;
  if (config.bus.servers.length === 0) return;
  await using undo = new AsyncDisposableStack();
  const bus = undo.adopt(await connectBus(config, log), (connected) => connected.drain());
  const drain = async (): Promise<void> => {
    throw new SealpostError('unavailable', 'this process does not start');
  };
  const membership = join({ bus, settings: new Settings(config), log, services: wantedServices(options), drain });
  membership.fail(reason);
  membership.stop();
}

/** Join the cluster and start each service. */
async function startServices(
  wanted: readonly ServiceName[],
  deps: NodeDeps,
  undo: AsyncDisposableStack,
): Promise<Pick<RunningNode, 'membership' | 'drained'>> {
  const { bus, settings, log } = deps;
  warnOfLateConsole(wanted, deps);
  const started = new Map<ServiceName, Served>();
  const drain = new Drain({
    log,
    queue: wanted.includes('router') ? queueOf(bus, settings.current.node.name) : undefined,
    stopListening: async () => {
      membership.state = 'draining';
      await started.get('listener')?.stop();
    },
  });
  const membership = join({ ...deps, services: wanted, drain: () => drain.begin() });
  undo.defer(() => membership.stop());
  followLevel(log, settings);
  for (const name of wanted) {
    const service = await createService(name, {
      bus,
      settings,
      log: followLevel(log.child({ service: name }), settings),
    });
    started.set(name, service);
    // One that fails to start is stopped too: it may hold what it opened before it failed.
    undo.defer(() => service.stop());
    await service.start().catch((error: unknown) => {
      membership.fail(`${name}: ${errorText(error)}`);
      throw error;
    });
  }
  return { membership, drained: drain.drained };
}

/** Keep a logger at the level of the configuration: a child keeps the one that it was made with. */
function followLevel(log: Logger, settings: Settings): Logger {
  settings.onChange((next) => {
    log.level = next.log.level;
  });
  return log;
}

/** A node that began without the section has no console to open. */
function warnOfLateConsole(services: readonly ServiceName[], { settings, log }: NodeDeps): void {
  if (!MAIL_SERVICES.every((name) => services.includes(name)) || services.includes('console')) return;
  settings.onChange((next, previous) => {
    if (previous.console === undefined && next.console !== undefined)
      log.warn('this node started without a section console: restart it to open the console');
  });
}

/** Watch the configuration file; resolves to the way to read it again. */
async function followConfig(
  file: string | undefined,
  services: readonly ServiceName[],
  { settings, log }: NodeDeps,
  undo: AsyncDisposableStack,
): Promise<() => Promise<void>> {
  if (file === undefined) return async () => undefined;
  const watch = await watchConfig(file, settings, log, services);
  undo.defer(() => watch.close());
  return () => watch.reload();
}

/** The queue of this process, as a drain knows it. Naming the node keeps the questions in the process. */
function queueOf(bus: Bus, node: string): DrainDeps['queue'] {
  const router = client(bus, routerContract);
  return {
    begin: async () => void (await router['queue-drain']({}, { node })),
    isEmpty: async () => {
      const { copies, active, deferred, hold } = await router['status-show']({}, { node });
      return copies?.drained ?? active + deferred + hold === 0;
    },
  };
}

function join(deps: Omit<MembershipDeps, 'version' | 'contracts'>): Membership {
  const contracts = Object.fromEntries(Object.values(CONTRACTS).map(({ name, version }) => [name, version]));
  const own = deps.settings.current.node.name;
  // What a node that goes for good has on its disk nobody is told any more.
  const staying = (operation: string): string | undefined =>
    operation === 'member-drain' ? membership.members().find((one) => isKeeper(one, own))?.node : undefined;
  const audit = auditor(deps.bus, own, deps.log, staying);
  const membership = new Membership({ ...deps, version: VERSION, contracts, audit });
  membership.start();
  return membership;
}

function isKeeper({ node, state, services }: Member, own: string): boolean {
  return node !== own && state === 'up' && services.includes('credential-store');
}

function running(
  parts: Pick<RunningNode, 'bus' | 'settings' | 'services' | 'membership' | 'drained' | 'reload'>,
  undo: AsyncDisposableStack,
): RunningNode {
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    if (stopped === undefined) {
      parts.membership.state = 'draining';
      stopped = undo.disposeAsync();
    }
    return stopped;
  };
  return { ...parts, stop, [Symbol.asyncDispose]: stop };
}

/** The console alone is there only where it is configured, unless it is named: then it waits for its section. */
function wantedServices({ services, config }: NodeOptions): ServiceName[] {
  return SERVICES.filter((name) => services?.includes(name) ?? (name !== 'console' || config.console !== undefined));
}

function requireBusFor(wanted: readonly ServiceName[], config: Config): void {
  const missing = MAIL_SERVICES.filter((name) => !wanted.includes(name));
  if (config.bus.servers.length > 0 || missing.length === 0) return;
  throw new SealpostError(
    'bus-needed',
    `without a bus all services must run in one process, but ${missing.join(', ')} would be missing: ` +
      'start them all, or name NATS servers in bus.servers',
  );
}

async function connectBus({ node, bus }: Config, log: Logger): Promise<Bus> {
  if (bus.servers.length === 0) return new LocalBus(node.name);
  // Loaded where there is a bus: a node without one starts sooner.
  const { NatsBus } = await import('#cluster/bus/nats-bus.ts');
  return NatsBus.connect({
    servers: bus.servers,
    node: node.name,
    log,
    ...(await busLogin(bus)),
    ...(bus.tls !== undefined && { tls: bus.tls }),
  });
}
