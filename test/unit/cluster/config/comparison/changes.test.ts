import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { changesBetween, comparable } from '#cluster/config/comparison/changes.ts';
import { loadConfig, parseConfig } from '#cluster/config/load.ts';
import { Secret } from '#shared/secret.ts';
import { tempDir } from '#test/kit/temp.ts';

/** What differs between two configurations. Each case: before, after, and a line for each change. */

const CASES: [what: string, before: string, after: string, changes: string[]][] = [
  ['nothing, though it is written differently', 'queue: { expire: 5d }', 'queue:\n  expire: 120h', []],
  ['a default', '', 'queue: { expire: 3d }', ['queue.expire: 5d → 3d, now']],
  [
    'the name and the bus',
    '',
    'node: { name: b }\nbus: { servers: [nats://a] }',
    ['node.name: a → b, restart', 'bus.servers: – → nats://a, restart'],
  ],
  [
    'an entry with a name, in another order',
    'domains: [{ name: a.test }, { name: b.test }]',
    'domains: [{ name: b.test, signing: { mode: off } }, { name: a.test }]',
    ['domains[b.test].signing.mode: best-effort → off, now'],
  ],
  [
    'hosts that come and go',
    'relay: { allow: { hosts: [10.0.0.0/8, 192.0.2.1] } }',
    'relay: { allow: { hosts: [10.0.0.0/8, 192.0.2.2] } }',
    ['relay.allow.hosts: 192.0.2.1 → –, now', 'relay.allow.hosts: – → 192.0.2.2, now'],
  ],
  [
    'one route of two',
    'routes: [{ to: a.test, via: "smtp://x" }, { to: "*", via: mx }]',
    'routes: [{ to: a.test, via: "smtp://y" }, { to: "*", via: mx }]',
    ['routes[0].via: smtp://x → smtp://y, now'],
  ],
];

for (const [what, before, after, expected] of CASES) {
  test(what, async () => {
    assert.deepEqual(await lines(before, after), expected);
  });
}

async function lines(before: string, after: string): Promise<string[]> {
  const [old, next] = await Promise.all([before, after].map(read));
  return changesBetween(old ?? null, next ?? null).map(
    ({ path, before: from = '–', after: to = '–', effect }) => `${path}: ${from} → ${to}, ${effect}`,
  );
}

async function read(text: string) {
  const node = text.includes('node:') ? '' : 'node: { name: a }\n';
  const full = `${node}listeners: [{ name: mx, kind: relay, port: 25, tls: none }]\n${text}`;
  const loaded = await parseConfig(full, '/etc/sealpost', { files: false });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  return comparable(loaded.config, 'salt');
}

test('secrets are told apart and not shown, wherever they stand', async () => {
  const hook = (name: string, path: string, secret: string): string =>
    `{ name: ${name}, url: "https://h.test/${path}", secret: ${secret}, events: [alarm.*] }`;
  const secret = (text: string): string => `whsec_${Buffer.from(text.padEnd(32, '.')).toString('base64')}`;
  const before = `webhooks: [${hook('same', 'a-token', secret('one'))}, ${hook('other', 'a-token', secret('one'))}]`;
  const after = `webhooks: [${hook('same', 'a-token', secret('one'))}, ${hook('other', 'b-token', secret('two'))}]`;
  assert.deepEqual(await lines(before, after), [
    'webhooks[other].url: https://h.test/[secret] → https://h.test/[secret], now',
    'webhooks[other].secret: [secret] → [secret], now',
  ]);
});

test('a secret that was read is that of the same file, which is not read again', async () => {
  await using folder = await tempDir('changes');
  const file = join(folder.path, 'sealpost.yaml');
  await writeFile(join(folder.path, 'token'), 'a-token-that-is-long-enough-for-it', { mode: 0o600 });
  const text = (place: string): string =>
    `node: { name: a }\nmetrics: { token: ${place} }\nlisteners: []\ndirectory: {}\n`;
  await writeFile(file, text('{ file: ./token }'));
  const loaded = await loadConfig(file, { services: [] });
  assert.ok(loaded.ok && loaded.config.metrics?.token instanceof Secret, JSON.stringify(loaded));
  assert.equal(loaded.config.metrics.token.reveal(), 'a-token-that-is-long-enough-for-it');
  const against = async (place: string) => {
    const other = await parseConfig(text(place), folder.path, { files: false });
    assert.ok(other.ok);
    return changesBetween(comparable(loaded.config, 's'), comparable(other.config, 's'));
  };
  assert.deepEqual(await against('{ file: ./token }'), []);
  assert.deepEqual(await against('{ env: TOKEN }'), [
    {
      path: 'metrics.token',
      before: `[secret of file ${join(folder.path, 'token')}]`,
      after: '[secret of environment variable TOKEN]',
      effect: 'now',
    },
  ]);
});
