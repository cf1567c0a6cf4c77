import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateNek, parseNeks } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import { sealpost } from '#test/kit/command.ts';
import { fakeStore, keyStatus } from '#test/kit/dkim/fake-credential-store.ts';
import { locate, needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

/** `sealpost keymgmt`: Domino's words. */

async function fresh(credentials = 'credentials: { nek: ./secrets/nek.key }') {
  const folder = await tempDir('keymgmt');
  await writeFile(join(folder.path, 'sealpost.yaml'), `listeners: []\n${credentials}\n`);
  const file = join(folder.path, 'secrets/nek.key');
  return {
    file,
    run: (...args: string[]) => sealpost(['keymgmt', ...args], { cwd: folder.path }),
    neks: async () => parseNeks(await readFile(file, 'utf8')),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test('create nek makes the file before any node runs, and adds to it; nothing in it is ever lost', async () => {
  await using site = await fresh();
  const first = await site.run('create', 'nek', 'credstorekey');
  assert.equal(first.code, 0, first.stderr);
  const [nek] = await site.neks();
  assert.match(first.stdout, new RegExp(`^NEK > NEK credstorekey - Fingerprint ${nek?.fingerprint}\\n`));
  assert.match(first.stdout, /NEK credstorekey created successfully/);
  assert.equal((await stat(site.file)).mode & 0o777, 0o600);
  assert.equal((await stat(join(site.file, '..'))).mode & 0o777, 0o700);
  const before = await readFile(site.file, 'utf8');

  const same = await site.run('Create', 'NEK', 'credstorekey');
  assert.equal(same.code, 1);
  assert.match(same.stderr, /there is a NEK credstorekey in .* already/);
  const over = await site.run('create', 'nek', 'credstorekey', 'OVERWRITE');
  assert.equal(over.code, 1);
  assert.match(over.stderr, /NEK credstorekey exists and is not overwritten.*"sealpost keymgmt rotate nek <name>"/);
  assert.equal((await site.run('create', 'nek', 'a b')).code, 2);
  assert.equal(await readFile(site.file, 'utf8'), before);

  // A file that somebody edited: no line break at its end, a mode of its own.
  await writeFile(site.file, before.trimEnd());
  await chmod(site.file, 0o640);
  const second = await site.run('CREATE', 'Nek', 'next', '--json');
  const made = JSON.parse(second.stdout) as { name: string; fingerprint: string };
  assert.deepEqual(Object.keys(made), ['name', 'fingerprint', 'file']);
  assert.deepEqual(
    (await site.neks()).map((n) => [n.name, n.fingerprint]),
    [
      ['credstorekey', nek?.fingerprint],
      ['next', made.fingerprint],
    ],
  );
  assert.equal((await stat(site.file)).mode & 0o777, 0o640);
  const base64 = /:([^:\n]+)\n$/.exec(await readFile(site.file, 'utf8'))?.[1] ?? assert.fail('no NEK');
  for (const { stdout, stderr } of [first, second]) assert.ok(!`${stdout}${stderr}`.includes(base64));
});

test('commands at the same time lose no NEK: each adds its own or says that it did not', async () => {
  await using site = await fresh();
  const names = ['a', 'b', 'c', 'd'];
  const results = await Promise.all(names.map((name) => site.run('create', 'nek', name)));
  const made = names.filter((_, i) => results[i]?.code === 0);
  assert.deepEqual((await site.neks()).map((n) => n.name).sort(), made);
  for (const { code, stderr } of results) if (code !== 0) assert.match(stderr, /the same command runs, or was/);
  assert.deepEqual(await readdir(join(site.file, '..')), ['nek.key']);
});

test('create nek changes the file behind a link, and leaves one alone that holds something else', async () => {
  await using site = await fresh();
  await mkdir(join(site.file, '..'));
  const real = join(site.file, '../real.key');
  await writeFile(real, generateNek('old'), { mode: 0o600 });
  await symlink('real.key', site.file);
  assert.equal((await site.run('create', 'nek', 'new')).code, 0);
  assert.deepEqual(
    parseNeks(await readFile(real, 'utf8')).map((n) => n.name),
    ['old', 'new'],
  );
  await writeFile(real, 'a certificate, perhaps\n');
  const refused = await site.run('create', 'nek', 'third');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /nek\.key was not changed|real\.key was not changed/);
  assert.equal(await readFile(real, 'utf8'), 'a certificate, perhaps\n');
});

test('a NEK that root adds stays readable for who runs the node', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, async () => {
  await using site = await fresh();
  const secrets = join(site.file, '..');
  execFileSync('chown', ['1234:1235', join(secrets, '..')]);
  const owner = async (): Promise<number[]> => {
    const { uid, gid } = await stat(site.file);
    return [uid, gid];
  };
  assert.equal((await site.run('create', 'nek', 'one')).code, 0);
  assert.deepEqual(await owner(), [1234, 1235]);
  assert.equal((await stat(secrets)).uid, 1234);
  execFileSync('chown', ['4321:1235', site.file]);
  assert.equal((await site.run('create', 'nek', 'two')).code, 0);
  assert.deepEqual(await owner(), [4321, 1235]);
});

for (const [credentials, words] of [
  ['credentials: { nek: { env: SEALPOST_NEK } }', /environment variable SEALPOST_NEK.*"sealpost keys nek edge" prints/],
  ['', /names no file for NEKs: add credentials: \{ nek:/],
] as const) {
  test(`create nek says what to do with ${credentials || 'no credentials'}`, async () => {
    await using site = await fresh(credentials);
    const { code, stderr } = await site.run('create', 'nek', 'edge');
    assert.equal(code, 1);
    assert.match(stderr, words);
  });
}

const NEK = { name: 'edge', fingerprint: '0123456789abcdef', since: 1, current: true, keys: 2 };
const HAVING = { ...NEK, having: ['edge-1'], lacking: [] };

for (const [args, call, words] of [
  [
    'create credstore edge',
    ['nek-use', { name: 'edge' }],
    /^NEK Fingerprint : 0123456789abcdef\nCredential Store created successfully\./,
  ],
  [
    'create DKIM example.com s1 RSA',
    ['key-create', { domain: 'example.com', selector: 's1', algorithm: 'rsa-2048', allowWeak: false }],
    /^Created DKIM key s1\._domainkey\.example\.com\n\nPublish this record/,
  ],
  [
    'create dkim example.com s1 rsa 4096',
    ['key-create', { domain: 'example.com', selector: 's1', algorithm: 'rsa-4096', allowWeak: false }],
    /^Created DKIM key s1\._domainkey\.example\.com/,
  ],
  [
    'create Dkim example.com s1 Rsa 1024',
    ['key-create', { domain: 'example.com', selector: 's1', algorithm: 'rsa-1024', allowWeak: true }],
    /^Created DKIM key/,
  ],
  [
    'create DKIM example.com s1 ED25519',
    ['key-create', { domain: 'example.com', selector: 's1', algorithm: 'ed25519', allowWeak: false }],
    /^Created DKIM key/,
  ],
  [
    'show dkim ALL',
    ['key-list', {}],
    /^DKIM : Selector: s1, Domain: example\.com, Fingerprint A0:A1:.*, State: active, Nodes: 1\/1, DNS: ok\nShow All DKIM Keys succeeded\.$/m,
  ],
  [
    'show DKIM example.com',
    ['key-list', { domain: 'example.com' }],
    /^DKIM : .*\nShow DKIM Keys of example\.com succeeded\.$/m,
  ],
  [
    'show dkim example.com s1',
    ['key-show', { domain: 'example.com', selector: 's1' }],
    /^DKIM : Selector: s1, Domain: example\.com, .*\nShow DKIM Key s1\._domainkey\.example\.com succeeded\.$/m,
  ],
  [
    'show nek edge',
    ['nek-list', {}],
    /^NEK : Name: edge, Fingerprint 0123456789abcdef, current.*\nShow NEK edge succeeded\.$/m,
  ],
  [
    'show nek all',
    ['nek-list', {}],
    /^NEK : Name: edge, Fingerprint 0123456789abcdef, current, Keys: 2, Nodes: edge-1\nNEK : .*Missing on: edge-2\nShow All NEKs succeeded\.$/m,
  ],
  ['rotate nek edge', ['nek-rotate', { name: 'edge' }], /2 keys were wrapped again; NEK edge wraps all keys/],
  ['delete nek old', ['nek-delete', { name: 'old' }], /^Deleted NEK old/],
  [
    'delete DKIM example.com s1 --yes',
    ['key-delete', { domain: 'example.com', selector: 's1' }],
    /^Deleted DKIM key s1\._domainkey\.example\.com/,
  ],
] as const) {
  test(`keymgmt ${args}`, async () => {
    await using store = await fakeStore({
      'nek-use': () => HAVING,
      'key-create': () => keyStatus({ state: 'created' }),
      'key-show': () => keyStatus(),
      'key-list': () => ({ node: 'edge-1', keys: [keyStatus()] }),
      'nek-list': () => ({ neks: [HAVING, { ...HAVING, lacking: ['edge-2'] }] }),
      'nek-rotate': () => ({ nek: HAVING, rewrapped: 2 }),
      'nek-delete': () => ({}),
      'key-delete': () => ({}),
    });
    const { code, stdout, stderr } = await store.run('keymgmt', ...args.split(' '));
    assert.equal(code, 0, stderr);
    assert.match(stdout, words);
    assert.equal(stderr.includes('1024 bits'), args.includes('1024'), stderr);
    assert.deepEqual([store.calls[0]?.operation, store.calls[0]?.request], call);
    JSON.parse((await store.run('keymgmt', ...args.split(' '), '--json')).stdout);
  });
}

test('export DKIM DNS writes a file that BIND takes in as it is', needs('named'), async () => {
  let own = {};
  await using store = await fakeStore({ 'key-show': () => keyStatus({ ...own }) });
  const zone = join(store.folder, 'zone');
  const check = (): string => {
    const program = locate('named-checkzone') ?? 'named-checkzone';
    return execFileSync(program, ['-D', 'example.com', zone], { cwd: store.folder, encoding: 'utf8' });
  };
  const head = '$TTL 1h\n@ IN SOA ns. root. 1 1h 1h 1h 1h\n@ IN NS ns.example.net.\n';
  const run = (file: string, ...args: string[]) =>
    store.run('keymgmt', 'export', 'DKIM', 'dns', 'example.com', 's1', file, ...args);

  const done = await run('dkimdns.txt');
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /^Exported the DNS TXT record of s1\._domainkey\.example\.com to dkimdns\.txt$/m);
  await writeFile(zone, `${head}$INCLUDE dkimdns.txt\n`);
  const value = `v=DKIM1; k=rsa; p=${keyStatus().publicKey}`;
  const line =
    check()
      .split('\n')
      .find((l) => l.startsWith('s1._domainkey.example.com.')) ?? '';
  assert.equal([...line.matchAll(/"([^"]*)"/g)].map(([, s]) => s).join(''), value);

  assert.match((await run('dkimdns.txt')).stderr, /dkimdns\.txt is there already/);
  assert.equal((await run('value.txt', '--value')).code, 0);
  assert.equal(await readFile(join(store.folder, 'value.txt'), 'utf8'), `${value}\n`);

  own = { publish: 'cname', record: 's1.example.com.keys.example.net' };
  assert.equal((await run('cname.txt')).code, 0);
  await writeFile(zone, `${head}$INCLUDE cname.txt\n`);
  assert.match(check(), /^s1\._domainkey\.example\.com\.\s.*CNAME\s+s1\.example\.com\.keys\.example\.net\.$/m);
});

for (const [words, near] of [
  [['create'], /keymgmt create NEK <name>[\s\S]*create DKIM <domain>/],
  [['create', 'dkim', 'example.com', 's1', 'rsa', '512'], /create DKIM <domain> <selector> RSA \[1024/],
  [['show', 'nek'], /keymgmt show NEK ALL/],
  [['destroy'], /keymgmt create NEK[\s\S]*delete DKIM/],
] as const) {
  test(`"keymgmt ${words.join(' ')}" is answered with what may be meant`, async () => {
    const { code, stderr } = await sealpost(['keymgmt', ...words], { cwd: '/' });
    assert.equal(code, 2);
    assert.match(stderr, near);
    assert.doesNotMatch(stderr, /\n +at /);
  });
}

test('create nek with overwrite makes a NEK where there is none', async () => {
  await using site = await fresh();
  const made = await site.run('create', 'nek', 'credstorekey', 'overwrite');
  assert.equal(made.code, 0, made.stderr);
  assert.deepEqual(
    (await site.neks()).map((n) => n.name),
    ['credstorekey'],
  );
});

test('show nek names those that there are where it does not know one', async () => {
  await using store = await fakeStore({ 'nek-list': () => ({ neks: [HAVING] }) });
  const { code, stderr } = await store.run('keymgmt', 'show', 'nek', 'other');
  assert.equal(code, 1);
  assert.match(stderr, /knows no NEK other: it has edge/);
});

test('set config says what takes the place of a mapping, and refuses what it does not know', async () => {
  await using store = await fakeStore({ 'key-list': () => ({ node: 'edge-1', keys: [keyStatus()] }) });
  const mapped = await store.run('set', 'config', 'DKIM_KEY_example.com=s1');
  assert.equal(mapped.code, 0, mapped.stderr);
  assert.match(mapped.stdout, /DKIM_KEY_example\.com=s1 +key s1 of example\.com/);
  assert.match(mapped.stdout, /^s1 of example\.com +active +signs mail$/m);
  const mode = await store.run('set', 'config', 'RouterDKIMSigning=2');
  assert.match(mode.stdout, /signing: \{ mode: enforce \}/);
  const other = await store.run('set', 'config', 'SMTPGreeting=hi');
  assert.equal(other.code, 2);
  assert.match(other.stderr, /DKIM_KEY_<domain>=… and RouterDKIMSigning=… are\. All else is set in sealpost\.yaml/);
});

test('delete DKIM asks like keys delete; what the store refuses is said', async () => {
  await using store = await fakeStore({
    'nek-rotate': () => {
      throw new SealpostError('nek-missing-on-node', 'edge-2 does not have NEK edge: add it to credentials.nek there');
    },
  });
  assert.equal((await store.run('keymgmt', 'delete', 'DKIM', 'example.com', 's1')).code, 2);
  assert.deepEqual(store.calls, []);
  const refused = await store.run('keymgmt', 'rotate', 'nek', 'edge');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /edge-2 does not have NEK edge/);
});
