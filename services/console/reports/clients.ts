import type { Member } from '#cluster/members/member-contract.ts';
import type { Calls, ContractName } from '#services/topology.ts';

/** What a report is gathered with: a client of each service, with the operations that an operator may call. */
export type Clients = {
  client<S extends ContractName>(contract: { name: S }): Calls<'operator', S>;
};

/** With the processes of the cluster, as one of them knows them. */
export type Cluster = Clients & { meet(): Promise<readonly Member[]> };
