import { announcer, serve } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { PeerBus } from '#cluster/members/peers.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { policyContract } from '#services/policy/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import type { Contract, Listen, Service } from '#shared/contract.ts';
import type { Logger } from '#shared/log.ts';
import { auditor } from './audit.ts';
import { calls, hears, type ServiceName } from './topology.ts';

/** How each service is made, and with which clients of its peers (`topology.ts`). */

export type NodeDeps = { bus: Bus; settings: Settings; log: Logger; logDropped?: () => number };
/** A service with its mailbox, whatever its contract; a second stop waits for the first. */
export type Served = { start(): Promise<void>; stop(): Promise<void> };

/** Each service is loaded when it is wanted: a process for one of them starts sooner and takes less memory. */
const CREATE: Record<ServiceName, (deps: NodeDeps) => Promise<Served>> = {
  'credential-store': async (deps) => {
    const { createCredentialStoreService } = await import('#services/credential-store/service.ts');
    return served(
      deps,
      createCredentialStoreService({
        ...common(deps),
        announce: announcer(deps.bus, credentialStoreContract),
        stores: calls(deps.bus, 'credential-store', 'credential-store'),
        onStores: hears(deps.bus, 'credential-store', 'credential-store', deps.log),
        signer: calls(deps.bus, 'credential-store', 'signer'),
        onSigners: hears(deps.bus, 'credential-store', 'signer', deps.log),
        onPolicies: hears(deps.bus, 'credential-store', 'policy', deps.log),
        listener: calls(deps.bus, 'credential-store', 'listener'),
        member: calls(deps.bus, 'credential-store', 'member'),
        jetStream: deps.bus.jetStream,
      }),
    );
  },
  signer: async (deps) => {
    const { createSignerService } = await import('#services/signer/service.ts');
    return served(
      deps,
      createSignerService({
        ...common(deps),
        credentials: calls(deps.bus, 'signer', 'credential-store'),
        onStores: hears(deps.bus, 'signer', 'credential-store', deps.log),
        announce: announcer(deps.bus, signerContract),
      }),
    );
  },
  policy: async (deps) => {
    const { createPolicyService } = await import('#services/policy/service.ts');
    return served(
      deps,
      createPolicyService({
        ...common(deps),
        peers: peerBus(deps, policyContract, hears(deps.bus, 'policy', 'policy', deps.log)),
        stores: {
          credentials: calls(deps.bus, 'policy', 'credential-store'),
          onStores: hears(deps.bus, 'policy', 'credential-store', deps.log),
          announce: announcer(deps.bus, policyContract),
        },
        onListeners: hears(deps.bus, 'policy', 'listener', deps.log),
      }),
    );
  },
  router: async (deps) => {
    const { createRouterService } = await import('#services/router/service.ts');
    return served(
      deps,
      createRouterService({
        ...common(deps),
        signer: calls(deps.bus, 'router', 'signer'),
        router: calls(deps.bus, 'router', 'router'),
        jetStream: deps.bus.jetStream,
        announce: announcer(deps.bus, routerContract),
        peers: peerBus(deps, routerContract, hears(deps.bus, 'router', 'router', deps.log)),
      }),
    );
  },
  listener: async (deps) => {
    const { createListenerService } = await import('#services/listener/service.ts');
    return served(
      deps,
      createListenerService({
        ...common(deps),
        policy: calls(deps.bus, 'listener', 'policy'),
        router: calls(deps.bus, 'listener', 'router'),
        onRouters: hears(deps.bus, 'listener', 'router', deps.log),
        credentials: calls(deps.bus, 'listener', 'credential-store'),
        onStores: hears(deps.bus, 'listener', 'credential-store', deps.log),
        announce: announcer(deps.bus, listenerContract),
      }),
    );
  },
  console: async (deps) => {
    const { createConsoleService } = await import('#services/console/service.ts');
    return served(
      deps,
      createConsoleService({
        ...common(deps),
        policy: calls(deps.bus, 'console', 'policy'),
        clientsOf: (by) => ({ client: ({ name }) => calls(callingFor(deps.bus, by), 'operator', name) }),
      }),
    );
  },
};

/** The bus, with the person for whom each call is made: the audit log names them. */
function callingFor(bus: Bus, by: string): Pick<Bus, 'call'> {
  return { call: (address, request, node) => bus.call(address, { ...request, by }, node) };
}

export function createService(name: ServiceName, deps: NodeDeps): Promise<Served> {
  return CREATE[name](deps);
}

function common({ settings, log }: NodeDeps): { settings: Settings; log: Logger } {
  return { settings, log };
}

/** How a service meets its instances on other nodes; undefined where there can be none. */
function peerBus<C extends Contract, Event extends keyof C['events'] & string>(
  { bus, settings }: NodeDeps,
  contract: C,
  hear: Listen<C, Event>,
): PeerBus<C, Event> | undefined {
  if (settings.current.bus.servers.length === 0) return undefined;
  return { announce: announcer(bus, contract), hear, connected: () => bus.connected };
}

/** Answer calls only between a successful start and the stop. */
function served<C extends Contract>({ bus, log, settings }: NodeDeps, service: Service<C>): Served {
  const audit = auditor(bus, settings.current.node.name, log);
  let close: (() => void) | undefined;
  let stopped: Promise<void> | undefined;
  return {
    start: async () => {
      await service.start();
      close = serve(bus, service, log, { audit }).close;
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
