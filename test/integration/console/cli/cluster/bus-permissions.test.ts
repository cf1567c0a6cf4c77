import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import { eventSubject, inboxPrefix, operationSubject, replyPrefix } from '#cluster/bus/subjects.ts';
import { BUS_USERS, type BusUser } from '#services/console/cli/cluster/bus-permissions.ts';
import { CONTRACTS } from '#services/topology.ts';
import type { Contract } from '#shared/contract.ts';
import { type GuardedServer, type Login, startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * What each user of the bus may do, as a real nats-server sees it: all subjects of all contracts, of JetStream and of
 * others' inboxes are tried, and what passes is compared with a list that is written here a second time.
 */

const contracts: Contract[] = Object.values(CONTRACTS);
/** Every process serves `member`; it is no service of its own. */
const services = contracts.map(({ name }) => name).filter((name) => name !== 'member');
const operations = contracts.flatMap(({ name, operations }) => Object.keys(operations).map((o) => `${name}.${o}`));
const events = contracts.flatMap(({ name, events }) => Object.keys(events).map((e) => `${name}.${e}`));

const NOT_FOR_OPERATORS = [
  ...['transfer-open', 'transfer-append', 'transfer-commit', 'transfer-abort'].map(
    (operation) => `router.${operation}`,
  ),
  ...[
    'user-authenticate',
    'token-authenticate',
    'sender-check',
    'recipient-check',
    'message-check',
    'verdict-explain',
  ].map((operation) => `policy.${operation}`),
  ...[
    'signer.message-sign',
    'signer.key-prove',
    'credential-store.signing-key-list',
    'credential-store.record-resolve',
    'credential-store.record-copy',
    'credential-store.app-password-used',
    'credential-store.audit-append',
    'credential-store.serving-certificate-list',
    'credential-store.challenge-list',
    'listener.challenge-check',
  ],
  ...['router.copy-mirror', 'router.copy-compare', 'router.copy-adopted', 'router.queue-drain'],
  ...['router.dmarc-unit-list', 'router.dmarc-row-list', 'router.tls-unit-list', 'router.tls-row-list'],
];
/** For backups, and for machines that have NEKs. */
const OPERATORS_ALONE = [
  ...['credential-store.record-list', 'router.message-copy', 'router.message-known'],
  ...['key-export', 'nek-use', 'nek-rotate', 'nek-delete'].map((operation) => `credential-store.${operation}`),
];
const CALLS: Record<string, string[]> = {
  'credential-store': [
    ...['credential-store.record-resolve', 'credential-store.record-copy', 'signer.key-prove'],
    ...['credential-store.audit-append', 'listener.challenge-check', 'member.member-list'],
  ],
  signer: ['credential-store.signing-key-list', 'credential-store.audit-append'],
  policy: [
    ...['credential-store.directory-list', 'credential-store.app-password-used', 'credential-store.audit-append'],
  ],
  router: [
    'credential-store.audit-append',
    ...['signer.message-sign', 'router.copy-mirror', 'router.copy-compare', 'router.copy-adopted'],
    ...['router.dmarc-unit-list', 'router.dmarc-row-list', 'router.tls-unit-list', 'router.tls-row-list'],
    ...['router.tls-memory-list', 'router.directive-list'],
  ],
  listener: [
    ...[
      'client-check',
      'user-authenticate',
      'token-authenticate',
      'sender-check',
      'recipient-check',
      'message-check',
      'verdict-explain',
    ].map((operation) => `policy.${operation}`),
    ...['transfer-open', 'transfer-append', 'transfer-commit', 'transfer-abort'].map(
      (operation) => `router.${operation}`,
    ),
    'credential-store.serving-certificate-list',
    ...['credential-store.challenge-list', 'credential-store.audit-append'],
  ],
  console: [
    ...operations.filter((operation) => ![...NOT_FOR_OPERATORS, ...OPERATORS_ALONE].includes(operation)),
    ...['policy.user-authenticate', 'credential-store.audit-append'],
  ],
  operator: operations.filter((operation) => !NOT_FOR_OPERATORS.includes(operation)),
  // A process asks itself alone to drain its queue.
  node: operations.filter((operation) => operation !== 'router.queue-drain'),
};
const HEARS: Record<string, string[]> = {
  'credential-store': ['credential-store.present', 'signer.present', 'policy.present', 'member.heartbeat'],
  signer: ['credential-store.changed', 'credential-store.present', 'member.heartbeat'],
  policy: [
    'listener.sessions',
    'credential-store.directory-changed',
    'credential-store.present',
    'policy.counts',
    'policy.greylist',
    'member.heartbeat',
  ],
  router: ['router.demand', 'router.present', 'router.tls-learned', 'router.directive-learned', 'member.heartbeat'],
  listener: ['router.present', 'credential-store.changed', 'credential-store.present', 'member.heartbeat'],
  console: ['member.heartbeat'],
  operator: ['member.heartbeat'],
  node: events,
};
/** Whose requests it answers; each also answers those that ask every process: `credential-store`, `console`, `operator`, `node`. */
const ANSWERS: Record<string, BusUser[]> = {
  'credential-store': ['credential-store', 'signer', 'policy', 'router', 'listener', 'console', 'operator', 'node'],
  signer: ['credential-store', 'router', 'console', 'operator', 'node'],
  policy: ['listener', 'console', 'operator', 'node'],
  router: ['router', 'listener', 'console', 'operator', 'node'],
  listener: ['credential-store', 'console', 'operator', 'node'],
  console: ['console', 'operator', 'node'],
};
const BUCKETS = ['sealpost-credentials', 'sealpost-directory', 'sealpost-claims'];
const changes = (bucket: string): string => `sealpost.v1.stream.event.${bucket}`;
const asked = (bucket: string, ...what: string[]): string[] => what.map((name) => `$JS.API.${name}.KV_${bucket}`);
const streamSubjects = (bucket: string): string[] => [
  `$KV.${bucket}.example=2Ecom`,
  ...asked(bucket, 'STREAM.INFO', 'STREAM.MSG.GET'),
  changes(bucket),
];
const KEYS = ['sealpost-credentials', 'sealpost-directory'].flatMap(streamSubjects);
const CLAIMS = streamSubjects('sealpost-claims');
/** Who reads and writes which stream, and who makes them. */
const STREAMS: Record<string, string[]> = {
  'credential-store': KEYS,
  router: CLAIMS,
  node: [...KEYS, ...CLAIMS],
  streams: BUCKETS.flatMap((bucket) => asked(bucket, 'STREAM.INFO', 'STREAM.CREATE', 'STREAM.UPDATE')),
};
const HEARD_STREAMS: Record<string, string[]> = {
  'credential-store': [changes('sealpost-credentials'), changes('sealpost-directory')],
  router: [changes('sealpost-claims')],
  node: BUCKETS.map(changes),
};
/** Nobody needs them. */
const NEVER = [
  ...['$KV.other.key', '$KV.sealpost-credentials.a.b', '$JS.API.INFO', '$JS.API.STREAM.LIST', '$JS.API.STREAM.NAMES'],
  ...BUCKETS.flatMap((bucket) => [
    ...['DELETE', 'PURGE', 'SNAPSHOT', 'RESTORE', 'MSG.DELETE', 'LEADER.STEPDOWN', 'PEER.REMOVE'].map(
      (what) => `$JS.API.STREAM.${what}.KV_${bucket}`,
    ),
    ...asked(bucket, 'DIRECT.GET', 'CONSUMER.CREATE', 'CONSUMER.LIST', 'CONSUMER.NAMES'),
    ...[`$JS.API.DIRECT.GET.KV_${bucket}.$KV.${bucket}.a`, `$JS.API.CONSUMER.CREATE.KV_${bucket}.x.y`],
    ...['DURABLE.CREATE', 'DELETE', 'INFO', 'MSG.NEXT'].map((what) => `$JS.API.CONSUMER.${what}.KV_${bucket}.x`),
    ...[`$JS.FC.KV_${bucket}.x.1`, `$JS.ACK.KV_${bucket}.x.1.1.1.1.1`, `$KV.${bucket}`],
  ]),
  ...[
    '$JS.API.STREAM.CREATE.OTHER',
    '$JS.API.CONSUMER.CREATE.OTHER',
    '$JS.API.SERVER.REMOVE',
    '$JS.API.ACCOUNT.PURGE.x',
    '$SYS.REQ.SERVER.PING',
  ],
  ...[
    'sealpost.v1.router.transfer-open.a.b',
    'sealpost.v2.signer.message-sign',
    'sealpost.v2.member.member-ping',
    'sealpost.v1.member.event.gone',
    'sealpost.v1.signer',
    'other.subject',
  ],
];
const WILD = [
  'sealpost.v1.policy.*',
  'sealpost.v1.policy.>',
  'sealpost.*.policy.user-authenticate',
  '>',
  '*.>',
  'sealpost.>',
  'sealpost.v1.*.event.*',
  '_INBOX.>',
  '_INBOX_*.>',
  '$KV.>',
  '$JS.>',
];

/** Both subjects of an operation, or the one of an event. */
function subjectsOf(name: string, kind: 'operation' | 'event'): string[] {
  const [service = '', what = ''] = name.split('.');
  const { version } = contracts.find((c) => c.name === service) ?? { version: 0 };
  if (kind === 'event') return [eventSubject(service, version, what)];
  const address = { service, version, operation: what };
  return [operationSubject(address), operationSubject(address, 'edge-9')];
}
const inOperations = (names: string[]): string[] => names.flatMap((name) => subjectsOf(name, 'operation'));
const inEvents = (names: string[]): string[] => names.flatMap((name) => subjectsOf(name, 'event'));
/** Everything of a service and what every process has, or all for a whole node; nothing for a user without a service. */
const own = (user: BusUser, names: string[]): string[] => {
  const served = user === 'node' ? [...services, 'member'] : services.includes(user) ? [user, 'member'] : [];
  return names.filter((name) => served.includes(name.split('.')[0] ?? ''));
};

const reply = (user: string, service: string): string => `${replyPrefix(user, service)}.x.1`;
const INBOXES = [...BUS_USERS, 'admin'].flatMap((user) => [
  `${inboxPrefix(user)}.x.1`,
  ...[...services, 'member', 'other'].map((service) => reply(user, service)),
]);
const SUBJECTS = [
  ...new Set([
    ...[...inOperations(operations), ...inEvents(events), '_INBOX.x.1', ...INBOXES],
    ...[...Object.values(STREAMS).flat(), ...NEVER],
  ]),
];
/** Where a user may answer. */
function answers(user: BusUser): string[] {
  const served = user === 'node' ? services : services.filter((service) => service === user);
  if (served.length === 0) return [];
  return [
    ...served.flatMap((service) => (ANSWERS[service] ?? []).map((caller) => reply(caller, service))),
    ...['credential-store', 'console', 'operator', 'node'].map((caller) => reply(caller, 'member')),
  ];
}

describe('permissions of the users of the bus', needs('nats-server'), () => {
  let guarded: GuardedServer;
  let admin: NatsConnection;
  const join = ({ user, password }: Login): Promise<NatsConnection> =>
    connect({ servers: guarded.server.url, user, pass: password.reveal(), inboxPrefix: inboxPrefix(user) });

  before(async () => {
    guarded = await startGuardedServer();
    admin = await join(guarded.admin);
  });
  after(async () => {
    await admin.close();
    await guarded[Symbol.asyncDispose]();
  });

  for (const user of BUS_USERS) {
    test(`${user} publishes what it must, and nothing else`, async () => {
      const arrived: string[] = [];
      const all = admin.subscribe('>', {
        callback: (_, message) => message.string() === user && arrived.push(message.subject),
      });
      await admin.flush();
      const connection = await join(guarded.login(user));
      for (const subject of SUBJECTS) connection.publish(subject, user);
      await connection.flush();
      await admin.flush();
      await connection.close();
      all.unsubscribe();
      const expected = [
        ...inOperations(CALLS[user] ?? []),
        ...inEvents(own(user, events)),
        ...(STREAMS[user] ?? []),
        ...answers(user),
      ];
      assert.deepEqual(arrived.toSorted(), expected.toSorted());
    });

    test(`${user} hears what it must, and nothing else`, async () => {
      const heard: string[] = [];
      const connection = await join(guarded.login(user));
      let refused = 0;
      for (const subject of [...SUBJECTS, ...WILD]) {
        connection.subscribe(subject, {
          callback: (error, message) => {
            if (error !== null) refused++;
            else heard.push(message.subject);
          },
        });
      }
      await connection.flush();
      for (const subject of SUBJECTS) admin.publish(subject, 'x');
      await admin.flush();
      await connection.flush();
      const expected = [
        ...inOperations(own(user, operations)),
        ...inEvents(HEARS[user] ?? []),
        ...(HEARD_STREAMS[user] ?? []),
        ...INBOXES.filter((subject) => subject.startsWith(`${inboxPrefix(user)}.`)),
      ];
      assert.deepEqual(heard.toSorted(), expected.toSorted());
      const wanted = SUBJECTS.length + WILD.length - expected.length;
      await waitFor(() => refused === wanted, { what: 'the server to refuse the rest' });
      await connection.close();
    });
  }

  test('who hears its own words cannot choose a reply subject to publish on', async () => {
    // All that NATS delivers with a reply subject would be a permission to publish there, with allow_responses.
    const subject = eventSubject('member', 1, 'heartbeat');
    const target = operationSubject({ service: 'signer', version: 1, operation: 'message-sign' });
    for (const user of BUS_USERS.filter((name) => name !== 'node' && name !== 'router')) {
      const forged: string[] = [];
      const all = admin.subscribe(target, { callback: () => forged.push(user) });
      await admin.flush();
      const connection = await join(guarded.login(user));
      let heard = false;
      connection.subscribe(subject, {
        callback: (error, message) => {
          heard = error === null;
          if (heard) message.respond('forged');
        },
      });
      connection.publish(subject, '', { reply: target });
      await connection.flush();
      await connection.flush();
      await admin.flush();
      await connection.close();
      all.unsubscribe();
      assert.equal(heard, services.includes(user), user);
      assert.deepEqual(forged, []);
    }
  });

  test('a stranger gets nowhere', async () => {
    const servers = guarded.server.url;
    for (const login of [{}, { user: 'signer' }, { user: 'signer', pass: 'x' }, { user: 'nobody', pass: '' }]) {
      await assert.rejects(connect({ servers, reconnect: false, ...login }), /Authorization Violation/i);
    }
    assert.match(guarded.server.output, /authentication error/);
  });
});

test('the tables name services and operations that there are', () => {
  for (const [user, names] of Object.entries(CALLS)) {
    assert.ok((BUS_USERS as string[]).includes(user));
    assert.deepEqual(
      names.filter((name) => !operations.includes(name)),
      [],
    );
  }
  assert.deepEqual(
    Object.values(HEARS)
      .flat()
      .filter((name) => !events.includes(name)),
    [],
  );
  assert.deepEqual(
    services.filter((name) => !(name in CALLS)),
    [],
  );
});
