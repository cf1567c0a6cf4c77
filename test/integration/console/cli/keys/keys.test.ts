import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SealpostError } from '#shared/errors.ts';
import { type KeyStatus, KeyStatus as KeyStatusSchema } from '#shared/keys/key-status.ts';
import { onTerminal, sealpost } from '#test/kit/command.ts';
import { fakeStore, keyStatus, rotationStatus } from '#test/kit/dkim/fake-credential-store.ts';

/** `sealpost keys` against a credential-store that answers as each test says. */

const KEY = keyStatus();
const never = (): never => {
  throw new SealpostError('not-found', 'the keys of example.com were never rotated');
};

test('list shows where each key stands, and below it all that needs a look', async () => {
  const since = Date.now() - 120_000;
  const second = keyStatus({
    selector: 's2',
    state: 'published',
    nodes: { holding: ['edge-1', 'edge-2'], live: 3 },
    dns: {
      node: 'edge-1',
      verdict: 'missing',
      summary: 'missing at ns2.example.com (192.0.2.2)',
      servers: [],
      at: since,
    },
    problem: { text: 'the zone refused the update', since, permanent: true },
  });
  const other = keyStatus({ domain: 'example.net', publish: 'none', algorithm: 'ed25519' });
  await using store = await fakeStore({
    'key-list': ({ after }) =>
      after === undefined
        ? { node: 'edge-1', keys: [KEY, second], next: 'example.com!s2' }
        : { node: 'edge-1', behind: 'NATS is away', keys: [other] },
    'rotation-show': () => rotationStatus({ state: 'frozen', waiting: 'frozen by edge-1: a holiday' }),
    'schedule-list': () => ({
      schedules: [
        { domain: 'example.com', days: 90, at: '03:00', zone: 'Europe/Berlin', parallel: false, next: since },
        { domain: 'example.org', days: 1, at: '03:00', zone: 'UTC', parallel: false, next: since },
      ],
    }),
    'status-show': () => ({
      node: 'edge-1',
      state: 'away',
      revision: 7,
      keys: 3,
      holders: ['edge-1', 'edge-2', 'edge-3'].map((node) => ({
        node,
        kind: 'credential-store' as const,
        instance: node,
        revision: 7,
        heard: 100,
        clock: 0,
        neks: [],
      })),
    }),
  });
  const { code, stdout, stderr } = await store.run('keys', 'list');
  assert.equal(code, 0, stderr);
  const lines = stdout.split('\n');
  assert.match(lines[0] ?? '', /^DOMAIN +SELECTOR +STATE +AGE +ALGORITHM +FINGERPRINT +NODES +DNS$/);
  assert.match(
    lines[1] ?? '',
    /^example\.com +s1 +active \(frozen\) +3d( 1?\ds)? +rsa-2048 +A0:A1:A2:A3:A4:A5:A6:A7 +1\/1 +ok$/,
  );
  assert.match(
    lines[2] ?? '',
    /^example\.com +s2 +published \(frozen\) .* 2\/3, not edge-3 +missing at ns2\.example\.com \(192\.0\.2\.2\)$/,
  );
  assert.match(lines[3] ?? '', /^example\.net +s1 +active .* ed25519 .* -$/);
  assert.equal(lines[4], '');
  assert.match(
    lines[5] ?? '',
    /^s2 of example\.com: the zone refused the update \(for 2m[^;]*; tried every 10 minutes, or by "sealpost keys resume example\.com"\)$/,
  );
  assert.match(
    lines[6] ?? '',
    /^rotation of example\.com \(s1 → s2\): frozen: .*resume example\.com.*; frozen by edge-1: a holiday$/,
  );
  assert.match(lines[7] ?? '', /^schedule of example\.com: every 90 days at 03:00 Europe\/Berlin, next /);
  assert.match(lines[8] ?? '', /^schedule of example\.org: every day at/);
  assert.match(lines[9] ?? '', /^warning: edge-1 may not know the newest: NATS is away$/);
  assert.equal(lines.length, 11);
  // A single key has no rotation that runs: nobody is asked about it.
  assert.deepEqual(
    store.calls.filter((c) => c.operation === 'rotation-show').map((c) => c.request),
    [{ domain: 'example.com' }],
  );
  const wide = await store.run('keys', 'list', '--wide');
  assert.match(wide.stdout, /A0:A1.*:BE:BF /);
  const json = JSON.parse((await store.run('keys', 'list', '--json')).stdout) as Record<string, unknown[]>;
  assert.deepEqual(
    [json['keys']?.length, json['rotations']?.length, json['schedules']?.length, json['behind']],
    [3, 1, 2, 'NATS is away'],
  );
  for (const key of json['keys'] ?? []) KeyStatusSchema.parse(key);
});

test('show tells everything about a key', async () => {
  const servers = [
    { server: 'ns1.example.com (192.0.2.1)', verdict: 'ok', detail: '' },
    { server: 'ns2.example.com (192.0.2.2)', verdict: 'missing', detail: 'NXDOMAIN' },
  ];
  const key = keyStatus({
    state: 'published',
    dns: {
      node: 'edge-1',
      verdict: 'missing',
      summary: 'missing at ns2.example.com (192.0.2.2)',
      servers,
      at: Date.now(),
    },
  });
  await using store = await fakeStore({
    'key-show': () => key,
    'status-show': () => ({ node: 'edge-1', state: 'local', revision: 1, keys: 1, holders: [] }),
  });
  const { stdout, stderr } = await store.run('keys', 'show', 'example.com', 's1');
  for (const words of [
    /^state +published for 1m/m,
    /^next +waits until every name server returns its record/m,
    /^wrapped by +NEK edge$/m,
    /^published by +you$/m,
    /^DNS +missing at ns2\.example\.com \(192\.0\.2\.2\), as edge-1 saw it /m,
    /^s1\._domainkey\.example\.com\. 3600 IN TXT/m,
    /^ns2\.example\.com \(192\.0\.2\.2\) +missing +NXDOMAIN$/m,
  ]) {
    assert.match(stdout, words, stderr);
  }
});

test('a key is not said to be gone while its record may stand in DNS', async () => {
  await using store = await fakeStore({ 'key-delete': () => ({}) });
  const { code, stdout } = await store.run('keys', 'delete', 'example.com', 's1', '--yes');
  assert.equal(code, 0);
  assert.equal(stdout, 'key s1 of example.com is deleted as soon as its record is gone from DNS\n');
});

for (const [command, operation, more] of [
  ['revoke', 'key-revoke', { force: false }],
  ['delete', 'key-delete', {}],
] as const) {
  test(`${command} asks, and does nothing where nobody says yes`, async () => {
    await using store = await fakeStore({
      'key-revoke': () => keyStatus({ state: 'revoked' }),
      'key-delete': () => ({}),
    });
    const alone = await store.run('keys', command, 'example.com', 's1');
    assert.equal(alone.code, 2);
    assert.match(alone.stderr, /There is no terminal to ask on: use --yes/);
    const no = await onTerminal(store.folder, `keys ${command} example.com s1`.split(' '), 'n\n');
    assert.match(no.output, /Go on\? \[y\/N\][\s\S]*nothing was changed/);
    assert.equal(no.code, 1);
    assert.deepEqual(store.calls, []);
    const request = { domain: 'example.com', selector: 's1', ...more };
    assert.equal((await onTerminal(store.folder, `keys ${command} example.com s1`.split(' '), 'y\n')).code, 0);
    assert.equal((await store.run('keys', command, 'example.com', 's1', '--yes')).code, 0);
    assert.deepEqual(store.calls, [
      { operation, request },
      { operation, request },
    ]);
  });
}

for (const [args, operation, request, words] of [
  [
    'activate example.com s1',
    'key-activate',
    { domain: 'example.com', selector: 's1' },
    /^key s1 of example\.com, active: signs mail/,
  ],
  ['retire example.com s1 --force', 'key-retire', { domain: 'example.com', selector: 's1', force: true }, /^key s1/],
  [
    'freeze example.com --reason holiday',
    'rotation-freeze',
    { domain: 'example.com', reason: 'holiday' },
    /^rotation of example\.com/,
  ],
  ['rollback example.com', 'rotation-rollback', { domain: 'example.com' }, /^rotation of example\.com/],
  ['resume example.com', 'rotation-resume', { domain: 'example.com' }, /^the keys of example\.com are resumed/],
  [
    'schedule example.com --every 90d --at 04:30 --zone Europe/Berlin --parallel',
    'schedule-set',
    { domain: 'example.com', days: 90, at: '04:30', zone: 'Europe/Berlin', parallel: true },
    /^schedule of example\.com: every 90 days/,
  ],
  [
    'schedule example.com --off',
    'schedule-set',
    { domain: 'example.com', at: '03:00', parallel: false },
    /^schedule of/,
  ],
  ['schedule', 'schedule-list', {}, /^no schedule$/m],
  [
    'rotate example.com --selector a b --from s1 s2 --side-by-side 2d',
    'rotation-start',
    { domain: 'example.com', to: ['a', 'b'], from: ['s1', 's2'], sideBySide: 172_800_000 },
    /began: s1 → s2\n\nPublish this[\s\S]*s2\._domainkey[\s\S]*sealpost keys watch example\.com/,
  ],
] as const) {
  test(`keys ${args}`, async () => {
    await using store = await fakeStore({
      'key-activate': () => KEY,
      'key-retire': () => KEY,
      'rotation-freeze': () => rotationStatus(),
      'rotation-rollback': () => rotationStatus(),
      'rotation-resume': () => ({}),
      'schedule-set': ({ domain, at, days = 1, parallel, zone = 'UTC' }) => ({
        schedule: { domain, at, days, parallel, zone, next: Date.now() },
      }),
      'schedule-list': () => ({ schedules: [] }),
      'rotation-start': () => rotationStatus(),
      'key-list': () => ({ node: 'edge-1', keys: [KEY, keyStatus({ selector: 's2', state: 'created' })] }),
    });
    const { code, stdout, stderr } = await store.run('keys', ...args.split(' '));
    assert.equal(code, 0, stderr);
    assert.match(stdout, words);
    assert.deepEqual(store.calls[0], { operation, request });
    JSON.parse((await store.run('keys', ...args.split(' '), '--json')).stdout);
  });
}

test('verify shows what every node sees, and fails when a key that should be right is not', async () => {
  const view = (node: string, verdict: 'ok' | 'missing') => ({
    node,
    verdict,
    summary: verdict,
    servers: [{ server: '192.0.2.1', verdict, detail: verdict === 'ok' ? '' : 'NXDOMAIN' }],
    at: 1,
  });
  let state: KeyStatus['state'] = 'active';
  let unproven = [{ node: 'edge-2', reason: 'it does not hold the key' }];
  let second: 'ok' | 'missing' = 'missing';
  await using store = await fakeStore({
    'key-list': () => ({ node: 'edge-1', keys: [keyStatus({ state })] }),
    'key-show': () => keyStatus({ state }),
    'key-verify': () => ({
      key: keyStatus({ state }),
      views: [view('edge-1', 'ok'), view('edge-2', second)],
      unproven,
    }),
  });
  const bad = await store.run('keys', 'verify');
  assert.equal(bad.code, 1, bad.stderr);
  assert.match(bad.stdout, /^s1 of example\.com +active +edge-1 +192\.0\.2\.1 +ok$/m);
  assert.match(bad.stdout, /edge-2 +192\.0\.2\.1 +missing: NXDOMAIN$/m);
  assert.match(bad.stdout, /edge-2 +- +its signer cannot use the key: it does not hold the key$/m);
  state = 'replicated';
  assert.equal((await store.run('keys', 'verify', 'example.com')).code, 0);
  state = 'active';
  second = 'ok';
  assert.equal((await store.run('keys', 'verify', 'example.com', 's1')).code, 1);
  unproven = [];
  const good = await store.run('keys', 'verify', 'example.com', 's1', '--json');
  assert.equal(good.code, 0);
  assert.equal((JSON.parse(good.stdout) as { ok: boolean }).ok, true);
});

test('nothing verified is no success: a domain without keys may be a slip of the pen', async () => {
  await using store = await fakeStore({ 'key-list': () => ({ node: 'edge-1', keys: [] }) });
  const { code, stderr } = await store.run('keys', 'verify', 'exmaple.com');
  assert.equal(code, 1);
  assert.match(stderr, /there are no keys for exmaple\.com/);
  assert.equal((await store.run('keys', 'verify')).code, 0);
});

for (const args of [
  ['schedule', '--every', '90d'],
  ['schedule', 'example.com', '--at', '03:00'],
  ['schedule', 'example.com', '--off', '--parallel'],
  ['schedule', 'example.com', '--every', '36h'],
  ['schedule', 'example.com', '--every', '90d', '--at', '3:00'],
  ['rotate', 'example.com', '--side-by-side', 'long'],
  ['retire', 'example.com'],
]) {
  test(`keys ${args.join(' ')} is wrong usage`, async () => {
    const { code, stderr } = await sealpost(['keys', ...args], { cwd: '/' });
    assert.equal(code, 2, stderr);
    assert.doesNotMatch(stderr, /\n +at /);
  });
}

test('what the store refuses is said in its words, to programs with its code', async () => {
  const text = 'keys and the directory cannot be changed until a majority of the NATS servers is back; signing goes on';
  await using store = await fakeStore({
    'key-create': () => {
      throw new SealpostError('no-quorum', text);
    },
    'rotation-show': never,
  });
  const plain = await store.run('keys', 'create', 'example.com', 's1');
  assert.equal(plain.code, 1);
  assert.equal(plain.stderr, `sealpost: ${text}\n`);
  const json = await store.run('keys', 'create', 'example.com', 's1', '--json');
  assert.deepEqual(JSON.parse(json.stderr), { error: { code: 'no-quorum', message: text } });
  assert.match((await store.run('keys', 'watch', 'example.com')).stderr, /never rotated/);
});

test('status tells how the store follows the others, and who does not', async () => {
  const holder = { instance: 'i', revision: 7, heard: 100, clock: 0, neks: [] };
  await using store = await fakeStore({
    'status-show': () => ({
      node: 'edge-1',
      state: 'following',
      revision: 7,
      keys: 2,
      holders: [
        { ...holder, node: 'edge-1', kind: 'credential-store' },
        { ...holder, node: 'edge-2', kind: 'credential-store' },
        { ...holder, node: 'edge-2', kind: 'signer', behind: 'NATS is away' },
      ],
    }),
  });
  const { stdout } = await store.run('status');
  assert.match(
    stdout,
    /^credential-store +answers +2 keys, revision 7 on 2 nodes, signer of edge-2 is behind: NATS is away$/m,
  );
  assert.match(stdout, /^signer +silent +not running$/m);
});
