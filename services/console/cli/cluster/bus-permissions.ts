import { eventSubject, inboxPrefix, operationSubjects } from '#cluster/bus/subjects.ts';
import { spokenEvents, spokenOperations } from '#cluster/contract-versions.ts';
import { memberContract } from '#cluster/members/member-contract.ts';
import { streamSubjects } from '#cluster/replicated/jetstream-stream.ts';
import { ACCESS, type Access, CONTRACTS, type ContractName, type Party, type ServiceName } from '#services/topology.ts';
import { type Contract, DEFAULT_CALL_TIMEOUT } from '#shared/contract.ts';

/**
 * The users of NATS and what each may do, from the table ACCESS (`topology.ts`).
 *
 * - publish: requests for the operations that it calls, its own events, and what JetStream needs for its buckets;
 * - subscribe: requests for the operations that it serves, the events that it hears, and its own inbox;
 * - responses: to each request that reached it, one answer, as long as the longest of its operations may take.
 *
 * All but the command line do so for the contract `member` too, and hear its events: every process announces itself.
 *
 * Without a user nothing is allowed. A user reads no reply to another one, because each has its own inbox.
 *
 * A service that reads a stream has no `responses`; it may publish in the inboxes of its callers instead. For `responses`
 * the server remembers the reply subject of all that it delivers, records of a stream too, and from 4096 on it looks through all of
 * them at each delivery: reading 20,000 records took nats-server 2.9 up to a minute, and 0.3 s without.
 */
export type Permissions = {
  publish: string[];
  subscribe: string[];
  /** How long it may answer a request, ms; undefined where it serves nothing, or reads a stream. */
  responses: number | undefined;
};

/** One for the processes of each service, one for the command line, and one for processes that are a whole node. */
export type BusUser = Party | 'node';
export const BUS_USERS = [...(Object.keys(ACCESS) as Party[]), 'node'] as const satisfies BusUser[];

/** For clocks and servers that lag. */
const MARGIN_MS = 10_000;

/** What a user may do. A whole node may do everything that services may, and for its administrator what commands need. */
export function permissionsOf(user: BusUser): Permissions {
  const parties = user === 'node' ? (Object.keys(ACCESS) as Party[]) : [user];
  const run = parties.filter((party): party is ServiceName => party in CONTRACTS);
  const services: Contract[] = run.length === 0 ? [] : [...run.map((name) => CONTRACTS[name]), memberContract];
  const buckets = parties.flatMap((party) => ACCESS[party].buckets);
  const timeouts = services.flatMap((contract) =>
    Object.values(contract.operations).map((operation) => operation.timeout ?? DEFAULT_CALL_TIMEOUT),
  );
  return {
    publish: unique([
      ...parties.flatMap((party) => called(ACCESS[party])),
      ...services.flatMap((contract) => events(contract, Object.keys(contract.events))),
      ...buckets.flatMap(streamSubjects),
      ...(buckets.length === 0 ? [] : services.flatMap(({ name }) => callersOf(name as ContractName)).map(inboxOf)),
    ]),
    subscribe: unique([
      ...services.flatMap((contract) => operations(contract, Object.keys(contract.operations))),
      ...parties.flatMap((party) => heard(ACCESS[party])),
      ...(run.length === 0 ? [] : events(memberContract, Object.keys(memberContract.events))),
      inboxOf(user),
    ]),
    responses: timeouts.length === 0 || buckets.length > 0 ? undefined : Math.max(...timeouts) + MARGIN_MS,
  };
}

function callersOf(service: ContractName): BusUser[] {
  return BUS_USERS.filter((user) => user === 'node' || service in ACCESS[user].calls);
}

const inboxOf = (user: BusUser): string => `${inboxPrefix(user)}.>`;

function called({ calls }: Access): string[] {
  return Object.entries(calls).flatMap(([service, names]) => operations(CONTRACTS[service as ContractName], names));
}

function heard({ hears }: Access): string[] {
  return Object.entries(hears).flatMap(([service, names]) => events(CONTRACTS[service as ContractName], names));
}

function operations(contract: Contract, names: readonly string[]): string[] {
  return spokenOperations(contract, names).flatMap(operationSubjects);
}

function events(contract: Contract, names: readonly string[]): string[] {
  return spokenEvents(contract, names).map(({ service, version, event }) => eventSubject(service, version, event));
}

const unique = (subjects: string[]): string[] => [...new Set(subjects)];
