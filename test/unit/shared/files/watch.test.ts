import assert from 'node:assert/strict';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileWatch } from '#shared/files/watch.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Longer than it takes until a change is noticed by the poll. */
const NOTICED_MS = 1500;

/** Two files in folders of their own, and a watch of both that counts its calls. */
async function setup(changed: () => void | Promise<void> = () => undefined) {
  const dir = await tempDir('watch');
  const [a, b] = [join(dir.path, 'a', 'file'), join(dir.path, 'b', 'file')];
  for (const file of [a, b]) {
    await mkdir(join(file, '..'));
    await writeFile(file, 'old');
  }
  let calls = 0;
  const watch = new FileWatch([a, b], () => {
    calls++;
    return changed();
  });
  return {
    path: dir.path,
    a,
    b,
    watch,
    calls: () => calls,
    called: (times: number) => waitFor(() => calls >= times, { what: `call ${times}` }),
    [Symbol.asyncDispose]: async () => {
      await watch.close();
      await dir[Symbol.asyncDispose]();
    },
  };
}

type Place = { path: string; a: string; b: string };

const CHANGES: [string, (place: Place) => Promise<void>][] = [
  ['a folder that is replaced as a whole', ({ path }) => swapFolder(path)],
  ['a file that goes', ({ a }) => rm(a)],
  ['a file that is renamed into its place', ({ a }) => writeFile(`${a}.new`, 'new').then(() => rename(`${a}.new`, a))],
  ['a file that is written in place, as long as before', ({ b }) => writeFile(b, 'new')],
  ['two files that change together', ({ a, b }) => writeFile(a, '1').then(() => writeFile(b, '2'))],
];

async function swapFolder(path: string): Promise<void> {
  await mkdir(join(path, 'next'));
  await writeFile(join(path, 'next', 'file'), 'new');
  await rename(join(path, 'a'), join(path, 'before'));
  await rename(join(path, 'next'), join(path, 'a'));
}

for (const [what, change] of CHANGES) {
  test(`noticed once: ${what}`, async () => {
    await using at = await setup();
    at.watch.start();
    await change(at);
    await at.called(1);
    await sleep(NOTICED_MS);
    assert.equal(at.calls(), 1);
  });
}

test('a link that is swapped in another folder is noticed, as in a mounted ConfigMap', async () => {
  await using dir = await tempDir('watch');
  const at = (...names: string[]) => join(dir.path, ...names);
  for (const version of ['1', '2']) {
    await mkdir(at(version));
    await writeFile(at(version, 'file'), version);
  }
  await symlink('1', at('data'));
  await symlink(join('data', 'file'), at('file'));
  let calls = 0;
  const watch = new FileWatch([at('file')], () => void calls++).start();
  await symlink('2', at('next'));
  await rename(at('next'), at('data'));
  await waitFor(() => calls === 1, { what: 'the call' });
  await watch.close();
});

test('what changes between making and starting is noticed; before, nothing is called', async () => {
  await using at = await setup();
  await writeFile(at.a, 'new');
  await sleep(NOTICED_MS);
  assert.equal(at.calls(), 0);
  at.watch.start();
  await at.called(1);
});

test('a file that is not there yet, in a folder that is not there yet, is noticed when it comes', async () => {
  await using dir = await tempDir('watch');
  const file = join(dir.path, 'folder', 'file');
  let calls = 0;
  const watch = new FileWatch([file], () => void calls++).start();
  await mkdir(join(file, '..'));
  await writeFile(file, 'first');
  await waitFor(() => calls === 1, { what: 'the call' });
  await watch.close();
});

test('other files of the folder are none of its business', async () => {
  await using at = await setup();
  at.watch.start();
  await writeFile(`${at.a}.log`, 'line');
  await sleep(NOTICED_MS);
  assert.equal(at.calls(), 0);
});

test('a change during a call leads to another one, after it; closing waits for the call', async () => {
  const ends = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let running = 0;
  let calls = 0;
  await using at = await setup(async () => {
    assert.equal(++running, 1, 'one at a time');
    await ends[calls++]?.promise;
    running--;
  });
  at.watch.start();
  await writeFile(at.a, 'new');
  await at.called(1);
  await writeFile(at.a, 'newer');
  await sleep(NOTICED_MS);
  assert.equal(at.calls(), 1);
  ends[0]?.resolve();
  await at.called(2);
  const closed = at.watch.close();
  assert.equal(await Promise.race([closed, sleep(100, 'waits')]), 'waits');
  ends[1]?.resolve();
  await closed;
  await writeFile(at.a, 'newest');
  await sleep(NOTICED_MS);
  assert.equal(at.calls(), 2);
});

test('where a change must count immediately, it is reported before a watch that waits has seen the files quiet', async () => {
  await using dir = await tempDir('watch');
  const file = join(dir.path, 'file');
  await writeFile(file, 'old');
  const order: string[] = [];
  const waits = new FileWatch([file], () => void order.push('waits')).start();
  const immediate = new FileWatch([file], () => void order.push('immediate'), 0).start();
  await writeFile(`${file}.new`, 'new');
  await rename(`${file}.new`, file);
  await waitFor(() => order.length === 2, { what: 'both calls' });
  assert.deepEqual(order, ['immediate', 'waits']);
  await immediate.close();
  await waits.close();
});
