import type { Calls, ContractName } from '#services/topology.ts';

/** What a report is gathered with: a client of each service, with the operations that an operator may call. */
export type Clients = {
  client<S extends ContractName>(contract: { name: S }): Calls<'operator', S>;
};
