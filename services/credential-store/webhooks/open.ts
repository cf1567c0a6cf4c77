import type { Store } from '#cluster/store.ts';
import { Alarms } from '#cluster/webhooks/alarms.ts';
import type { Calls } from '#services/topology.ts';
import { mayAct } from '../driver/node-effects.ts';
import type { OperationDeps } from '../operations/deps.ts';
import { ClusterAlarms } from './cluster-alarms.ts';
import { RecordWatch, type Turn } from './record-watch.ts';

/** What a credential-store tells webhooks: of keys and certificates, and of what is wrong with the cluster. */

export type HooksDeps = Pick<
  OperationDeps,
  'settings' | 'log' | 'map' | 'records' | 'presence' | 'views' | 'webhooks'
> & {
  store: Store;
  member: Calls<'credential-store', 'member'>;
};

/** Rejects with `store-failed`. */
export async function openHooks(deps: HooksDeps): Promise<{ stop(): Promise<void> }> {
  const { store, settings, log, map, records, views, member, webhooks } = deps;
  const turn = turnOf(deps);
  const alarms = await Alarms.open({ store, settings, log, webhooks });
  const watch = await RecordWatch.open({ store, settings, log, map, webhooks, turn });
  const own = { node: settings.current.node.name };
  const watching = new ClusterAlarms({
    ...{ settings, alarms, webhooks, turn, views },
    isAway: () => map.state === 'away',
    members: async () => (await member['member-list']({}, own)).members,
    domains: () => records.all(),
  });
  const stop = async (): Promise<void> => {
    watch.close();
    await watching.stop();
  };
  return { stop };
}

/** The eldest credential-store of those that are live and not behind is the first. */
function turnOf({ map, presence, settings }: Pick<HooksDeps, 'map' | 'presence' | 'settings'>): Turn {
  return () => {
    if (map.state === 'local') return 'mine';
    if (!mayAct(map, presence, settings.current.node.name)) return undefined;
    const stores = presence.live().filter(({ kind, behind }) => kind === 'credential-store' && behind === undefined);
    return stores.some(({ instance }) => instance < presence.instance) ? 'other' : 'mine';
  };
}
