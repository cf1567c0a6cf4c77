import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { keys, putJson } from '#services/router/store/records.ts';
import { SharedTlsMemory } from '#services/router/tls-memory/memory.ts';
import { silentLogger } from '#shared/log.ts';
import type { TlsRecord } from '#shared/mail/tls-memory.ts';
import { parsePolicyFile } from '#shared/mta-sts/policy-file.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2036, 0, 1);

/** Memories over one disk, one after the other. */
async function disk() {
  await using undo = new AsyncDisposableStack();
  const folder = undo.use(await tempDir());
  const store = await Store.open(folder.path, silentLogger);
  undo.defer(() => store.close());
  const { log, lines } = logLines();
  const resources = undo.move();
  return {
    ...{ store, lines },
    open: (now = NOW) => SharedTlsMemory.open({ store, log, now: () => now }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

const file = parsePolicyFile('version: STSv1\nmode: enforce\nmx: mx.test\nmax_age: 604800');
assert.ok('mode' in file);

test('what was learned is known, and is known after a restart', async () => {
  await using site = await disk();
  const before = await site.open();
  before.noteDomain('d.test', { reached: 'verified', at: NOW });
  before.noteHost('mx.d.test', { reducedHello: NOW });
  const kept = { id: '1', file, fetched: NOW, used: NOW };
  before.policies.keep('d.test', kept);
  await before.stop();
  for (const memory of [before, await site.open(NOW + HOUR_MS)]) {
    assert.deepEqual(memory.domain('d.test'), { reached: 'verified', at: NOW });
    assert.deepEqual(memory.host('mx.d.test'), { reducedHello: NOW });
    assert.deepEqual(memory.policies.get('d.test'), kept);
    assert.equal(memory.host('d.test'), undefined);
    await memory.stop();
  }
});

test('the others are told of news, and of the same fact again after an hour', async () => {
  await using site = await disk();
  const memory = await site.open(NOW + 2 * HOUR_MS);
  const told: TlsRecord[] = [];
  memory.tellWith((records) => told.push(...records));
  const note = (reached: 'encrypted' | 'verified', at: number): void => {
    memory.noteDomain('d.test', { reached, at: NOW + at });
    memory.tellNow();
  };
  for (const at of [0, 1000, HOUR_MS - 1, HOUR_MS]) note('verified', at);
  assert.deepEqual(
    told.map(({ at }) => at - NOW),
    [0, HOUR_MS],
  );
  note('encrypted', HOUR_MS + 1);
  assert.deepEqual(told.at(-1), { kind: 'domain', name: 'd.test', at: NOW + HOUR_MS + 1, reached: 'encrypted' });
  memory.learn({ kind: 'domain', name: 'e.test', at: NOW, reached: 'verified' });
  memory.tellNow();
  assert.equal(told.length, 3, 'what others told is not told again');
  await memory.stop();
});

test('much news is told in messages that fit', async () => {
  await using site = await disk();
  const memory = await site.open();
  const sizes: number[] = [];
  memory.tellWith((records) => sizes.push(records.length));
  for (let n = 0; n < 1200; n++) memory.noteDomain(`d${n}.test`, { reached: 'encrypted', at: NOW });
  const large = { ...file, lines: [...file.lines, ...Array.from({ length: 60 }, () => `x: ${'y'.repeat(1000)}`)] };
  for (let n = 0; n < 9; n++) memory.policies.keep(`d${n}.test`, { id: '1', file: large, fetched: NOW, used: NOW });
  memory.tellNow();
  assert.deepEqual(sizes, [500, 500, 202, 3, 3, 1]);
  await memory.stop();
});

test('what is forgotten stays so, against what others have kept, until it is learned again', async () => {
  await using site = await disk();
  const memory = await site.open();
  const told: TlsRecord[] = [];
  memory.tellWith((records) => told.push(...records));
  memory.noteDomain('d.test', { reached: 'verified', at: NOW - 1 });
  memory.policies.keep('d.test', { id: '1', file, fetched: NOW - 1, used: NOW });
  const forgotten = await memory.forget('d.test');
  assert.deepEqual(
    forgotten.map(({ kind }) => kind),
    ['domain', 'policy'],
  );
  memory.learn({ kind: 'domain', name: 'd.test', at: NOW - 1, reached: 'verified' });
  assert.deepEqual([memory.domain('d.test'), memory.policies.get('d.test')], [undefined, undefined]);
  assert.deepEqual(await memory.forget('d.test'), []);
  await memory.stop();
  assert.ok(
    told.some((record) => record.kind === 'policy' && record.policy === undefined),
    'others forget it too',
  );
  const later = await site.open(NOW + 1);
  assert.equal(later.domain('d.test'), undefined);
  later.noteDomain('d.test', { reached: 'encrypted', at: NOW + 1 });
  assert.equal(later.domain('d.test')?.reached, 'encrypted');
  await later.stop();
});

test('a damaged record is told and left out, the others are there', async () => {
  await using site = await disk();
  const fine: TlsRecord = { kind: 'domain', name: 'c.test', at: NOW, reached: 'verified' };
  await site.store.write([
    { type: 'put', key: keys.tls('domain!a.test'), value: Buffer.from('rubbish') },
    putJson(keys.tls('domain!b.test'), { ...fine, reached: 'perhaps' }),
    putJson(keys.tls('domain!c.test'), fine),
    putJson(keys.tls('policy!d.test'), {
      kind: 'policy',
      name: 'd.test',
      at: NOW,
      policy: { id: '1', used: 0, lines: [] },
    }),
  ]);
  const memory = await site.open();
  assert.equal(memory.size, 1);
  assert.equal(memory.domain('c.test')?.reached, 'verified');
  assert.match(site.lines()[0]?.msg ?? '', /cannot be used: it is left out/);
  await memory.stop();
});

test('all is listed in pages, and a domain with what is below it', async () => {
  await using site = await disk();
  const memory = await site.open();
  for (let n = 0; n < 1100; n++) memory.noteDomain(`d${n}.test`, { reached: 'encrypted', at: NOW });
  memory.noteHost('mx.d7.test', { reducedHello: NOW });
  const pages: number[] = [];
  const names = new Set<string>();
  for (let after: string | undefined; ; ) {
    const { records, next } = await memory.page({ after });
    pages.push(records.length);
    for (const { name } of records) names.add(name);
    if (next === undefined) break;
    after = next;
  }
  assert.deepEqual([pages, names.size], [[500, 500, 101], 1101]);
  const { records, next } = await memory.page({ domain: 'd7.test' });
  assert.deepEqual([records.map(({ name }) => name), next], [['d7.test', 'mx.d7.test'], undefined]);
  assert.deepEqual((await memory.page({ after: 'rubbish' })).records, []);
  await memory.stop();
});

test('what is learned while the disk fails is written when it works again', async () => {
  await using site = await disk();
  const memory = await site.open();
  const { store } = site;
  const write = store.write.bind(store);
  store.write = () => Promise.reject(new Error('no space'));
  memory.noteDomain('d.test', { reached: 'verified', at: NOW });
  await waitFor(() => site.lines().some(({ msg }) => /is not on disk yet/.test(msg)), { what: 'the warning' });
  store.write = write;
  await memory.stop();
  const after = await site.open();
  assert.equal(after.domain('d.test')?.reached, 'verified');
  await after.stop();
});

test('a name that cannot be one is not kept', async () => {
  await using site = await disk();
  const memory = await site.open();
  for (const name of ['', 'a b', 'ü.test', 'x'.repeat(300)]) memory.noteDomain(name, { reached: 'verified', at: NOW });
  assert.equal(memory.size, 0);
  await memory.stop();
});
