import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect, type JetStreamManager, type NatsConnection } from 'nats';
import { z } from 'zod';
import { decodeEvent, decodeReply, decodeRequest, encodeEvent, encodeRequest } from '#cluster/bus/frame.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { eventSubject, inboxPrefix, operationSubject } from '#cluster/bus/subjects.ts';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import { BUCKETS, BUS_USERS, type BusUser } from '#services/console/cli/cluster/bus-permissions.ts';
import { ACCESS } from '#services/topology.ts';
import { silentLogger } from '#shared/log.ts';
import { type GuardedServer, type Login, startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * What JetStream would do for a user with the authority of the whole account, tried with the credentials of each: streams
 * and consumers that store and deliver what others say, destruction, and replies of JetStream that are sent where
 * the user may not publish. `streams` alone makes streams; with it no process runs.
 */
const LOGIN = operationSubject({ service: 'policy', version: 1, operation: 'user-authenticate' });
const EVENT = eventSubject('signer', 1, 'present');
const SECRET = 'a-password-in-clear';
const stream = (bucket: string): string => `KV_${bucket}`;

/** Requests to JetStream's API: subject below `$JS.API`, and body. */
function requests(user: BusUser): [subject: string, body: unknown][] {
  const inbox = `${inboxPrefix(user)}.stolen`;
  const thief = {
    retention: 'limits',
    storage: 'memory',
    num_replicas: 1,
    max_msgs: -1,
    max_bytes: -1,
    discard: 'old',
  };
  return BUCKETS.flatMap((bucket): [string, unknown][] => {
    const name = stream(bucket);
    const consumers = [inbox, EVENT, LOGIN, `$JS.API.STREAM.DELETE.${name}`].flatMap((deliver_subject) => {
      const config = { deliver_subject, deliver_policy: 'all', ack_policy: 'none', mem_storage: true };
      const durable = { stream_name: name, config: { ...config, durable_name: 'd' } };
      return [
        [`CONSUMER.CREATE.${name}`, { stream_name: name, config }],
        [`CONSUMER.CREATE.${name}.c`, { stream_name: name, config: { ...config, name: 'c' } }],
        [`CONSUMER.DURABLE.CREATE.${name}.d`, durable],
      ] satisfies [string, unknown][];
    });
    return [
      ['STREAM.CREATE.THIEF', { ...thief, name: 'THIEF', subjects: ['sealpost.>'] }],
      ['STREAM.CREATE.MIRROR', { ...thief, name: 'MIRROR', mirror: { name } }],
      [`STREAM.UPDATE.${name}`, { ...thief, name, subjects: [`$KV.${bucket}.>`, 'sealpost.>', '_INBOX_*.>'] }],
      ...consumers,
      [`STREAM.PURGE.${name}`, {}],
      [`STREAM.MSG.DELETE.${name}`, { seq: 1 }],
      [`STREAM.SNAPSHOT.${name}`, { deliver_subject: inbox }],
      ['STREAM.RESTORE.OTHER', { config: { ...thief, name: 'OTHER', subjects: ['sealpost.>'] }, state: {} }],
      [`STREAM.PEER.REMOVE.${name}`, { peer: 'n1' }],
      [`STREAM.LEADER.STEPDOWN.${name}`, ''],
      [`DIRECT.GET.${name}`, { seq: 1 }],
      [`CONSUMER.MSG.NEXT.${name}.d`, { batch: 10 }],
      ['INFO', ''],
      ['STREAM.NAMES', ''],
      [`STREAM.DELETE.${name}`, ''],
    ];
  });
}

/** Where an answer of JetStream would do harm, were it obeyed or believed. */
const TARGETS = [
  ...[EVENT, LOGIN, eventSubject('router', 1, 'present'), `${inboxPrefix('listener')}.policy.x.1`],
  ...BUCKETS.flatMap((bucket) =>
    ['DELETE', 'PURGE', 'MSG.DELETE', 'UPDATE', 'CREATE', 'RESTORE', 'SNAPSHOT', 'PEER.REMOVE'].map(
      (what) => `$JS.API.STREAM.${what}.${stream(bucket)}`,
    ),
  ),
  ...BUCKETS.map((bucket) => `$JS.API.CONSUMER.CREATE.${stream(bucket)}`),
  '$JS.API.STREAM.RESTORE.OTHER',
  '$JS.API.STREAM.CREATE.OTHER',
];

const encode = (body: unknown): string => (body === '' ? '' : JSON.stringify(body));

describe('JetStream does nothing for a service that the service may not do itself', needs('nats-server'), () => {
  let guarded: GuardedServer;
  let admin: NatsConnection;
  let jsm: JetStreamManager;
  const join = ({ user, password }: Login): Promise<NatsConnection> => {
    const servers = guarded.servers.map(({ url }) => url);
    return connect({ servers, user, pass: password.reveal(), inboxPrefix: inboxPrefix(user) });
  };

  before(async () => {
    guarded = await startGuardedServer(3);
    admin = await join(guarded.admin);
    jsm = await admin.jetstreamManager({ timeout: 5000 });
    for (const bucket of BUCKETS) {
      for (const key of ['a', 'b', 'c'])
        await admin.jetstream({ timeout: 5000 }).publish(`$KV.${bucket}.${key}`, bucket);
    }
  });
  after(async () => {
    await admin.close();
    await guarded[Symbol.asyncDispose]();
  });

  /** All streams with what was put into them, whether they have consumers, and the records that only `admin` wrote. */
  async function contents(): Promise<unknown> {
    const all: unknown[] = [];
    for await (const { config, state } of jsm.streams.list()) {
      const records: unknown[] = [];
      for (const key of ['a', 'b', 'c']) {
        const found = await jsm.streams.getMessage(config.name, { last_by_subj: `$KV.${config.name.slice(3)}.${key}` });
        records.push([found.seq, found.string()]);
      }
      all.push({ config, consumers: state.consumer_count, records });
    }
    return all;
  }

  for (const user of BUS_USERS.filter((name) => name !== 'streams')) {
    test(`${user}: nothing is read, injected or destroyed`, async () => {
      const before = await contents();
      const connection = await join(guarded.login(user));
      const stolen: string[] = [];
      connection.subscribe(`${inboxPrefix(user)}.>`, {
        callback: (_, message) => stolen.push(`${message.subject} ${message.string()}`),
      });
      const believed: string[] = [];
      const all = admin.subscribe('>', {
        callback: (_, { subject, data }) => {
          if (/^(sealpost|_INBOX)/.test(subject) && isFrame(data)) believed.push(subject);
        },
      });
      await connection.flush();
      await admin.flush();

      const inbox = `${inboxPrefix(user)}.answer`;
      for (const [name, body] of requests(user)) {
        connection.publish(`$JS.API.${name}`, encode(body), { reply: `${inbox}.${name}` });
      }
      // What it may ask JetStream, and what it may write, with replies to be sent elsewhere. The record is a frame
      // itself.
      const forged = encodeEvent({ node: 'forged' });
      for (const bucket of BUCKETS) {
        const asked: [string, Uint8Array | string][] = [
          [`$KV.${bucket}.forged`, forged],
          [`$JS.API.STREAM.INFO.${stream(bucket)}`, ''],
          [`$JS.API.STREAM.MSG.GET.${stream(bucket)}`, JSON.stringify({ seq: 1, next_by_subj: '>' })],
          [`$JS.API.STREAM.MSG.GET.${stream(bucket)}`, JSON.stringify({ last_by_subj: `$KV.${bucket}.forged` })],
          [`$JS.API.DIRECT.GET.${stream(bucket)}`, JSON.stringify({ last_by_subj: `$KV.${bucket}.forged` })],
        ];
        for (const target of TARGETS) {
          for (const [subject, data] of asked) connection.publish(subject, data, { reply: target });
          await connection.flush();
        }
      }
      // A log-in, and a change of each stream: what a stream or consumer of the attacker would get to see.
      admin.publish(LOGIN, encodeRequest({ fields: { password: SECRET }, bytes: new Uint8Array(0), timeout: 1000 }));
      await admin.flush();
      await settled(connection);
      assert.deepEqual(
        believed.filter((subject) => subject !== LOGIN),
        [],
        'nothing that a service would believe',
      );
      assert.equal(believed.length, 1, 'the log-in itself');
      all.unsubscribe();
      await connection.close();

      assert.deepEqual(await contents(), before);
      assert.deepEqual(
        stolen.filter((text) => text.includes(SECRET) || /\.answer\.(?!STREAM\.(INFO|MSG\.GET))/.test(text)),
        [],
        'no answer to what it may not ask',
      );
    });
  }

  test('each service still writes its own stream, and reads it', async () => {
    for (const bucket of BUCKETS) {
      const owners = BUS_USERS.filter(
        (user) =>
          user === 'node' || (user !== 'streams' && (ACCESS[user].buckets as readonly string[]).includes(bucket)),
      );
      assert.equal(owners.length, 2);
      for (const user of owners) {
        const connection = await join(guarded.login(user));
        const ack = await connection.request(`$KV.${bucket}.of-${user}`, user, { timeout: 5000 });
        const { seq } = ack.json<{ seq: number }>();
        const body = JSON.stringify({ seq, next_by_subj: '>' });
        const read = await connection.request(`$JS.API.STREAM.MSG.GET.${stream(bucket)}`, body, { timeout: 5000 });
        assert.equal(read.json<{ message: { subject: string } }>().message.subject, `$KV.${bucket}.of-${user}`);
        await connection.close();
      }
    }
  });

  test('a stream that is gone is not made by a service; made again, it gets back what the service holds', async () => {
    await using undo = new AsyncDisposableStack();
    const { path } = undo.use(await tempDir('claims'));
    const servers = guarded.servers.map(({ url }) => url);
    const bus = await NatsBus.connect({ servers, node: 'edge-1', log: silentLogger, ...guarded.login('router') });
    undo.defer(() => bus.drain());
    const store = undo.adopt(await Store.open(path, silentLogger), (opened) => opened.close());
    const [bucket = ''] = ACCESS.router.buckets;
    const own = { store, prefix: 'map!', node: 'edge-1', replicas: 3, log: silentLogger, jetStream: bus.jetStream };
    const map = await ReplicatedMap.open({ ...own, bucket, schema: z.string() });
    undo.defer(() => map.close());
    const follows = (): Promise<boolean> =>
      waitFor(() => map.state === 'following', { what: 'the map to follow', timeout: 30_000 });
    await follows();
    await map.update('kept', () => 'value');
    await jsm.streams.delete(stream(bucket));
    await waitFor(() => /no stream KV_sealpost-claims: run "sealpost cluster streams"/.test(map.problem ?? ''), {
      ...{ what: 'the map to say what is missing', timeout: 30_000 },
    });
    assert.equal(map.get('kept')?.value, 'value');
    await guarded.makeStreams();
    await follows();
    const message = await jsm.streams.getMessage(stream(bucket), { last_by_subj: `$KV.${bucket}.kept` });
    assert.match(message.string(), /"value":"value"/);
  });

  /** Resolves when the servers have done what was asked of them before. */
  async function settled(connection: NatsConnection): Promise<void> {
    await connection.flush();
    // The log-in passes through all servers, and JetStream answers after what it was asked before.
    await waitFor(async () => (await jsm.streams.names().next()).length > 0, { what: 'JetStream', timeout: 10_000 });
    for (const bucket of BUCKETS) await jsm.streams.info(stream(bucket));
    await admin.flush();
  }
});

function isFrame(data: Uint8Array): boolean {
  return [decodeEvent, decodeRequest, decodeReply].some((decode) => {
    try {
      decode(data);
      return true;
    } catch {
      return false;
    }
  });
}
