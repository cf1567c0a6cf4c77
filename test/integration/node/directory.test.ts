import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { Cable } from '#test/kit/bus/cable.ts';
import { startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { sealpost } from '#test/kit/command.ts';
import { findTraces, secretTraces } from '#test/kit/dkim/key-traces.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * One directory on three nodes over three nats-servers, through the command line and SMTP. Everything that crosses the bus
 * between nodes, commands and nats-servers goes through cables and is kept.
 */

/** After this a change must be in force everywhere. */
const IN_FORCE_MS = 1000;
const NODES = [1, 2, 3] as const;

async function session<T>(node: SealpostNode, talk: (client: Dialog) => Promise<T>): Promise<T> {
  await using client = await Dialog.connect(node.port, { timeout: 20_000 });
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  return await talk(client);
}

/** The code of the reply to a log-in. */
const logIn = (node: SealpostNode, user: string, password: string): Promise<number> =>
  session(node, async (client) => {
    const { code } = await client.command(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}`);
    return code;
  });

/** The code of the reply to RCPT. */
const recipient = (node: SealpostNode, address: string): Promise<number> =>
  session(node, async (client) => {
    await client.say('MAIL FROM:<sender@far.test>', 250);
    return (await client.command(`RCPT TO:<${address}>`)).code;
  });

describe('one directory for all nodes', { ...needs('nats-server'), timeout: 240_000 }, () => {
  const undo = new AsyncDisposableStack();
  const captured: Buffer[] = [];
  const nodes: SealpostNode[] = [];
  const folders: string[] = [];
  let stopNats: () => Promise<unknown>;
  let scratch: TempDir;

  const node = (n: number): SealpostNode => nodes[n - 1] as SealpostNode;

  /** Run a command at a node; resolves to what it printed. Servers that elect a leader refuse changes for a moment. */
  async function command(n: number, args: string[], input = ''): Promise<string> {
    const { configFile, folder } = node(n);
    const run = () => sealpost([...args, '--config', configFile], { cwd: folder, input });
    const result = await waitFor(
      async () => {
        const { code, stdout, stderr } = await run();
        return !stderr.includes('cannot be changed until a majority') && { code, stdout, stderr };
      },
      { what: 'a majority of the NATS servers', timeout: 30_000 },
    );
    assert.equal(result.code, 0, result.stderr);
    return result.stdout;
  }

  const addUser = (n: number, name: string) =>
    command(n, ['users', 'add', name, '--address', `${name}@example.com`, '--password-stdin'], `secret of ${name}\n`);

  const appPassword = async (n: number, user: string, name: string, ...more: string[]): Promise<string> => {
    const made = await command(n, ['users', 'app-passwords', 'add', user, name, '--json', ...more]);
    return (JSON.parse(made) as { password: string }).password;
  };

  /** Wait, no longer than a change may take, until each of some nodes answers so. */
  const inForce = async (
    which: readonly number[],
    what: string,
    ask: (node: SealpostNode) => Promise<number>,
    code: number,
  ) => {
    const began = performance.now();
    await Promise.all(
      which.map((n) =>
        waitFor(async () => (await ask(node(n))) === code, { what: `${what} at edge-${n}`, timeout: IN_FORCE_MS }),
      ),
    );
    // The last question may have taken longer than the wait for it.
    assert.ok(performance.now() - began < 2 * IN_FORCE_MS, what);
  };

  before(async () => {
    const { servers } = undo.use(await startNatsCluster(3));
    stopNats = () => Promise.all(servers.map((server) => server.stop()));
    folders.push(...servers.map(({ folder }) => folder));
    const cables = await Promise.all(servers.map(({ port }) => Cable.start(port, (bytes) => captured.push(bytes))));
    for (const cable of cables) undo.use(cable);
    scratch = undo.use(await tempDir('directory'));
    const nek = generateNek('test');
    const urls = JSON.stringify(cables.map(({ url }) => url));
    for (const [i, port] of (await freePorts(3)).entries()) {
      const config = [
        `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, auth: always }]`,
        'relay: { allow: { hosts: [] } }',
        'domains: [{ name: example.com, local: true, keys: { proof: none } }]',
        'routes: [{ to: "*", via: discard }]',
        'dns: { servers: ["127.0.0.1:1"], timeout: 100ms }',
        // Log-ins are tried until they succeed, or fail.
        'authentication: { delay: 1ms, limits: { user-from-network: 1000/15m, network: 10000/15m, user: 10000/h } }',
        `bus: { servers: ${urls} }`,
      ].join('\n');
      nodes.push(undo.use(await SealpostNode.create({ name: `edge-${i + 1}`, nek, port, config })));
    }
    folders.push(...nodes.map(({ folder }) => folder));
    await Promise.all(
      nodes.map(async (one) => {
        const program = await one.start();
        // Servers that have just started elect the leaders of their streams.
        for (const bucket of ['sealpost-credentials', 'sealpost-directory']) {
          await program.waitForOutput(new RegExp(`${bucket}[^\\n]*following the cluster's records`), 30_000);
        }
      }),
    );
  });
  after(() => undo.disposeAsync());

  test('without an entry every recipient of a local domain is accepted and nobody logs in', async () => {
    assert.equal(await recipient(node(1), 'anybody@example.com'), 250);
    assert.equal(await logIn(node(2), 'alice', 'x'), 535);
  });

  test('a user, an app password and an alias made at one node are in force at all within a second', async () => {
    await addUser(1, 'alice');
    await inForce(NODES, 'the user as a recipient', (n) => recipient(n, 'alice@example.com'), 250);
    await inForce(NODES, 'the log-in of the user', (n) => logIn(n, 'alice', 'secret of alice'), 235);
    await inForce(NODES, 'that others do not exist', (n) => recipient(n, 'nobody@example.com'), 550);

    await command(2, ['aliases', 'add', 'sales@example.com', 'alice@example.com', 'partner@far.test']);
    await inForce(NODES, 'the alias', (n) => recipient(n, 'sales@example.com'), 250);

    const password = await appPassword(3, 'alice', 'phone', '--network', '127.0.0.0/8');
    await inForce(NODES, 'the app password', (n) => logIn(n, 'alice', password), 235);
    const elsewhere = await appPassword(3, 'alice', 'office', '--network', '192.0.2.0/24');
    await inForce(NODES, 'the refusal from another network', (n) => logIn(n, 'alice', elsewhere), 535);

    const lastUses = async () => {
      const list = await command(1, ['users', 'app-passwords', 'list', 'alice', '--json']);
      const { appPasswords } = JSON.parse(list) as { appPasswords: { name: string; lastUsed?: string }[] };
      return appPasswords.map(({ name, lastUsed }) => `${name} ${lastUsed ?? 'never'}`).join();
    };
    const today = new Date().toISOString().slice(0, 10);
    await waitFor(async () => (await lastUses()) === `phone ${today},office never`, { what: 'the last uses' });
    await command(2, ['users', 'app-passwords', 'revoke', 'alice', 'phone']);
    await inForce(NODES, 'the revocation', (n) => logIn(n, 'alice', password), 535);
  });

  test('a group reaches its members at all nodes, and none of them lets it contain itself', async () => {
    await command(1, ['groups', 'add', 'inner', 'alice']);
    await command(2, ['groups', 'add', 'staff', 'inner', 'guest@far.test', '--address', 'staff@example.com']);
    await inForce(NODES, 'the group', (n) => recipient(n, 'staff@example.com'), 250);
    const cycle = await sealpost(['groups', 'members', 'inner', '--add', 'staff', '--config', node(3).configFile], {
      cwd: node(3).folder,
    });
    assert.match(cycle.stderr, /the group inner would contain itself: inner, staff, inner/);
  });

  for (const n of NODES) {
    test(`what was made while edge-${n} was down is in force there within a second of its start`, async () => {
      const other = (n % 3) + 1;
      await node(n).programs.get('all')?.kill();
      await addUser(other, `late-${n}`);
      await command(other, ['aliases', 'add', `alias-${n}@example.com`, `late-${n}@example.com`]);
      const password = await appPassword(other, `late-${n}`, 'phone');
      await node(n).start();
      await inForce([n], 'the alias', (one) => recipient(one, `alias-${n}@example.com`), 250);
      await inForce([n], 'the user', (one) => logIn(one, `late-${n}`, `secret of late-${n}`), 235);
      await inForce([n], 'the app password', (one) => logIn(one, `late-${n}`, password), 235);
    });
  }

  test('an export has all of it, an import brings it back, and a repeated one changes nothing', async () => {
    const file = join(scratch.path, 'export.yaml');
    await command(2, ['directory', 'export', '--out', file]);
    const again = JSON.parse(await command(3, ['directory', 'import', file, '--json'])) as object;
    assert.partialDeepStrictEqual(again, { changed: 0, failed: [] });
    await command(1, ['groups', 'members', 'inner', '--remove', 'alice']);
    await command(1, ['users', 'remove', 'alice']);
    await inForce(NODES, 'the removal', (n) => recipient(n, 'alice@example.com'), 550);
    const back = JSON.parse(await command(1, ['directory', 'import', file, '--json'])) as object;
    assert.partialDeepStrictEqual(back, { changed: 2, failed: [] });
    await inForce(NODES, 'the log-in of the user', (n) => logIn(n, 'alice', 'secret of alice'), 235);
  });

  test('no hash is in clear in any LevelDB, NATS file, log or captured traffic', async () => {
    const { users } = parseUsersFile(await readFile(join(scratch.path, 'export.yaml'), 'utf8'), 'export.yaml');
    const hashes = users.flatMap((user) => [user.password, ...user['app-passwords'].map(({ password }) => password)]);
    assert.ok(hashes.length >= 8);
    const traces = [Buffer.from('argon2id'), ...hashes.flatMap(({ hash }) => secretTraces(hash))];
    const known = [Buffer.from('partner@far.test')];
    for (const one of nodes) {
      const program = one.programs.get('all');
      await writeFile(join(one.folder, 'output.log'), program?.output ?? '');
      await program?.stop();
    }
    await stopNats();
    const { files, entries, found } = await findTraces(folders, traces);
    assert.deepEqual(found, []);
    assert.ok(files > 20 && entries > 20);
    // The search finds what is there, in LevelDB and in the files of NATS.
    const control = (await findTraces(folders, known)).found;
    assert.ok(nodes.every(({ folder }) => control.some((file) => file.startsWith(folder))));
    assert.ok(control.some((file) => file.includes('jetstream')));
    const traffic = Buffer.concat(captured);
    assert.ok(known.every((text) => traffic.includes(text)));
    assert.deepEqual(
      traces.filter((trace) => traffic.includes(trace)),
      [],
    );
  });
});
