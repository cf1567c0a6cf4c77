import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { unwrapKey, type WrappedKey } from '#shared/dkim/key-wrap.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { publicKeyFingerprint, publishedBytes } from '#shared/dkim/public-key.ts';
import { SealpostError } from '#shared/errors.ts';
import type { NekStatus } from '#shared/keys/holders.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { sealpost } from '#test/kit/command.ts';
import { type FakeStore, fakeStore, keyStatus } from '#test/kit/dkim/fake-credential-store.ts';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { locate, needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** `sealpost keys import`: keys of other signers come into the store, and never in clear. */

type Sent = { domain: string; selector: string; algorithm: string; publicKey: string; wrapped: WrappedKey };
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string;
const fingerprint = (key: KeyObject): string => publicKeyFingerprint(publishedBytes(key));
const NEK = generateNek('edge');
const notFound = (): never => {
  throw new SealpostError('not-found', 'example.com has no key with selector s1');
};
const nekStatus = (own: Partial<NekStatus> = {}): NekStatus => {
  const { name, fingerprint: print } = parseNek(NEK.trimEnd());
  return { name, fingerprint: print, since: 1, current: true, keys: 0, having: ['edge-1'], lacking: [], ...own };
};

/** A store without keys that takes what it gets; its NEK is `edge`, which is configured. */
async function emptyStore(handlers: Parameters<typeof fakeStore>[0] = {}, neks = NEK): Promise<FakeStore> {
  const store = await fakeStore(
    {
      'key-show': notFound,
      'nek-list': () => ({ neks: [nekStatus()] }),
      'key-import': ({ domain, selector, algorithm }) =>
        keyStatus({ domain, selector, algorithm: algorithm as KeyStatus['algorithm'], state: 'created' }),
      ...handlers,
    },
    'credentials: { nek: ./nek.key }',
  );
  await writeFile(join(store.folder, 'nek.key'), neks, { mode: 0o600 });
  await writeFile(join(store.folder, 's1.pem'), pem(RSA));
  return store;
}

test('a key is sent wrapped by the current NEK, for its own name, with its public part', async () => {
  await using store = await emptyStore();
  const { code, stdout, stderr } = await store.run(
    'keys',
    'import',
    'pem',
    'Example.COM.',
    'S1',
    's1.pem',
    '--no-activate',
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^s1 of example\.com +s1\.pem +rsa-2048 +imported/m);
  assert.match(stdout, /in DNS already and stay valid/);
  const call = store.calls.find((c) => c.operation === 'key-import')?.request as Sent & { activate: boolean };
  assert.deepEqual(
    [call.domain, call.selector, call.algorithm, call.activate],
    ['example.com', 's1', 'rsa-2048', false],
  );
  assert.equal(call.publicKey, publishedBytes(RSA).toString('base64'));
  assert.ok(unwrapKey(parseNek(NEK.trimEnd()), call, call.wrapped).equals(RSA));
  const clear = RSA.export({ type: 'pkcs8', format: 'der' }).toString('base64');
  for (const text of [JSON.stringify(store.calls), stdout, stderr]) assert.ok(!text.includes(clear.slice(100, 160)));
});

for (const [publish, words] of [
  ['manual', /in DNS already and stay valid/],
  ['update', /in DNS already and stay valid/],
  ['cname', /replace each TXT record by the CNAME line, as shown by\n {2}sealpost keys export-dns example\.com s1$/m],
  ['none', /sign as soon as every node has the keys/],
] as const) {
  test(`what happens to the record of a key that is published so: ${publish}`, async () => {
    await using store = await emptyStore({ 'key-import': () => keyStatus({ publish, state: 'created' }) });
    const { stdout, stderr } = await store.run('keys', 'import', 'pem', 'example.com', 's1', 's1.pem');
    assert.match(stdout, words, stderr);
  });
}

test('a store without a NEK begins with the one that is configured; of several it is not guessed', async () => {
  let begun = false;
  const handlers = {
    'nek-list': () => ({ neks: begun ? [nekStatus()] : [] }),
    'nek-use': () => {
      begun = true;
      return nekStatus();
    },
  };
  await using store = await emptyStore(handlers);
  const run = () => store.run('keys', 'import', 'pem', 'example.com', 's1', 's1.pem');
  assert.equal((await store.run('keys', 'import', 'pem', 'example.com', 's1', 's1.pem', '--dry-run')).code, 0);
  assert.equal(begun, false);
  assert.equal((await run()).code, 0);
  assert.deepEqual(
    store.calls.map((c) => c.operation),
    ['key-show', 'key-show', 'nek-list', 'nek-use', 'key-import'],
  );

  begun = false;
  await writeFile(join(store.folder, 'nek.key'), NEK + generateNek('next'));
  const several = await run();
  assert.equal(several.code, 1);
  assert.match(several.stderr, /several are configured, edge \(.*\), next \(.*create credstore <name>/);
  begun = true;
  await writeFile(join(store.folder, 'nek.key'), generateNek('edge'));
  assert.match(
    (await run()).stderr,
    /the store wraps keys with NEK edge \(\w+\), and credentials\.nek has edge \(\w+\) on this machine/,
  );
  assert.equal(store.calls.filter((c) => c.operation === 'key-import').length, 1);
});

test('the same key again is fine, another one of its name is not, and nothing is sent', async () => {
  let there = keyStatus({ fingerprint: fingerprint(RSA) });
  await using store = await emptyStore({ 'key-show': () => there });
  const run = (...args: string[]) => store.run('keys', 'import', 'pem', 'example.com', 's1', 's1.pem', ...args);
  const same = await run();
  assert.equal(same.code, 0, same.stderr);
  assert.match(same.stdout, /in the store already, the same key \(active\)$/m);
  there = keyStatus({ state: 'retired' });
  const other = await run('--json');
  assert.equal(other.code, 1);
  const { keys } = JSON.parse(other.stdout) as { keys: { code: string; reason: string }[] };
  assert.equal(keys[0]?.code, 'exists');
  assert.match(keys[0]?.reason ?? '', /another key of this name \(retired, A0:A1/);
  assert.ok(store.calls.every((c) => c.operation === 'key-show'));
});

test('of a table each key comes alone: what fails holds up no other', async () => {
  await using store = await emptyStore({
    'key-import': ({ domain, selector }) => {
      if (domain === 'c.example') throw new SealpostError('nek-mismatch', 'the NEK was replaced: try again');
      return keyStatus({ domain, selector });
    },
  });
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
  await writeFile(join(store.folder, 'weak.pem'), pem(weak));
  const lines = [
    'a a.example:s1:./s1.pem',
    'b b.example:bad+name:./s1.pem',
    'c c.example:s1:./s1.pem',
    'd d.example:s1:./none',
    'e e.example:s1:./weak.pem',
  ];
  await writeFile(join(store.folder, 'KeyTable'), lines.join('\n'));
  const run = (...args: string[]) => store.run('keys', 'import', 'opendkim', '--key-table', 'KeyTable', ...args);
  const { code, stdout, stderr } = await run();
  assert.equal(code, 1, stderr);
  for (const words of [
    /^s1 of a\.example +KeyTable:1 +rsa-2048 +imported$/m,
    /^bad\+name of b\.example +KeyTable:2 +- +failed: "bad\+name" is not a selector/m,
    /^s1 of c\.example +KeyTable:3 +- +failed: the NEK was replaced: try again/m,
    /^s1 of d\.example +KeyTable:4 +- +failed: file .*none does not exist$/m,
    /^s1 of e\.example +KeyTable:5 +- +failed: .*--allow-weak$/m,
  ]) {
    assert.match(stdout, words);
  }
  const calls = store.calls.length;
  const dry = await run('--dry-run', '--allow-weak');
  assert.match(dry.stdout, /^s1 of e\.example +KeyTable:5 +rsa-1024 +would be imported$/m);
  assert.ok(store.calls.slice(calls).every((c) => c.operation === 'key-show'));
});

test('without a node: nothing is imported, a dry run and notes.ini say what they can', async () => {
  await using folder = await tempDir('import');
  const run = (...args: string[]) => sealpost(['keys', 'import', ...args], { cwd: folder.path });
  await writeFile(join(folder.path, 'sealpost.yaml'), 'listeners: []\ndomains: [{ name: a.example, local: true }]\n');
  await writeFile(join(folder.path, 's1.pem'), pem(RSA));
  assert.equal((await run('pem', 'example.com', 's1', 's1.pem')).code, 3);
  const dry = await run('pem', 'example.com', 's1', 's1.pem', '--dry-run');
  assert.equal(dry.code, 0);
  assert.match(dry.stdout, /would be imported, if the store has none of this name: no node answers/);
  await writeFile(join(folder.path, 'notes.ini'), 'DKIM_KEY_a.example=s1,s2\nRouterDKIMSigning=2\n');
  const notes = await run('notes.ini', 'notes.ini');
  assert.equal(notes.code, 0, notes.stderr);
  assert.match(
    notes.stdout,
    /^s1 of a\.example +no node answers +sealpost keys create a\.example s\d{8}, or sealpost keys import pem/m,
  );
  assert.match(notes.stdout, /^ {2}- \{ name: a\.example, signing: \{ mode: enforce \} \} # has an entry already/m);
  assert.equal((await run('rspamd')).code, 2);
  assert.equal((await run('opendkim')).code, 2);
});

test('notes.ini: every line, which keys are there, what to do', async () => {
  const all = [
    keyStatus({ domain: 'a.example', selector: 's1' }),
    keyStatus({ domain: 'b.example', selector: 'new' }),
    keyStatus({ domain: 'c.example', selector: 'c1', state: 'proven', activate: false }),
    keyStatus({ domain: 'd.example', selector: 'd1', state: 'revoked' }),
  ];
  await using store = await emptyStore({ 'key-list': () => ({ node: 'edge-1', keys: all }) });
  const ini = ['a.example=s1', 'b.example=old', 'c.example=c1', 'd.example=d1,d2', 'alias.example=a.example;s1', 'x=y'];
  await writeFile(
    join(store.folder, 'notes.ini'),
    [...ini.map((l) => `DKIM_KEY_${l}`), 'RouterDKIMSigning=2', 'Other=1'].join('\n'),
  );
  const { code, stdout, stderr } = await store.run('keys', 'import', 'notes.ini', 'notes.ini');
  assert.equal(code, 1, stderr);
  for (const words of [
    /^6 +DKIM_KEY_x=y +problem: not taken: "x" cannot have a key/m,
    /^1 other line says nothing of DKIM\.$/m,
    /^s1 of a\.example +active +signs mail$/m,
    /^old of b\.example +no +nothing: new of b\.example signs$/m,
    /^c1 of c\.example +proven +is ready; "sealpost keys activate/m,
    /^d1 of d\.example +revoked +sealpost keys create d\.example s\d{8}$/m,
    /^d2 of d\.example +no +the new key above, or sealpost keys import pem d\.example d2 <file>$/m,
    /^With enforce, mail waits until its keys sign/m,
    /^ {2}- \{ name: alias\.example, sign-as: a\.example, signing: \{ mode: enforce \} \}$/m,
  ]) {
    assert.match(stdout, words);
  }
  const json = JSON.parse((await store.run('keys', 'import', 'notes.ini', 'notes.ini', '--json')).stdout) as {
    keys: { state: string | null }[];
    domains: unknown[];
  };
  assert.deepEqual(
    json.keys.map((k) => k.state),
    ['active', null, 'proven', 'revoked', null],
  );
  assert.equal(json.domains.length, 5);
});

test(
  'keys of opendkim-genkey with their published records: imported, proven in DNS, signing',
  needs('opendkim-genkey', 'named'),
  async () => {
    await using folder = await tempDir('opendkim');
    const genkey = (domain: string, selector: string): string => {
      execFileSync(locate('opendkim-genkey') ?? '', ['-b', '2048', '-d', domain, '-s', selector, '-D', folder.path]);
      return join(folder.path, `${selector}.private`);
    };
    const file = genkey('example.com', 'mail');
    genkey('example.com', 'idle');
    await using dns = await NameServer.start({ 'example.com': await readFile(join(folder.path, 'mail.txt'), 'utf8') });
    await using node = await SealpostNode.create({
      config: `domains: [{ name: example.com }]\ndns: { zones: [{ name: example.com, servers: ["${dns.server}"] }] }`,
    });
    await writeFile(
      join(folder.path, 'KeyTable'),
      `mail._domainkey.example.com example.com:mail:${file}\nidle._domainkey.example.com example.com:idle:./idle.private\n`,
    );
    await writeFile(
      join(folder.path, 'SigningTable'),
      '*@example.com mail._domainkey.example.com\n*@alias.example mail._domainkey.example.com\n',
    );
    await node.start();
    const tables = [
      '--key-table',
      `file:${join(folder.path, 'KeyTable')}`,
      '--signing-table',
      `refile:${join(folder.path, 'SigningTable')}`,
    ];
    const run = (...args: string[]) => node.sealpost('keys', 'import', 'opendkim', ...tables, ...args);
    assert.match(await run('--dry-run'), /^mail of example\.com +KeyTable:1 +rsa-2048 +would be imported$/m);
    const done = await run();
    assert.match(done, /^mail of example\.com +KeyTable:1 +rsa-2048 +imported$/m);
    assert.match(done, /^ {2}- \{ name: alias\.example, sign-as: example\.com \}$/m);

    const key = async (selector: string): Promise<KeyStatus> =>
      JSON.parse(await node.sealpost('keys', 'show', 'example.com', selector, '--json')) as KeyStatus;
    await waitFor(async () => (await key('mail')).state === 'active', { timeout: 30_000, what: 'mail to sign' });
    assert.equal((await key('mail')).fingerprint, fingerprint(createPrivateKey(await readFile(file, 'utf8'))));
    assert.equal((await key('idle')).activate, false);
    assert.match(await run(), /in the store already, the same key \(active\)/);
  },
);
