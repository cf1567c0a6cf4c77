import { eventSubject, inboxPrefix, operationSubjects, replyPrefix } from '#cluster/bus/subjects.ts';
import { spokenEvents, spokenOperations } from '#cluster/contract-versions.ts';
import { memberContract } from '#cluster/members/member-contract.ts';
import {
  formerStreamSubjects,
  streamEvent,
  streamMakerSubjects,
  streamSubjects,
} from '#cluster/replicated/jetstream-stream.ts';
import { ACCESS, type Access, CONTRACTS, type ContractName, type Party, type ServiceName } from '#services/topology.ts';
import type { Contract } from '#shared/contract.ts';

/**
 * The users of NATS and what each may do, from the table ACCESS (`topology.ts`).
 *
 * - publish: requests for the operations that it calls, its own events, what it needs of its streams
 *   (`jetstream-stream.ts`), and its replies, each in the inbox that a caller has for this service (`nats-replies.ts`);
 * - subscribe: requests for the operations that it serves, the events that it hears, and its own inbox.
 *
 * All but the command line do so for the contract `member` too: every process announces itself, and all hear it.
 *
 * Without a user nothing is allowed. A user reads no reply to another one, because each has its own inbox. No user has
 * `allow_responses`, with which a service could publish anywhere: `nats-replies.ts` says how.
 */
export type Permissions = { publish: string[]; subscribe: string[] };

/**
 * One for the processes of each service, one for the command line, one for processes that are a whole node, and one that
 * makes the streams, with which no process runs.
 */
export type BusUser = Party | 'node' | 'streams';
export const BUS_USERS = [...(Object.keys(ACCESS) as Party[]), 'node', 'streams'] as const satisfies BusUser[];

/** The buckets of all services. */
export const BUCKETS: readonly string[] = [...new Set(Object.values(ACCESS).flatMap(({ buckets }) => buckets))];

/**
 * What a user may do. A whole node may do everything that services may, and for its administrator what commands need.
 * `upgrading`: also what a process of the version before needs, which read streams through consumers, created them
 * itself and had one inbox for all replies.
 */
export function permissionsOf(user: BusUser, { upgrading }: { upgrading: boolean }): Permissions {
  if (user === 'streams') return { publish: BUCKETS.flatMap(streamMakerSubjects), subscribe: [inboxOf(user)] };
  const parties = user === 'node' ? (Object.keys(ACCESS) as Party[]) : [user];
  const run = parties.filter((party): party is ServiceName => party in CONTRACTS);
  const services: Contract[] = run.length === 0 ? [] : [...run.map((name) => CONTRACTS[name]), memberContract];
  const buckets = parties.flatMap((party) => ACCESS[party].buckets);
  const answered = services.flatMap(({ name }) =>
    callersOf(name as ContractName).map((caller) => ({ caller, service: name })),
  );
  return {
    publish: unique([
      ...parties.flatMap((party) => called(ACCESS[party])),
      ...services.flatMap((contract) => events(contract, Object.keys(contract.events))),
      ...buckets.flatMap(streamSubjects),
      ...answered.map(({ caller, service }) => `${replyPrefix(caller, service)}.>`),
      ...(upgrading
        ? [...buckets.flatMap(formerStreamSubjects), ...answered.map(({ caller }) => inboxOf(caller))]
        : []),
    ]),
    subscribe: unique([
      ...services.flatMap((contract) => operations(contract, Object.keys(contract.operations))),
      ...parties.flatMap((party) => heard(ACCESS[party])),
      ...events(memberContract, Object.keys(memberContract.events)),
      ...buckets.map(streamEvent),
      inboxOf(user),
    ]),
  };
}

function callersOf(service: ContractName): BusUser[] {
  return BUS_USERS.filter((user) => user === 'node' || (user !== 'streams' && service in ACCESS[user].calls));
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
