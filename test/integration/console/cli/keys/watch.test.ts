import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onTerminal, SEALPOST } from '#test/kit/command.ts';
import { fakeStore, rotationStatus } from '#test/kit/dkim/fake-credential-store.ts';
import { Program } from '#test/kit/program.ts';

/** `sealpost keys watch` and `rotate --watch` against a credential-store that answers as each test says. */

const at = 1_767_225_600_000;
const STEPS = [
  rotationStatus(),
  rotationStatus({
    to: [{ selector: 's2', algorithm: 'rsa-2048', state: 'published' }],
    waiting: 'its record is missing at ns2.example.com',
    events: [
      { at, node: 'edge-1', text: 'began' },
      { at: at + 1000, node: 'edge-1', text: 's2 is published' },
    ],
  }),
];

/** A store whose rotation comes to its end in three looks, each time it is watched. */
async function rotating(end: 'done' | 'stopped' | 'rolled-back') {
  const steps = [...STEPS, { ...(STEPS[1] ?? assert.fail()), state: end }];
  let i = 0;
  const next = () => steps[i++ % steps.length] ?? assert.fail();
  return fakeStore({ 'rotation-start': next, 'rotation-show': next, 'key-list': () => ({ node: 'edge-1', keys: [] }) });
}

for (const [end, code, words] of [
  ['done', 0, /^rotation of example\.com \(s1 → s2\): done$/],
  [
    'stopped',
    1,
    /held up, and tried every 10 minutes, or by "sealpost keys resume example\.com"; its record is missing at ns2/,
  ],
  ['rolled-back', 1, /rolled back$/],
] as const) {
  test(`a rotation is watched step by step until it is ${end}`, async () => {
    await using store = await rotating(end);
    const text = await store.run('keys', 'rotate', 'example.com', '--watch');
    assert.equal(text.code, code, text.stderr);
    const lines = text.stdout.trimEnd().split('\n');
    assert.equal(lines[0], 'rotation of example.com began: s1 → s2');
    assert.match(lines[2] ?? '', / {2}edge-1 {2}began$/);
    assert.equal(lines[3], 's2 is replicated; its record is missing at ns1.example.com');
    assert.match(lines[4] ?? '', / {2}edge-1 {2}s2 is published$/);
    assert.equal(lines[5], 's2 is published; its record is missing at ns2.example.com');
    assert.match(lines[6] ?? '', words);
    assert.equal(lines.length, 7);
  });
}

test('it is enough that every node has switched: while old and new sign side by side, nobody has to watch', async () => {
  const sideBySideUntil = at + 172_800_000;
  await using store = await fakeStore({ 'rotation-show': () => rotationStatus({ sideBySideUntil }) });
  const { code, stdout } = await store.run('keys', 'watch', 'example.com');
  assert.equal(code, 0);
  assert.match(stdout, /every node has switched; both sign until 2026-01-0/);
});

test('a rotation is watched as JSON, one object a line', async () => {
  await using store = await rotating('stopped');
  for (const command of ['watch', 'rotate']) {
    const json = await store.run(
      'keys',
      command,
      'example.com',
      ...(command === 'rotate' ? ['--watch'] : []),
      '--json',
    );
    assert.equal(json.code, 1);
    const lines = json.stdout.trimEnd().split('\n');
    const states = lines.map((line) => (JSON.parse(line) as { rotation: { state: string } }).rotation.state);
    assert.deepEqual(states, ['running', 'running', 'stopped']);
  }
});

test('on a terminal the last line tells what is waited for', async () => {
  await using store = await rotating('done');
  const { code, output } = await onTerminal(store.folder, 'keys watch example.com'.split(' '));
  assert.equal(code, 0);
  assert.match(output, /edge-1 {2}s2 is published\r?\n/);
  assert.match(output, /\x1b\[Ks2 is published; its record is missing at ns2\.example\.com \(\d+s\)/);
  assert.match(output, /\x1b\[Krotation of example\.com \(s1 → s2\): done\r?\n$/);
});

test('a node that goes away while a rotation is watched is waited for', async () => {
  let state: 'running' | 'done' = 'running';
  await using store = await fakeStore({ 'rotation-show': () => rotationStatus({ state }) });
  await using program = watching(store.folder);
  await program.waitForOutput(/s2 is replicated; its record is missing/);
  await store.close();
  await program.waitForOutput(/no news: no node answers at .*; asking again/);
  state = 'done';
  await store.open();
  assert.equal(await program.ended(), 0);
  assert.match(program.output, /done\n$/);
});

test('Control-C ends the watching, not the rotation', async () => {
  await using store = await fakeStore({ 'rotation-show': () => rotationStatus() });
  await using program = watching(store.folder);
  await program.waitForOutput(/s2 is replicated; its record is missing/);
  program.signal('SIGINT');
  assert.equal(await program.ended(), 130);
  assert.match(program.output, /The rotation continues\. To watch it: sealpost keys watch example\.com/);
  assert.ok(store.calls.every((c) => c.operation === 'rotation-show'));
});

test('Control-C ends the watching also while nobody answers', async () => {
  await using store = await fakeStore({ 'rotation-show': () => rotationStatus() });
  await using program = watching(store.folder);
  await program.waitForOutput(/s2 is replicated; its record is missing/);
  await store.close();
  await program.waitForOutput(/asking again/);
  program.signal('SIGINT');
  assert.equal(await program.ended(), 130);
});

test('a rotation that another one followed is not taken for it', async () => {
  let rotation = rotationStatus();
  await using store = await fakeStore({ 'rotation-show': () => rotation });
  await using program = watching(store.folder);
  await program.waitForOutput(/s2 is replicated; its record is missing/);
  rotation = rotationStatus({ id: 'r0', started: rotation.started - 1, state: 'done' });
  await program.waitForOutput(/no news: a node answers that has yet to hear of this rotation/);
  rotation = rotationStatus({ id: 'r2', started: rotation.started + 5, state: 'done' });
  assert.equal(await program.ended(), 1);
  assert.match(program.output, /another one has begun/);
});

function watching(cwd: string): Program {
  return new Program(process.execPath, [SEALPOST, 'keys', 'watch', 'example.com'], { cwd });
}
