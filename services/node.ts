import { mkdir } from 'node:fs/promises';
import { announcer, client, serve } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { openControl } from '#cluster/bus/control-socket.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { busLogin } from '#cluster/config/bus-login.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { type ConfigWatch, watchConfig } from '#cluster/config/watch.ts';
import { Drain, type DrainDeps } from '#cluster/members/drain.ts';
import { Membership, type MembershipDeps } from '#cluster/members/membership.ts';
import type { PeerBus } from '#cluster/members/peers.ts';
import { VERSION } from '#cluster/version.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { createCredentialStoreService } from '#services/credential-store/service.ts';
import { createListenerService } from '#services/listener/service.ts';
import { policyContract } from '#services/policy/contract.ts';
import { createPolicyService } from '#services/policy/service.ts';
import { routerContract } from '#services/router/contract.ts';
import { createRouterService } from '#services/router/service.ts';
import { signerContract } from '#services/signer/contract.ts';
import { createSignerService } from '#services/signer/service.ts';
import type { Contract, Listen, Service } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { CONTRACTS, calls, hears, type ServiceName } from './topology.ts';

/**
 * The one composition root: makes the services of a process, gives each the clients of its peers (`topology.ts`),
 * starts them in order and stops them in reverse.
 */

/** Every service, in the order of their start: who is called comes before who calls. */
export const SERVICES = ['credential-store', 'signer', 'policy', 'router', 'listener'] as const satisfies ServiceName[];

export type NodeOptions = {
  config: Config;
  /** Default: all. */
  services?: readonly ServiceName[];
  log: Logger;
  /** The file that `config` came from; it is watched. */
  configFile?: string;
};

export type RunningNode = AsyncDisposable & {
  readonly bus: Bus;
  readonly settings: Settings;
  /** Who else is there, and what this process says of itself. */
  readonly membership: Membership;
  /** Read the configuration file again; nothing happens where there is none. */
  reload(): Promise<void>;
  /** Resolves when an administrator drained this process and nothing is left: it is to be stopped. */
  readonly drained: Promise<void>;
  /** Take no more work, finish what is under way, close. Once; a second call waits for the first. */
  stop(): Promise<void>;
};

type Kit = { bus: Bus; settings: Settings; log: Logger };
/** A service that can be started and stopped, whatever its contract; a second stop waits for the first. */
type Part = { start(): Promise<void>; stop(): Promise<void> };

/** What each service is given. */
const PARTS: Record<ServiceName, (kit: Kit) => Part> = {
  'credential-store': (kit) =>
    part(
      kit,
      createCredentialStoreService({
        ...common(kit),
        announce: announcer(kit.bus, credentialStoreContract),
        stores: calls(kit.bus, 'credential-store', 'credential-store'),
        onStores: hears(kit.bus, 'credential-store', 'credential-store', kit.log),
        signer: calls(kit.bus, 'credential-store', 'signer'),
        onSigners: hears(kit.bus, 'credential-store', 'signer', kit.log),
        jetStream: kit.bus.jetStream,
      }),
    ),
  signer: (kit) =>
    part(
      kit,
      createSignerService({
        ...common(kit),
        credentials: calls(kit.bus, 'signer', 'credential-store'),
        onStores: hears(kit.bus, 'signer', 'credential-store', kit.log),
        announce: announcer(kit.bus, signerContract),
      }),
    ),
  policy: (kit) =>
    part(
      kit,
      createPolicyService({
        ...common(kit),
        peers: peerBus(kit, policyContract, hears(kit.bus, 'policy', 'policy', kit.log)),
      }),
    ),
  router: (kit) =>
    part(
      kit,
      createRouterService({
        ...common(kit),
        signer: calls(kit.bus, 'router', 'signer'),
        router: calls(kit.bus, 'router', 'router'),
        jetStream: kit.bus.jetStream,
        announce: announcer(kit.bus, routerContract),
        peers: peerBus(kit, routerContract, hears(kit.bus, 'router', 'router', kit.log)),
      }),
    ),
  listener: (kit) =>
    part(
      kit,
      createListenerService({
        ...common(kit),
        policy: calls(kit.bus, 'listener', 'policy'),
        router: calls(kit.bus, 'listener', 'router'),
        onRouters: hears(kit.bus, 'listener', 'router', kit.log),
      }),
    ),
};

function common({ settings, log }: Kit): { settings: Settings; log: Logger } {
  return { settings, log };
}

/** How a service meets its instances on other nodes; undefined where there can be none. */
function peerBus<C extends Contract, Event extends keyof C['events'] & string>(
  { bus, settings }: Kit,
  contract: C,
  hear: Listen<C, Event>,
): PeerBus<C, Event> | undefined {
  if (settings.current.bus.servers.length === 0) return undefined;
  return { announce: announcer(bus, contract), hear, connected: () => bus.connected };
}

/** Answer calls only between a successful start and the stop. */
function part<C extends Contract>({ bus, log }: Kit, service: Service<C>): Part {
  let close: (() => void) | undefined;
  let stopped: Promise<void> | undefined;
  return {
    start: async () => {
      await service.start();
      close = serve(bus, service, log).close;
    },
    stop: () => {
      stopped ??= (async () => {
        if (close !== undefined) await service.quiesce?.();
        close?.();
        await service.stop();
      })();
      return stopped;
    },
  };
}

/**
 * Start services in this process. Fails with the error of the first service that cannot start, after everything
 * started before it has been stopped again.
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { config, log } = options;
  const wanted = SERVICES.filter((name) => options.services?.includes(name) ?? true);
  requireBusFor(wanted, config);
  await mkdir(config.node.data, { recursive: true, mode: 0o700 });

  const settings = new Settings(config);
  const bus = await connectBus(config, log);
  const undo = new AsyncDisposableStack();
  try {
    undo.defer(() => bus.drain());
    const parts = new Map<ServiceName, Part>();
    const drain = new Drain({
      log,
      queue: wanted.includes('router') ? queueOf(bus, config.node.name) : undefined,
      stopListening: async () => {
        membership.state = 'draining';
        await parts.get('listener')?.stop();
      },
    });
    const membership = join({ bus, settings, log, services: wanted, drain: () => drain.begin() });
    undo.defer(() => membership.stop());
    const loggers = [log];
    settings.onChange((next) => {
      // A child logger keeps the level that it was made with.
      for (const logger of loggers) logger.level = next.log.level;
    });
    for (const name of wanted) {
      const ownLog = log.child({ service: name });
      loggers.push(ownLog);
      const made = PARTS[name]({ bus, settings, log: ownLog });
      parts.set(name, made);
      await startPart(made, undo);
    }
    // A whole node can be looked after also while NATS is away; of one in several processes none is the whole.
    if (wanted.length === SERVICES.length) {
      const control = await openControl(config.node.data, bus, log);
      undo.defer(() => control.close());
    }
    let watch: ConfigWatch | undefined;
    if (options.configFile !== undefined) {
      watch = await watchConfig(options.configFile, settings, log, wanted);
      undo.defer(() => watch?.close());
    }
    membership.state = 'up';
    log.info({ node: config.node.name, services: wanted }, 'node is up');
    const { drained } = drain;
    return running({ bus, settings, membership, drained, reload: async () => watch?.reload() }, undo);
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
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

type Joining = Pick<MembershipDeps, 'bus' | 'settings' | 'log' | 'services' | 'drain'>;

function join(who: Joining): Membership {
  const contracts = Object.fromEntries(Object.values(CONTRACTS).map(({ name, version }) => [name, version]));
  const membership = new Membership({ ...who, version: VERSION, contracts });
  membership.start();
  return membership;
}

/** A service that failed to start is stopped too: it may hold what it opened before it failed. */
async function startPart(part: Part, undo: AsyncDisposableStack): Promise<void> {
  undo.defer(() => part.stop());
  await part.start();
}

function running(
  parts: Pick<RunningNode, 'bus' | 'settings' | 'membership' | 'drained' | 'reload'>,
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

function requireBusFor(wanted: readonly ServiceName[], config: Config): void {
  if (config.bus.servers.length > 0 || wanted.length === SERVICES.length) return;
  const missing = SERVICES.filter((name) => !wanted.includes(name));
  throw new SealpostError(
    'bus-needed',
    `without a bus all services must run in one process, but ${missing.join(', ')} would be missing: ` +
      'start them all, or name NATS servers in bus.servers',
  );
}

async function connectBus({ node, bus }: Config, log: Logger): Promise<Bus> {
  if (bus.servers.length === 0) return new LocalBus(node.name);
  return NatsBus.connect({
    servers: bus.servers,
    node: node.name,
    log,
    ...(await busLogin(bus)),
    ...(bus.tls !== undefined && { tls: bus.tls }),
  });
}
