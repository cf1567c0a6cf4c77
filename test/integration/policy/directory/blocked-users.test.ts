import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { hashPassword } from '#cluster/config/users/password.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { sealpost } from '#test/kit/command.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Users who are blocked at one of three nodes, and what SMTP clients are told at the others. */

const SECRET = 'correct horse battery';
/** After this a change must be in force everywhere. */
const IN_FORCE_MS = 1000;
const BLOCKED = '5.7.13 This user is blocked, please ask your administrator';
const NODES = [1, 2, 3] as const;

const login = (user: string, password: string): string =>
  `AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}`;

describe('blocked users', { ...needs('nats-server'), timeout: 240_000 }, () => {
  const undo = new AsyncDisposableStack();
  const nodes: SealpostNode[] = [];
  const node = (n: number): SealpostNode => nodes[n - 1] as SealpostNode;

  const session = async (n: number): Promise<Dialog> => {
    const client = await Dialog.connect(node(n).port);
    await client.expect(220);
    await client.say('EHLO client.test', 250);
    return client;
  };
  /** The reply to a log-in. */
  const answer = async (n: number, user: string, password = SECRET): Promise<string> => {
    await using client = await session(n);
    const { code, text } = await client.command(login(user, password));
    return `${code} ${text}`;
  };
  const everywhere = (what: string, user: string, is: (text: string) => boolean): Promise<unknown> =>
    Promise.all(
      NODES.map((n) =>
        waitFor(async () => is(await answer(n, user)), { what: `${what} at edge-${n}`, timeout: IN_FORCE_MS }),
      ),
    );
  const isBlocked = (text: string): boolean => text === `535 ${BLOCKED}`;
  const mayLogIn = (text: string): boolean => text.startsWith('235');
  const command = (n: number, args: readonly string[], input = '') =>
    sealpost([...args, '--config', node(n).configFile], { cwd: node(n).folder, input });
  /** What a node has logged so far. */
  const log = (n: number): string => node(n).programs.get('all')?.output ?? '';

  before(async () => {
    const { servers } = undo.use(await startNatsCluster(3));
    const nek = generateNek('test');
    const hash = await hashPassword(SECRET);
    for (const [i, port] of (await freePorts(3)).entries()) {
      const n = i + 1;
      const config = [
        `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, auth: always }]`,
        'domains: [{ name: example.com, local: true, keys: { proof: none } }]',
        'routes: [{ to: "*", via: discard }]',
        'dns: { servers: ["127.0.0.1:1"], timeout: 100ms }',
        'authentication: { delay: 1ms, limits: { user-from-network: 1000/15m, network: 10000/15m, user: 10000/h } }',
        `bus: { servers: ${JSON.stringify(servers.map(({ url }) => url))} }`,
        // One of them has users of its own.
        ...(n === 3 ? ['directory: { users: ./users.yaml }'] : []),
      ];
      nodes.push(undo.use(await SealpostNode.create({ name: `edge-${n}`, nek, port, config: config.join('\n') })));
    }
    const users = ['fabian', 'ferdinand'].map((name) => ({
      ...{ name, password: hash, addresses: [`${name}@example.com`] },
    }));
    const file = { users, blocked: { ferdinand: { reason: 'by hand' } } };
    await writeFile(join(node(3).folder, 'users.yaml'), JSON.stringify(file), { mode: 0o600 });
    await Promise.all(
      nodes.map(async (one) => {
        const program = await one.start();
        await program.waitForOutput(/sealpost-directory[^\n]*following the cluster's records/, 30_000);
      }),
    );
    for (const name of ['alice', 'bob']) {
      const add = ['users', 'add', name, '--address', `${name}@example.com`, '--password-stdin'];
      await waitFor(async () => (await command(1, add, `${SECRET}\n`)).code === 0, {
        ...{ what: `user ${name}`, timeout: 30_000 },
      });
    }
    await Promise.all(['alice', 'bob'].map((name) => everywhere('the user', name, mayLogIn)));
  });
  after(() => undo.disposeAsync());

  test('one who is blocked at one node logs in at none, by no password, and is not told which was right', async () => {
    const { password: app } = JSON.parse(
      await node(2).sealpost('users', 'app-passwords', 'add', 'alice', 'phone', '--json'),
    ) as { password: string };
    await waitFor(async () => mayLogIn(await answer(3, 'alice', app)), { what: 'the app password' });
    await node(1).sealpost('users', 'block', 'Alice', '--reason', 'left in May');
    await everywhere('the block', 'ALICE', isBlocked);
    for (const n of NODES) {
      assert.equal(await answer(n, 'alice', app), `535 ${BLOCKED}`);
      assert.equal(await answer(n, 'alice', 'wrong'), `535 ${BLOCKED}`);
    }
    assert.ok(mayLogIn(await answer(2, 'bob')));
    const line = log(2)
      .split('\n')
      .find((one) => one.includes('the user is blocked'));
    assert.match(line ?? '', /"user":"ALICE".*"peer":"127\.0\.0\.1"/);
    assert.match(line ?? '', /blocked since \d{4}-[^"]*: left in May/);
  });

  test('mail for the user still arrives, and lists, explanations, reasons and the audit log tell of the block', async () => {
    await using client = await session(2);
    await client.say('MAIL FROM:<sender@far.test>', 250);
    await client.say('RCPT TO:<alice@example.com>', 250);
    assert.match(await node(2).sealpost('users', 'list'), /alice +alice@example\.com +since \d{4}-\S+: left in May/);
    assert.match(await node(3).sealpost('users', 'show', 'alice', '--cluster'), /blocked +since/);
    const explained = await node(2).report(
      ...['explain', '--client', '192.0.2.1', '--auth', 'alice', '--from', 'alice@example.com'],
      ...['--to', 'bob@example.com'],
    );
    assert.match(explained, /5\.7\.13/);
    assert.match(explained, /left in May/);
    assert.match(await node(1).report('why', 'alice'), /left in May/);
    assert.match(await node(1).sealpost('audit'), /user-block .*Alice: left in May/);
  });

  test('a session that is open sends nothing more from the next MAIL on, and goes on after the block is lifted', async () => {
    await using client = await session(3);
    await client.say(login('bob', SECRET), 235);
    await client.say('MAIL FROM:<bob@example.com>', 250);
    await client.say('RCPT TO:<x@far.test>', 250);
    await client.say('RSET', 250);
    await node(1).sealpost('users', 'block', 'bob');
    await everywhere('the block', 'bob', isBlocked);
    const refused = await client.command('MAIL FROM:<bob@example.com>');
    assert.deepEqual([refused.code, refused.text], [530, BLOCKED]);
    assert.equal((await client.command('MAIL FROM:<>')).code, 530);
    assert.equal((await client.command(login('bob', SECRET))).code, 503);
    await node(2).sealpost('users', 'unblock', 'BOB');
    await everywhere('the log-in', 'bob', mayLogIn);
    await client.say('MAIL FROM:<bob@example.com>', 250);
    await assert.rejects(node(2).sealpost('users', 'unblock', 'bob'), /user bob is not blocked/);
  });

  test('a block holds for the users of a users file too, and can be written into one', async () => {
    assert.ok(mayLogIn(await answer(3, 'fabian')));
    assert.equal(await answer(3, 'ferdinand'), `535 ${BLOCKED}`);
    // That node has no list with him.
    const said = await command(1, ['users', 'block', 'fabian', '--reason', 'stolen password']);
    assert.match(said.stderr, /whoever logs in by that name is blocked/);
    await waitFor(async () => isBlocked(await answer(3, 'fabian')), { what: 'the block', timeout: IN_FORCE_MS });
    const { users } = JSON.parse(await node(3).sealpost('users', 'list', '--json')) as {
      users: { name: string; blocked?: { reason?: string } }[];
    };
    assert.deepEqual(
      users.map(({ name, blocked }) => [name, blocked?.reason]),
      [
        ['fabian', 'stolen password'],
        ['ferdinand', 'by hand'],
      ],
    );
  });

  test('a block outlives the user, is exported, and is in force before the users of an import are', async () => {
    const file = join(node(1).folder, 'export.yaml');
    await node(1).sealpost('directory', 'export', '--out', file);
    await node(1).sealpost('users', 'remove', 'alice');
    await everywhere('the block', 'alice', isBlocked);
    await node(1).sealpost('users', 'unblock', 'alice');
    await everywhere('the end of the block', 'alice', (text) => text.startsWith('535 5.7.8'));
    const imported = JSON.parse(await node(2).sealpost('directory', 'import', file, '--json')) as object;
    assert.partialDeepStrictEqual(imported, { changed: 2, failed: [] });
    await everywhere('the block', 'alice', isBlocked);
    const again = JSON.parse(await node(2).sealpost('directory', 'import', file, '--json')) as object;
    assert.partialDeepStrictEqual(again, { changed: 0, failed: [] });
    assert.match(await node(2).sealpost('users', 'list'), /alice .*since \d{4}-\S+: left in May/);
  });

  test('a node that was down while a user was blocked refuses the user when it is back', async () => {
    await node(2).programs.get('all')?.kill();
    await node(1).sealpost('users', 'block', 'bob', '--reason', 'while edge-2 was down');
    await node(2).start();
    await waitFor(async () => isBlocked(await answer(2, 'bob')), { what: 'the block at edge-2' });
  });
});
