import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import type { Directive } from '#shared/directive.ts';
import type { Logger } from '#shared/log.ts';
import { Gossip, type GossipBus } from '../gossip/gossip.ts';
import { Directives } from './directives.ts';
import { DirectiveDisk } from './disk.ts';

/** Routers announce themselves each second; mail of a node that comes back goes out meanwhile as it did before. */
const LISTEN_MS = 1500;

export type DirectiveBus = GossipBus<'directive-learned'>;

export type OpenDirectivesDeps = {
  settings: Settings;
  log: Logger;
  router: Pick<Calls<'router', 'router'>, 'directive-list'>;
  /** The routers of other nodes; without it there are none. */
  peers?: DirectiveBus | undefined;
};

/** The directives of a router, with what it shares with others. Rejects as the store does. */
export async function openDirectives(store: Store, { settings, log, router, peers }: OpenDirectivesDeps) {
  const directives = await Directives.open({ disk: new DirectiveDisk(store, log), log });
  const gossip = new Gossip<Directive>({
    ...{ node: settings.current.node.name, peers, log, what: 'what operators have directed', listenMs: LISTEN_MS },
    join: (learn) => {
      directives.tellWith((records) => peers?.announce('directive-learned', { directives: records }));
      const heard = peers?.hear('directive-learned', ({ directives: records }) => {
        for (const record of records) learn(record);
      });
      return heard ?? (() => undefined);
    },
    learn: (record) => directives.learn(record),
    ask: async (other, after) => {
      const { directives: records, next } = await router['directive-list'](after === undefined ? {} : { after }, {
        node: other,
      });
      return { records, next };
    },
  });
  return {
    directives,
    begin: () => gossip.start(),
    async stop(): Promise<void> {
      await gossip.stop();
      directives.stop();
    },
  };
}
