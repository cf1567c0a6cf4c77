import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { publishedBytes } from '#shared/dkim/public-key.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { sealpost } from '#test/kit/command.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The life of keys on a real node, by the commands alone. */

function commands(node: SealpostNode) {
  const run = (...args: string[]) => sealpost([...args, '--config', node.configFile], { cwd: node.folder });
  const done = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const keys = async (): Promise<Map<string, KeyStatus>> => {
    const { keys: all } = JSON.parse(await done('keys', 'list', '--json')) as { keys: KeyStatus[] };
    return new Map(all.map((key) => [key.selector, key]));
  };
  const until = (selector: string, state: KeyStatus['state']): Promise<true> =>
    waitFor(async () => (await keys()).get(selector)?.state === state, {
      // What is published by hand is looked at every half a minute in the end.
      timeout: 60_000,
      what: `${selector} to be ${state}`,
    });
  return { run, done, keys, until };
}

test('a key in no DNS is made, rotated, rolled over and taken back', async () => {
  await using node = await SealpostNode.create({ config: 'keys: { retire-after: 1s, keep-revoked: 1h }' });
  await node.start();
  const { run, done, keys, until } = commands(node);

  assert.match(await done('keys', 'create', 'example.com', 's1', 'ed25519'), /every node signs with it as soon as/);
  await until('s1', 'active');
  assert.match(await done('keys', 'list'), /^example\.com +s1 +active .* ed25519 .* 1\/1 +-$/m);
  assert.match(await done('keys', 'verify'), /every signer has it/);
  assert.match(await done('keys', 'show', 'example.com', 's1'), /^next +signs mail$/m);

  await done('keys', 'export', 'example.com', 's1', '--out', 's1.pem');
  const exported = createPublicKey(await readFile(join(node.folder, 's1.pem'), 'utf8'));
  assert.equal(publishedBytes(exported).toString('base64'), (await keys()).get('s1')?.publicKey);

  const last = await run('keys', 'retire', 'example.com', 's1');
  assert.equal(last.code, 1);
  assert.match(last.stderr, /--force/);

  const rotated = await done('keys', 'rotate', 'example.com', '--selector', 's2', '--watch');
  assert.match(rotated, /began: s1 → s2\n[\s\S]*rotation of example\.com \(s1 → s2\): done\n$/);
  await until('s2', 'active');
  assert.match(await done('keys', 'watch', 'example.com'), /done\n$/);
  await until('s1', 'revoked');
  assert.match((await run('keys', 'export', 'example.com', 's1', '--out', 'gone.pem')).stderr, /erased/);

  assert.match(
    await done('keys', 'schedule', 'example.com', '--every', '90d', '--zone', 'Europe/Berlin'),
    /every 90 days/,
  );
  assert.match(await done('keys', 'list'), /^schedule of example\.com: every 90 days at 03:00 Europe\/Berlin/m);
  assert.match(await done('keys', 'schedule', 'example.com', '--off'), /no schedule any more/);

  await done('keys', 'revoke', 'example.com', 's2', '--force', '--yes');
  await until('s2', 'revoked');
});

test('keymgmt makes NEK, store and key, and changes the NEK', async () => {
  await using node = await SealpostNode.create();
  await node.start();
  const { run, done } = commands(node);
  assert.match(await done('keymgmt', 'create', 'credstore', 'test'), /Credential Store created successfully/);
  assert.equal((await run('keymgmt', 'create', 'credstore', 'test')).code, 1);
  assert.match(
    await done('keymgmt', 'create', 'DKIM', 'example.com', '12345', 'RSA', '2048'),
    /^Created DKIM key 12345\._domainkey\.example\.com$/m,
  );
  assert.match(
    await done('keymgmt', 'show', 'dkim', 'ALL'),
    /^DKIM : Selector: 12345, Domain: example\.com, Fingerprint/,
  );

  await done('keymgmt', 'create', 'nek', 'next');
  assert.match(
    await waitFor(async () => (await run('keymgmt', 'rotate', 'nek', 'next')).stdout || undefined, {
      timeout: 20_000,
      what: 'the node to have NEK next',
    }),
    /1 key was wrapped again; NEK next wraps all keys/,
  );
  assert.match(await done('keymgmt', 'show', 'nek', 'all'), /Name: next, .*, current, Keys: 1, Nodes: edge-1/);
  assert.match(await done('keymgmt', 'delete', 'nek', 'test'), /^Deleted NEK test/);
  assert.match(await done('keys', 'show', 'example.com', '12345'), /^wrapped by +NEK next$/m);
});

test('keys are published by update and by hand, and seen at every server', needs('named'), async () => {
  await using zones = await ZoneServers.start({ 'example.com': '', 'example.net': '' });
  const config = `domains: [{ name: example.com }, { name: example.net, keys: { publish: manual } }]\n${zones.yaml()}`;
  await using node = await SealpostNode.create({ config });
  await node.start();
  const { run, done, until } = commands(node);

  assert.match(await done('keys', 'create', 'example.com', 'u1', 'ed25519'), /^Sealpost publishes u1\._domainkey/m);
  await until('u1', 'active');
  const rotated = await done('keys', 'rotate', 'example.com', '--side-by-side', '2d', '--watch', '--selector', 'u2');
  for (const words of [/u2 is published$/m, /u2 is proven$/m, /every node has switched; both sign until 20.*\n$/]) {
    assert.match(rotated, words);
  }
  const verified = await done('keys', 'verify', 'example.com');
  for (const server of zones.servers) assert.match(verified, new RegExp(`^u2 of .* ${server} +ok$`, 'm'));

  assert.match(await done('keys', 'create', 'example.net', 'm1', 'ed25519'), /^Publish this record/m);
  await until('m1', 'replicated');
  await waitFor(async () => (await done('keys', 'list')).includes(`missing at ${zones.servers[0]} and 1 more`), {
    timeout: 20_000,
    what: 'the look at DNS',
  });
  await done('keymgmt', 'export', 'DKIM', 'DNS', 'example.net', 'm1', 'm1.txt');
  const line = (await readFile(join(node.folder, 'm1.txt'), 'utf8')).trim();
  assert.equal(await zones.nsupdate(['zone example.net', `add ${line.replace(/ \( | \)/g, ' ')}`]), '');
  await until('m1', 'active');
  assert.match(await done('keys', 'show', 'example.net', 'm1'), /^DNS +ok, as edge-1 saw it/m);

  await zones.nsupdate(['zone example.net', 'delete m1._domainkey.example.net. TXT']);
  await zones.settled('m1._domainkey.example.net', []);
  const broken = await run('keys', 'verify', 'example.net');
  assert.equal(broken.code, 1);
  assert.match(broken.stdout, new RegExp(`^m1 of .* ${zones.servers[1]} +missing`, 'm'));
});
