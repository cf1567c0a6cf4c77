import assert from 'node:assert/strict';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import { client } from '#cluster/actor.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { inboxPrefix } from '#cluster/bus/subjects.ts';
import { subjectOf } from '#cluster/replicated/jetstream-stream.ts';
import { BUS_USERS, type BusUser } from '#services/console/cli/cluster/bus-permissions.ts';
import { CREDENTIALS_BUCKET } from '#services/credential-store/contract.ts';
import { domainKey } from '#services/credential-store/records/domain-record.ts';
import { signerContract } from '#services/signer/contract.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { silentLogger } from '#shared/log.ts';
import { type GuardedServer, startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { activeKey, ed25519, fails, reaches, type StoreNode, startNode } from '#test/unit/credential-store/fixture.ts';

/**
 * What somebody can do to keys who has the password of a user of NATS, whichever, and no NEK: each attack is made with
 * every user, two of which (the credential-store's, and that of a whole node) may write records.
 */

const subject = (domain: string): string => subjectOf(CREDENTIALS_BUCKET, domainKey(domain));

describe('records by somebody without a NEK', needs('nats-server'), () => {
  let guarded: GuardedServer;
  let folder: TempDir;
  let a: StoreNode;
  let b: StoreNode;
  let admin: NatsConnection;
  const buses = new Map<string, NatsBus>();

  const login = (user: BusUser): Promise<NatsConnection> => {
    const { password } = guarded.login(user);
    return connect({ servers: guarded.server.url, user, pass: password.reveal(), inboxPrefix: inboxPrefix(user) });
  };

  async function start(name: string, options: { nek?: string | null } = {}): Promise<StoreNode> {
    const data = join(folder.path, name);
    await mkdir(data, { recursive: true });
    const { user, password } = guarded.login('node');
    const servers = [guarded.server.url];
    const bus = await NatsBus.connect({ servers, node: name, log: silentLogger, user, password });
    buses.set(name, bus);
    return startNode(data, { name, bus, config: { bus: { servers } }, ...options });
  }

  before(async () => {
    guarded = await startGuardedServer();
    folder = await tempDir('forged');
    admin = await connect({ servers: guarded.server.url, user: 'admin', pass: 'admin' });
    [a, b] = await Promise.all([start('edge-1'), start('edge-2')]);
  });
  after(async () => {
    await Promise.all([a, b].map((node) => node[Symbol.asyncDispose]()));
    await admin.close();
    await guarded[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  /** The record of a domain as it is in the stream. */
  async function inStream(domain: string): Promise<string> {
    const jsm = await admin.jetstreamManager();
    const found = await jsm.streams.getMessage(`KV_${CREDENTIALS_BUCKET}`, { last_by_subj: subject(domain) });
    return Buffer.from(found.data).toString();
  }

  /** Every user puts it in the stream, as far as NATS lets him: the two that write records at least. */
  async function attack(domain: string, record: string): Promise<void> {
    const lastSeq = async (): Promise<number> =>
      (await (await admin.jetstreamManager()).streams.info(`KV_${CREDENTIALS_BUCKET}`)).state.last_seq;
    const before = await lastSeq();
    for (const user of BUS_USERS) {
      const stranger = await login(user);
      stranger.publish(subject(domain), Buffer.from(record));
      await stranger.flush().catch(() => undefined);
      await stranger.close();
    }
    await waitFor(async () => (await lastSeq()) >= before + 2, { what: 'the attack to be in the stream' });
  }

  /** Wait until the stream has something else for the domain than what an attacker wrote. */
  const driven = (domain: string, record: string): Promise<unknown> =>
    waitFor(async () => (await inStream(domain)) !== record, { what: 'the forged record to go', timeout: 30_000 });

  const statesOn = async (node: StoreNode, name: string, domain: string): Promise<string[]> => {
    const { keys } = await node.calls['key-list']({ domain }, { node: name });
    return keys.map(({ selector, state }) => `${selector}:${state}`);
  };

  /** The nodes whose signer holds a key. */
  async function signersWith(domain: string, selector: string): Promise<string[]> {
    const holding: string[] = [];
    for (const [name, bus] of buses) {
      const request = { domain, selector, challenge: 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ' };
      const answer = await client(bus, signerContract)
        ['key-prove'](request, { node: name })
        .catch(() => undefined);
      if (answer !== undefined) holding.push(name);
    }
    return holding;
  }

  test('a revoked key does not come back with an old record, nor to a node that lost its disk', async () => {
    const domain = 'a.example';
    await activeKey(a, 's1', domain);
    await activeKey(a, 's2', domain);
    const old = await inStream(domain);
    const { version } = JSON.parse(old) as { version: number };
    await a.calls['key-revoke']({ domain, selector: 's1' });
    await reaches(b, 's1', 'revoked', domain);
    const newest = (JSON.parse(await inStream(domain)) as { version: number }).version;
    assert.ok(newest > version);

    // As it was, as the next version of it, and without what proves it.
    for (const forged of [
      old,
      JSON.stringify({ ...JSON.parse(old), version: newest + 5 }),
      JSON.stringify({ ...JSON.parse(old), version: newest + 5, macs: undefined }),
      JSON.stringify({ ...JSON.parse(old), version: newest + 5, macs: [{ nek: '0123456789abcdef', mac: 'AAAA' }] }),
    ]) {
      await attack(domain, forged);
      await driven(domain, forged);
      for (const [name, node] of [
        ['edge-1', a],
        ['edge-2', b],
      ] as const) {
        const states = await statesOn(node, name, domain);
        assert.ok(states.includes('s2:active') && !states.includes('s1:active'), `${name}: ${states}`);
      }
      assert.deepEqual(await signersWith(domain, 's1'), []);
    }

    // A disk that is set aside: everything comes back from the cluster, and the old record does not.
    await b[Symbol.asyncDispose]();
    await rename(join(folder.path, 'edge-2', 'credentials'), join(folder.path, 'edge-2', 'credentials.damaged'));
    await attack(domain, old);
    b = await start('edge-2');
    await waitFor(async () => (await statesOn(b, 'edge-2', domain)).includes('s2:active'), {
      what: 'keys again',
      timeout: 20_000,
    });
    await waitFor(async () => !(await statesOn(b, 'edge-2', domain)).includes('s1:active'), {
      what: 'no old key',
      timeout: 20_000,
    });
    await waitFor(async () => (await signersWith(domain, 's2')).length === 2, {
      what: 'both signers',
      timeout: 20_000,
    });
    // A signer hears of it a moment after its store.
    await waitFor(async () => (await signersWith(domain, 's1')).length === 0, {
      what: 'no signer with the old key',
      timeout: 20_000,
    });
  });

  test('a record of version 2^53−1 stops nothing', async () => {
    const domain = 'b.example';
    await activeKey(a, 's1', domain);
    await reaches(b, 's1', 'active', domain);
    const authentic = JSON.parse(await inStream(domain));
    for (const forged of [
      JSON.stringify({ ...authentic, version: Number.MAX_SAFE_INTEGER }),
      JSON.stringify({ ...authentic, version: Number.MAX_SAFE_INTEGER, macs: undefined }),
      JSON.stringify({ ...authentic, version: 2 ** 40, value: undefined, macs: undefined }),
    ]) {
      await attack(domain, forged);
      await driven(domain, forged);
    }
    for (const [name, node] of [
      ['edge-1', a],
      ['edge-2', b],
    ] as const) {
      assert.deepEqual(await statesOn(node, name, domain), ['s1:active']);
    }
    await a.calls['key-create']({ ...ed25519('s2', domain), activate: true });
    await reaches(b, 's2', 'active', domain);
    // A signer that starts now gets its keys.
    await b[Symbol.asyncDispose]();
    b = await start('edge-2');
    await waitFor(async () => (await signersWith(domain, 's2')).length === 2, {
      what: 'both signers',
      timeout: 20_000,
    });
  });

  test('what is no record hides no other; it is named, and repaired', async () => {
    const domain = 'example.com';
    await activeKey(a, 's1', domain);
    await reaches(b, 's1', 'active', domain);
    const authentic = JSON.parse(await inStream(domain));
    const foreign = JSON.stringify({
      ...{ ...authentic, key: domainKey('evil.example'), node: 'edge-1\u001b[2J' },
      value: { ...authentic.value, domain: 'evil.example' },
    });
    /** By the nodes that saw it before another one had written over it. */
    const told: boolean[] = [];
    await attack(domain, 'rubbish');
    await attack('evil.example', foreign);
    await driven(domain, 'rubbish');
    for (const [name, node] of [
      ['edge-1', a],
      ['edge-2', b],
    ] as const) {
      const refused = await waitFor(
        async () => {
          const status = await node.calls['status-show']({}, { node: name });
          return status.refused?.some(({ record }) => record === 'evil.example') && status.refused;
        },
        { what: 'the refusal to be told' },
      );
      const found = refused.map(({ record, writer, reason, held }) => ({ record, writer, reason, held }));
      assert.deepEqual(
        found.find(({ record }) => record === 'evil.example'),
        {
          ...{ record: 'evil.example', writer: 'edge-1?[2J', held: false },
          reason: 'it was changed, or written without the NEK: its MAC is wrong',
        },
      );
      told.push(...found.filter(({ record }) => record === domain).map(({ held }) => held));
      assert.deepEqual(await statesOn(node, name, 'evil.example'), []);
      assert.deepEqual(await statesOn(node, name, domain), ['s1:active']);
    }
    assert.ok(told.length > 0 && told.every((held) => held));
    const { repaired } = await a.calls['record-repair']({ domain: 'evil.example' }, { node: 'edge-1' });
    assert.deepEqual(repaired, [{ record: 'evil.example', found: false, version: 1 }]);
    await driven('evil.example', foreign);
    for (const name of ['edge-1', 'edge-2']) {
      await a.calls['record-repair']({}, { node: name });
      assert.equal((await a.calls['status-show']({}, { node: name })).refused, undefined);
    }
    await assert.rejects(
      a.calls['record-repair']({ domain: 'none.example' }, { node: 'edge-1' }),
      fails('not-found', 'none.example'),
    );
    assert.deepEqual(await statesOn(a, 'edge-1', domain), ['s1:active']);
  });

  test('a node without a NEK takes nothing that it cannot check, changes nothing, and says so', async () => {
    await activeKey(a, 's7', 'example.com');
    await using c = await start('edge-3', { nek: null });
    const { behind, keys } = await waitFor(
      async () => {
        const list = await c.calls['key-list']({}, { node: 'edge-3' });
        return list.behind !== undefined && list;
      },
      { what: 'it to say so', timeout: 15_000 },
    );
    assert.match(behind ?? '', /credentials\.nek/);
    assert.deepEqual(keys, []);
    await assert.rejects(
      c.calls['key-retire']({ domain: 'example.com', selector: 's7', force: true }, { node: 'edge-3' }),
      (error: { code?: string }) => error.code === 'no-nek' || error.code === 'not-found',
    );
    buses.delete('edge-3');
  });

  test('a new node with another NEK than the cluster does not start beside it', async () => {
    await activeKey(a, 's8', 'example.com');
    await assert.rejects(start('edge-4', { nek: generateNek('edge') }), fails('nek-mismatch', /of the cluster/));
    buses.delete('edge-4');
  });
});
