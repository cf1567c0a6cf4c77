import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import type { Logger } from '#shared/log.ts';
import type { TlsRecord } from '#shared/mail/tls-memory.ts';
import type { WebServers } from '#shared/mta-sts/fetch.ts';
import { createResolver } from '../delivery/resolver.ts';
import { createStsPolicies } from '../delivery/tls-policy/sts/discovery.ts';
import { Gossip, type GossipBus } from '../gossip/gossip.ts';
import { SharedTlsMemory } from './memory.ts';

export type MemoryBus = GossipBus<'tls-learned'>;

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
  const sharing = new Gossip<TlsRecord>({
    ...{ node: settings.current.node.name, peers, log, what: 'what is remembered of the TLS of others' },
    join: (learn) => {
      memory.tellWith((records) => peers?.announce('tls-learned', { records }));
      const heard = peers?.hear('tls-learned', ({ records }) => {
        for (const record of records) learn(record);
      });
      return heard ?? (() => undefined);
    },
    learn: (record) => memory.learn(record),
    ask: (node, after) => router['tls-memory-list']({ ...(after !== undefined && { after }) }, { node }),
  });
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
