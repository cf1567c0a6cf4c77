import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import type { Logger } from '#shared/log.ts';
import type { WebServers } from '#shared/mta-sts/fetch.ts';
import { createResolver } from '../delivery/resolver.ts';
import { createStsPolicies } from '../delivery/tls-policy/sts/discovery.ts';
import { SharedTlsMemory } from './memory.ts';
import { type MemoryBus, MemorySharing } from './sharing.ts';

export type TlsMemoryDeps = {
  settings: Settings;
  log: Logger;
  router: Calls<'router', 'router'>;
  /** The routers of other nodes; without it there are none. */
  peers?: MemoryBus | undefined;
  /** Where policies are fetched, where that is not the public Internet. */
  webServers?: WebServers | undefined;
};

/** The memory of a router, with what it shares with others and the policies that are in it. Rejects as the store does. */
export async function openTlsMemory(store: Store, { settings, log, router, peers, webServers }: TlsMemoryDeps) {
  const memory = await SharedTlsMemory.open({ store, log });
  const sharing = new MemorySharing({ node: settings.current.node.name, memory, peers, router, log });
  const resolver = createResolver(settings);
  const sts = createStsPolicies({ settings, log, resolver, policies: memory.policies, webServers });
  return {
    ...{ memory, sts },
    begin: () => sharing.start(),
    async stop(): Promise<void> {
      sts.stop();
      resolver.close?.();
      await sharing.stop();
      await memory.stop();
    },
  };
}
