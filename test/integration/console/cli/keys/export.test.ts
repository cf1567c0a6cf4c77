import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { wrapKey } from '#shared/dkim/key-wrap.ts';
import { parseNek } from '#shared/dkim/nek.ts';
import { publishedBytes } from '#shared/dkim/public-key.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { onTerminal } from '#test/kit/command.ts';
import { fakeStore, keyStatus } from '#test/kit/dkim/fake-credential-store.ts';

/** How a key is made and how it leaves the store: `sealpost keys create`, `export-dns` and `export`. */

const KEY = keyStatus();

for (const [what, own, words] of [
  ['by hand', {}, [/^s1\._domainkey\.example\.com\. 3600 IN TXT \( "v=DKIM1; k=rsa; p=MIIB/m, /then every node signs/]],
  ['by update', { publish: 'update' }, [/Sealpost publishes s1\._domainkey\.example\.com and waits until/]],
  ['by update, not to sign', { publish: 'update', activate: false }, [/"sealpost keys activate example\.com s1"/]],
  [
    'behind a CNAME',
    { publish: 'cname', record: 's1.example.com.keys.example.net' },
    [
      /publishes s1\.example\.com\.keys\.example\.net/,
      /^s1\._domainkey\.example\.com\. IN CNAME s1\.example\.com\.keys/m,
    ],
  ],
  ['in no DNS', { publish: 'none' }, [/not in DNS: every node signs/]],
] as [string, Partial<KeyStatus>, RegExp[]][]) {
  test(`a key that is published ${what}: create says what happens next`, async () => {
    await using store = await fakeStore({ 'key-create': () => keyStatus({ state: 'created', ...own }) });
    const { code, stdout, stderr } = await store.run('keys', 'create', 'example.com', 's1', '--no-activate');
    assert.equal(code, 0, stderr);
    assert.deepEqual(store.calls, [
      {
        operation: 'key-create',
        request: {
          domain: 'example.com',
          selector: 's1',
          algorithm: 'rsa-2048',
          allowWeak: false,
          activate: false,
        },
      },
    ]);
    assert.match(stdout, /^created rsa-2048 key s1 of example\.com, created\nfingerprint A0:A1:/);
    for (const word of words) assert.match(stdout, word);
  });
}

test('whether a new key signs by itself is left to the store where nothing is said', async () => {
  await using store = await fakeStore({ 'key-create': () => KEY });
  const run = async (...args: string[]): Promise<unknown> => {
    await store.run('keys', 'create', 'example.com', 's1', ...args);
    return (store.calls.at(-1) as { request: { activate?: boolean } }).request.activate;
  };
  assert.deepEqual([await run(), await run('--activate'), await run('--no-activate')], [undefined, true, false]);
});

for (const [state, value] of [
  ['active', `v=DKIM1; k=rsa; p=${KEY.publicKey}`],
  ['retired', 'v=DKIM1; k=rsa; p='],
  ['revoked', 'v=DKIM1; k=rsa; p='],
] as const) {
  test(`the record of a key that is ${state}, in every form`, async () => {
    await using store = await fakeStore({ 'key-show': () => keyStatus({ state }) });
    const run = async (...args: string[]) =>
      (await store.run('keys', 'export-dns', 'example.com', 's1', ...args)).stdout;
    assert.equal(await run('--value'), `${value}\n`);
    const strings = (await run('--strings')).trimEnd().split('\n');
    assert.ok(strings.every((s) => s.length <= 255));
    assert.equal(strings.join(''), value);
    const zone = await run();
    assert.equal(zone, await run('--zone'));
    assert.equal([...zone.matchAll(/"([^"]*)"/g)].map(([, s]) => s).join(''), value);
    assert.equal((JSON.parse(await run('--json')) as { value: string }).value, value);
  });
}

test('a private key goes to a new file of its owner, opened here with the NEK; never over another file', async () => {
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const identity = { domain: 'example.com', selector: 's1', algorithm: 'rsa-2048' as const };
  let wrapped: ReturnType<typeof wrapKey> | undefined;
  const publicKey = publishedBytes(pair.publicKey).toString('base64');
  await using store = await fakeStore({
    'key-export': () => ({ ...keyStatus({ publicKey }), wrapped: wrapped ?? assert.fail('asked too early') }),
  });
  assert.equal((await store.run('keymgmt', 'create', 'nek', 'edge')).code, 0);
  const nek = parseNek(await readFile(join(store.folder, 'secrets/nek.key'), 'utf8'));
  wrapped = wrapKey(nek, identity, pair.privateKey);

  const run = (...args: string[]) => store.run('keys', 'export', 'example.com', 's1', ...args);
  const done = await run('--out', 'key.pem');
  assert.equal(done.code, 0, done.stderr);
  const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' });
  const file = join(store.folder, 'key.pem');
  assert.equal(await readFile(file, 'utf8'), pem);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.doesNotMatch(done.stdout, /PRIVATE/);

  const again = await run('--out', 'key.pem');
  assert.equal(again.code, 1);
  assert.match(again.stderr, /key\.pem is there already and is not overwritten/);
  assert.equal((await run('--out', '-')).stdout, pem);
  assert.equal((await run('--out', '-', '--json')).code, 2);
  assert.equal((await run()).code, 2);

  const terminal = await onTerminal(store.folder, 'keys export example.com s1 --out -'.split(' '));
  assert.match(terminal.output, /a private key is not for a terminal/);
  assert.doesNotMatch(terminal.output, /PRIVATE KEY/);
  assert.equal(terminal.code, 2);

  const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
  wrapped = wrapKey(nek, identity, other.privateKey);
  assert.match((await run('--out', 'other.pem')).stderr, /does not belong to its public key: nothing was exported/);
  await assert.rejects(stat(join(store.folder, 'other.pem')));
  wrapped = { ...wrapped, nekFingerprint: '0000000000000000' };
  assert.match(
    (await run('--out', 'other.pem')).stderr,
    /is wrapped with NEK edge \(0000000000000000\), and credentials\.nek has edge \([0-9a-f]{16}\) on this machine/,
  );
});
