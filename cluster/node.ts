import { mkdir } from 'node:fs/promises';
import { announcer, serve } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus.ts';
import { busLogin } from '#cluster/config/bus-login.ts';
import type { Config } from '#cluster/config/schema.ts';
import { type ConfigWatch, watchConfig } from '#cluster/config/watch.ts';
import { openControl } from '#cluster/control.ts';
import { LocalBus } from '#cluster/local-bus.ts';
import { NatsBus } from '#cluster/nats-bus.ts';
import { Settings } from '#cluster/settings.ts';
import { calls, hears, type ServiceName } from '#cluster/topology.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { createCredentialStoreService } from '#services/credential-store/service.ts';
import { createListenerService } from '#services/listener/service.ts';
import { policyContract } from '#services/policy/contract.ts';
import { createPolicyService } from '#services/policy/service.ts';
import { routerContract } from '#services/router/contract.ts';
import { createRouterService } from '#services/router/service.ts';
import { signerContract } from '#services/signer/contract.ts';
import { createSignerService } from '#services/signer/service.ts';
import type { Contract, Service } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';

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
  /** Read the configuration file again; nothing happens where there is none. */
  reload(): Promise<void>;
  /** Take no more work, finish what is under way, close. Once; a second call waits for the first. */
  stop(): Promise<void>;
};

type Kit = { bus: Bus; settings: Settings; log: Logger };
/** A service that can be started and stopped, whatever its contract. */
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
        peers: hasPeers(kit)
          ? {
              announce: announcer(kit.bus, policyContract),
              hear: hears(kit.bus, 'policy', 'policy', kit.log),
              connected: () => kit.bus.connected,
            }
          : undefined,
      }),
    ),
  router: (kit) =>
    part(
      kit,
      createRouterService({
        ...common(kit),
        signer: calls(kit.bus, 'router', 'signer'),
        peers: hasPeers(kit)
          ? {
              announce: announcer(kit.bus, routerContract),
              hear: hears(kit.bus, 'router', 'router', kit.log),
              connected: () => kit.bus.connected,
            }
          : undefined,
      }),
    ),
  listener: (kit) =>
    part(
      kit,
      createListenerService({
        ...common(kit),
        policy: calls(kit.bus, 'listener', 'policy'),
        router: calls(kit.bus, 'listener', 'router'),
      }),
    ),
};

function common({ settings, log }: Kit): { settings: Settings; log: Logger } {
  return { settings, log };
}

/** Whether the same services can run on other nodes too. */
function hasPeers({ settings }: Kit): boolean {
  return settings.current.bus.servers.length > 0;
}

/** Answer calls only between a successful start and the stop. */
function part<C extends Contract>({ bus, log }: Kit, service: Service<C>): Part {
  let close: (() => void) | undefined;
  return {
    start: async () => {
      await service.start();
      close = serve(bus, service, log).close;
    },
    stop: async () => {
      close?.();
      await service.stop();
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
    const loggers = [log];
    settings.onChange((next) => {
      // A child logger keeps the level that it was made with.
      for (const logger of loggers) logger.level = next.log.level;
    });
    for (const name of wanted) {
      const ownLog = log.child({ service: name });
      loggers.push(ownLog);
      await startPart(PARTS[name]({ bus, settings, log: ownLog }), undo);
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
    log.info({ node: config.node.name, services: wanted }, 'node is up');
    return running(bus, settings, undo, async () => watch?.reload());
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
}

/** A service that failed to start is stopped too: it may hold what it opened before it failed. */
async function startPart(part: Part, undo: AsyncDisposableStack): Promise<void> {
  undo.defer(() => part.stop());
  await part.start();
}

function running(bus: Bus, settings: Settings, undo: AsyncDisposableStack, reload: () => Promise<void>): RunningNode {
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= undo.disposeAsync();
    return stopped;
  };
  return { bus, settings, reload, stop, [Symbol.asyncDispose]: stop };
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
