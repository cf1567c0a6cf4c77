import { memberContract } from '#cluster/members/member-contract.ts';
import type { Cluster } from '../reports/clients.ts';
import type { Asked } from './route.ts';

/** The services with the processes of the cluster, as this one knows them: it hears them all the time. */
export function clusterOf({ clients, config }: Pick<Asked, 'clients' | 'config'>): Cluster {
  return {
    client: (contract) => clients.client(contract),
    // With the node's name the question stays in this process.
    meet: async () => (await clients.client(memberContract)['member-list']({}, { node: config.node.name })).members,
  };
}
