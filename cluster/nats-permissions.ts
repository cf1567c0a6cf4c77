import { streamSubjects } from '#cluster/jetstream-stream.ts';
import { eventSubject, inboxPrefix, operationSubjects } from '#cluster/subjects.ts';
import { CONTRACTS, type Party, PEERS, type Peers, type ServiceName } from '#cluster/topology.ts';
import { type Contract, DEFAULT_CALL_TIMEOUT } from '#shared/contract.ts';

/**
 * The users of NATS and what each may do, from the table of who calls whom (`topology.ts`).
 *
 * - publish: requests for the operations that it calls, its own events, and what JetStream needs for its buckets;
 * - subscribe: requests for the operations that it serves, the events that it hears, and its own inbox;
 * - responses: to each request that reached it, one answer, as long as the longest of its operations may take.
 *
 * Whoever has no user gets nowhere. A user reads no reply to another one, because each has an inbox of its own.
 */
export type Permissions = {
  publish: string[];
  subscribe: string[];
  /** How long it may answer a request, in milliseconds; undefined where it serves nothing. */
  responses: number | undefined;
};

/** One for the processes of each service, one for the command line, and one for processes that are a whole node. */
export type BusUser = Party | 'node';
export const BUS_USERS = [...(Object.keys(PEERS) as Party[]), 'node'] as const satisfies BusUser[];

/** For clocks and servers that lag, in milliseconds. */
const MARGIN = 10_000;

/** What a user may do. A whole node may do everything that services may, and for its administrator what commands need. */
export function permissionsOf(user: BusUser): Permissions {
  const parties = user === 'node' ? (Object.keys(PEERS) as Party[]) : [user];
  const services = parties.filter((party): party is ServiceName => party in CONTRACTS).map((name) => CONTRACTS[name]);
  const timeouts = services.flatMap((contract: Contract) =>
    Object.values(contract.operations).map((operation) => operation.timeout ?? DEFAULT_CALL_TIMEOUT),
  );
  return {
    publish: unique([
      ...parties.flatMap((party) => called(PEERS[party])),
      ...services.flatMap((contract: Contract) => events(contract, Object.keys(contract.events))),
      ...parties.flatMap((party) => PEERS[party].buckets.flatMap(streamSubjects)),
    ]),
    subscribe: unique([
      ...services.flatMap((contract: Contract) => operations(contract, Object.keys(contract.operations))),
      ...parties.flatMap((party) => heard(PEERS[party])),
      `${inboxPrefix(user)}.>`,
    ]),
    responses: timeouts.length === 0 ? undefined : Math.max(...timeouts) + MARGIN,
  };
}

function called({ calls }: Peers): string[] {
  return Object.entries(calls).flatMap(([service, names]) => operations(CONTRACTS[service as ServiceName], names));
}

function heard({ hears }: Peers): string[] {
  return Object.entries(hears).flatMap(([service, names]) => events(CONTRACTS[service as ServiceName], names));
}

function operations({ name, version }: Contract, names: readonly string[]): string[] {
  return names.flatMap((operation) => operationSubjects({ service: name, version, operation }));
}

function events({ name, version }: Contract, names: readonly string[]): string[] {
  return names.map((event) => eventSubject(name, version, event));
}

const unique = (subjects: string[]): string[] => [...new Set(subjects)];
