import { client, listen } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { memberContract } from '#cluster/members/member-contract.ts';
import { consoleContract } from '#services/console/contract.ts';
import { CREDENTIALS_BUCKET, credentialStoreContract, DIRECTORY_BUCKET } from '#services/credential-store/contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import { policyContract } from '#services/policy/contract.ts';
import { CLAIMS_BUCKET, routerContract } from '#services/router/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import type { Client, Contract, Listen } from '#shared/contract.ts';
import type { Logger } from '#shared/log.ts';

/**
 * Which party may call and hear which. From this one table come the clients that services are given (`calls`, `hears`), their
 * types, and the permissions of their users at NATS (`console/cli/cluster/bus-permissions.ts`). So a call that is not in
 * it does not compile, does not exist at run time, and is refused by the bus.
 *
 * Not in the table, because they are the same for all: each service serves its own operations and announces its own
 * events, and each process of a cluster announces itself and hears the others (contract `member`).
 */

/** Every contract, by its name. */
export const CONTRACTS = {
  'credential-store': credentialStoreContract,
  signer: signerContract,
  policy: policyContract,
  router: routerContract,
  listener: listenerContract,
  console: consoleContract,
  member: memberContract,
} as const;
export type ContractName = keyof typeof CONTRACTS;
/** What a process can be told to run. */
export type ServiceName = Exclude<ContractName, 'member'>;
/** What mail needs, in the order of their start: a service comes after those that it calls. */
export const MAIL_SERVICES = [
  'credential-store',
  'signer',
  'policy',
  'router',
  'listener',
] as const satisfies ServiceName[];
/** Every service. The console is for people, and runs only where the configuration has it. */
export const SERVICES = [...MAIL_SERVICES, 'console'] as const satisfies ServiceName[];

type ContractOf<S extends ContractName> = (typeof CONTRACTS)[S];
type OperationOf<S extends ContractName> = keyof ContractOf<S>['operations'] & string;
type EventOf<S extends ContractName> = keyof ContractOf<S>['events'] & string;

/** What a party may do on the bus. */
export type Access = {
  /** Operations that it calls. */
  calls: { readonly [S in ContractName]?: readonly OperationOf<S>[] };
  /** Events that it hears. */
  hears: { readonly [S in ServiceName]?: readonly EventOf<S>[] };
  /** JetStream buckets that it reads and writes. */
  buckets: readonly string[];
};

/**
 * What administrators call, from the command line and through the console: they look and manage, and touch neither mail on
 * its way in nor signatures.
 */
const OPERATOR_CALLS = {
  listener: ['status-show', 'session-explain', 'test-send', 'transcript-read', 'refusal-find'],
  // The first question of a session tells whether it answers.
  policy: ['client-check', 'status-show', 'lock-list', 'lock-lift'],
  router: [
    'message-list',
    'message-find',
    'queue-summarize',
    'queue-change',
    'message-show',
    'message-place',
    'message-read',
    'captured-list',
    'captured-read',
    'dmarc-report-list',
    'tls-report-list',
    'ledger-list',
    'authentication-summarize',
    'tls-memory-list',
    'tls-memory-forget',
    'directive-list',
    'directive-set',
    'directive-end',
    'message-retry',
    'message-hold',
    'message-release',
    'message-remove',
    'copy-forget',
    'tls-probe',
    'transcript-read',
    'webhook-list',
    'webhook-retry',
    'webhook-test',
    'status-show',
  ],
  signer: ['status-show'],
  'credential-store': [
    'key-create',
    'key-import',
    'key-list',
    'key-show',
    'key-activate',
    'key-retire',
    'key-revoke',
    'key-delete',
    'rotation-start',
    'rotation-show',
    'rotation-freeze',
    'rotation-resume',
    'rotation-rollback',
    'schedule-set',
    'schedule-list',
    'key-verify',
    'tls-record-publish',
    'tls-record-list',
    'tls-record-withdraw',
    'tls-record-forget',
    'nek-list',
    'record-repair',
    'directory-list',
    'entry-list',
    'entry-show',
    'entry-delete',
    'entry-import',
    'sealing-key-show',
    'user-create',
    'user-change',
    'user-block',
    'user-unblock',
    'block-list',
    'app-password-create',
    'app-password-revoke',
    'alias-set',
    'group-set',
    'map-set',
    'certificate-list',
    'certificate-show',
    'certificate-import',
    'certificate-order',
    'certificate-rewrap',
    'certificate-delete',
    'audit-list',
    'webhook-list',
    'webhook-retry',
    'webhook-test',
    'status-show',
  ],
  member: ['member-list', 'member-ping', 'counter-list', 'member-forget', 'member-drain'],
  console: ['status-show', 'link-create'],
} as const satisfies Access['calls'];

export const ACCESS = {
  'credential-store': {
    calls: {
      'credential-store': ['record-resolve', 'record-copy', 'audit-append'],
      signer: ['key-prove'],
      listener: ['challenge-check'],
      member: ['member-list'],
    },
    hears: { 'credential-store': ['present'], signer: ['present'], policy: ['present'] },
    buckets: [CREDENTIALS_BUCKET, DIRECTORY_BUCKET],
  },
  signer: {
    calls: { 'credential-store': ['signing-key-list', 'audit-append'] },
    hears: { 'credential-store': ['changed', 'present'] },
    buckets: [],
  },
  policy: {
    calls: { 'credential-store': ['directory-list', 'app-password-used', 'audit-append'] },
    hears: {
      'credential-store': ['directory-changed', 'present'],
      policy: ['counts', 'greylist'],
      listener: ['sessions'],
    },
    buckets: [],
  },
  router: {
    calls: {
      'credential-store': ['audit-append'],
      signer: ['message-sign'],
      router: [
        'copy-mirror',
        'copy-compare',
        'copy-adopted',
        'dmarc-unit-list',
        'dmarc-row-list',
        'tls-unit-list',
        'tls-row-list',
        'tls-memory-list',
        'directive-list',
      ],
    },
    hears: { router: ['demand', 'present', 'tls-learned', 'directive-learned'] },
    buckets: [CLAIMS_BUCKET],
  },
  listener: {
    calls: {
      policy: [
        'client-check',
        'user-authenticate',
        'token-authenticate',
        'sender-check',
        'recipient-check',
        'message-check',
        'verdict-explain',
      ],
      router: ['transfer-open', 'transfer-append', 'transfer-commit', 'transfer-abort'],
      'credential-store': ['serving-certificate-list', 'challenge-list', 'audit-append'],
    },
    hears: { router: ['present'], 'credential-store': ['changed', 'present'] },
    buckets: [],
  },
  /** It acts for the people who sign in to it, and checks their passwords. */
  console: {
    calls: {
      ...OPERATOR_CALLS,
      policy: [...OPERATOR_CALLS.policy, 'user-authenticate'],
      'credential-store': [...OPERATOR_CALLS['credential-store'], 'audit-append'],
    },
    hears: {},
    buckets: [],
  },
  /** The command line, which makes backups too, and works on machines that have NEKs: a page has nothing to do with these. */
  operator: {
    calls: {
      ...OPERATOR_CALLS,
      router: [...OPERATOR_CALLS.router, 'message-copy', 'message-known'],
      'credential-store': [
        ...OPERATOR_CALLS['credential-store'],
        ...(['record-list', 'key-export', 'nek-use', 'nek-rotate', 'nek-delete'] as const),
      ],
    },
    hears: {},
    buckets: [],
  },
} as const satisfies Record<ServiceName | 'operator', Access>;
export type Party = keyof typeof ACCESS;

type Listed<Table, S extends string> = Table extends { readonly [K in S]: readonly (infer Name)[] } ? Name : never;

/** What a party can call of a service. */
export type Calls<P extends Party, S extends ContractName> = Pick<
  Client<ContractOf<S>>,
  Listed<(typeof ACCESS)[P]['calls'], S> & OperationOf<S>
>;

/** How a party hears a service. */
export type Hears<P extends Party, S extends ServiceName> = Listen<
  ContractOf<S>,
  Listed<(typeof ACCESS)[P]['hears'], S> & EventOf<S>
>;

/** The client of a service that a party is given. */
export function calls<P extends Party, S extends ContractName>(
  bus: Pick<Bus, 'call'>,
  party: P,
  service: S,
): Calls<P, S> {
  const contract: Contract = CONTRACTS[service];
  const { calls: listed }: Access = ACCESS[party];
  return client(bus, { ...contract, operations: pick(contract.operations, listed[service]) }) as Calls<P, S>;
}

/** The way to hear a service that a party is given; a payload that does not fit is logged and dropped. */
export function hears<P extends Party, S extends ServiceName>(
  bus: Bus,
  party: P,
  service: S,
  log: Logger,
): Hears<P, S> {
  const contract: Contract = CONTRACTS[service];
  const { hears: listed }: Access = ACCESS[party];
  return listen(bus, { ...contract, events: pick(contract.events, listed[service]) }, log) as Hears<P, S>;
}

function pick<T>(all: Record<string, T>, names: readonly string[] = []): Record<string, T> {
  return Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)));
}
