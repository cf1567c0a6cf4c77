import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import { eventSubject, inboxPrefix, operationSubject } from '#cluster/bus/subjects.ts';
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
  ...['user-authenticate', 'sender-check', 'recipient-check', 'message-check'].map(
    (operation) => `policy.${operation}`,
  ),
  ...[
    'signer.message-sign',
    'signer.key-prove',
    'credential-store.signing-key-list',
    'credential-store.record-resolve',
  ],
  ...['router.copy-mirror', 'router.copy-compare', 'router.queue-drain'],
];
const CALLS: Record<string, string[]> = {
  'credential-store': ['credential-store.record-resolve', 'signer.key-prove'],
  signer: ['credential-store.signing-key-list'],
  policy: [],
  router: ['signer.message-sign', 'router.copy-mirror', 'router.copy-compare'],
  listener: [
    ...['client-check', 'user-authenticate', 'sender-check', 'recipient-check', 'message-check'].map(
      (operation) => `policy.${operation}`,
    ),
    ...['transfer-open', 'transfer-append', 'transfer-commit', 'transfer-abort'].map(
      (operation) => `router.${operation}`,
    ),
  ],
  operator: operations.filter((operation) => !NOT_FOR_OPERATORS.includes(operation)),
  // A process asks itself alone to drain its queue.
  node: operations.filter((operation) => operation !== 'router.queue-drain'),
};
const HEARS: Record<string, string[]> = {
  'credential-store': ['credential-store.present', 'signer.present', 'member.heartbeat'],
  signer: ['credential-store.changed', 'credential-store.present', 'member.heartbeat'],
  policy: ['policy.counts', 'member.heartbeat'],
  router: ['router.demand', 'member.heartbeat'],
  listener: ['router.present', 'member.heartbeat'],
  node: events,
};
/** Whose requests it answers in their inboxes: only the users that read a stream. */
const ANSWERS: Record<string, BusUser[]> = {
  'credential-store': ['credential-store', 'signer', 'operator', 'node'],
  router: ['listener', 'router', 'operator', 'node'],
  node: ['credential-store', 'signer', 'router', 'listener', 'operator', 'node'],
};
const STREAM = 'KV_sealpost-credentials';
const streamSubjects = (bucket: string): string[] => [
  `$KV.${bucket}.example=2Ecom`,
  ...['STREAM.INFO', 'STREAM.CREATE', 'STREAM.UPDATE', 'CONSUMER.CREATE'].map((what) => `$JS.API.${what}.KV_${bucket}`),
  `$JS.FC.KV_${bucket}.consumer.1`,
];
const [KEYS, CLAIMS] = [streamSubjects('sealpost-credentials'), streamSubjects('sealpost-claims')];
/** Who reads and writes which stream. */
const STREAMS: Record<string, string[]> = { 'credential-store': KEYS, router: CLAIMS, node: [...KEYS, ...CLAIMS] };
/** Nobody needs them. */
const NEVER = [
  ...['$KV.other.key', '$KV.sealpost-credentials.a.b', '$JS.API.INFO', '$JS.API.STREAM.LIST', '$JS.API.STREAM.NAMES'],
  ...['DELETE', 'PURGE', 'SNAPSHOT', 'RESTORE', 'MSG.GET', 'MSG.DELETE', 'LEADER.STEPDOWN', 'PEER.REMOVE'].map(
    (what) => `$JS.API.STREAM.${what}.${STREAM}`,
  ),
  ...[`$JS.API.DIRECT.GET.${STREAM}`, '$JS.API.STREAM.CREATE.OTHER', '$JS.API.CONSUMER.CREATE.OTHER'],
  ...[`$JS.API.CONSUMER.DURABLE.CREATE.${STREAM}.x`, `$JS.API.CONSUMER.DELETE.${STREAM}.x`],
  ...['INFO', 'MSG.NEXT'].map((what) => `$JS.API.CONSUMER.${what}.${STREAM}.x`),
  ...['LIST', 'NAMES'].map((what) => `$JS.API.CONSUMER.${what}.${STREAM}`),
  ...[`$JS.ACK.${STREAM}.x.1.1.1.1.1`, '$JS.API.SERVER.REMOVE', '$JS.API.ACCOUNT.PURGE.x', '$SYS.REQ.SERVER.PING'],
  ...[
    'sealpost.v1.router.transfer-open.a.b',
    'sealpost.v2.signer.message-sign',
    'sealpost.v2.member.member-ping',
    'sealpost.v1.member.event.gone',
    'sealpost.v1.signer',
    'other.subject',
  ],
];
const WILD = ['>', '*.>', 'sealpost.>', 'sealpost.v1.*.event.*', '_INBOX.>', '_INBOX_*.>', '$KV.>', '$JS.>'];

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

const INBOXES = ['_INBOX.x.1', ...[...BUS_USERS, 'admin'].map((user) => `${inboxPrefix(user)}.x.1`)];
const SUBJECTS = [...inOperations(operations), ...inEvents(events), ...INBOXES, ...KEYS, ...CLAIMS, ...NEVER];

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
        ...(ANSWERS[user] ?? []).map((caller) => `${inboxPrefix(caller)}.x.1`),
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
        `${inboxPrefix(user)}.x.1`,
      ];
      assert.deepEqual(heard.toSorted(), expected.toSorted());
      const wanted = SUBJECTS.length + WILD.length - expected.length;
      await waitFor(() => refused === wanted, { what: 'the server to refuse the rest' });
      await connection.close();
    });
  }

  test('who serves answers each request once, and writes to no inbox unasked', async () => {
    await using stack = new AsyncDisposableStack();
    const close = (connection: NatsConnection) => stack.adopt(connection, (c) => c.close());
    const policy = close(await join(guarded.login('policy')));
    const listener = close(await join(guarded.login('listener')));
    const subject = operationSubject({ service: 'policy', version: 1, operation: 'client-check' });
    const replies: string[] = [];
    const inbox = `${inboxPrefix('listener')}.y`;
    listener.subscribe(inbox, { callback: (_, message) => replies.push(message.string()) });
    await listener.flush();
    policy.publish(inbox, 'unasked');
    policy.subscribe(subject, {
      callback: (_, message) => ['first', 'second'].forEach((text) => void message.respond(text)),
    });
    await policy.flush();
    listener.publish(subject, '', { reply: inbox });
    await waitFor(() => replies.length > 0, { what: 'the answer' });
    await policy.flush();
    await listener.flush();
    assert.deepEqual(replies, ['first']);
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
