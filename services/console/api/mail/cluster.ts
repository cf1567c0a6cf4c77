import { memberContract } from '#cluster/members/member-contract.ts';
import type { Clients, Cluster } from '../../reports/clients.ts';

/** The services with the processes that this one knows: it hears them all the time. */
export function clusterOf(clients: Clients): Cluster {
  return {
    client: (contract) => clients.client(contract),
    meet: async () => (await clients.client(memberContract)['member-list']({})).members,
  };
}
