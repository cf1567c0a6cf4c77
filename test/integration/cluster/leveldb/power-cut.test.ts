import assert from 'node:assert/strict';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { errorText } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { Program } from '#test/kit/program.ts';
import { seededRandom } from '#test/kit/random.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { problems } from './commits.ts';
import { type Change, Disk } from './disk.ts';
import { parseTrace, type Step } from './trace.ts';

const CALLS = 'openat,close,write,fsync,fdatasync,mkdir,rename,unlink';
/** The power is cut after each change of a name, and after this many acknowledged commits. */
const EVERY = 5;

/** What a process that commits to a store in `<root>/data/queue` asks of the system. */
async function trace(root: string, file: string): Promise<Step[]> {
  const commits = [process.execPath, join(import.meta.dirname, 'commits.ts'), join(root, 'data', 'queue')];
  const options = ['-f', '-xx', '-s', '10000000', '-e', `trace=${CALLS}`, '-o', file];
  await using program = new Program('strace', [...options, ...commits]);
  assert.equal(await program.ended(), 0, program.output);
  return parseTrace(await readFile(file, 'utf8'));
}

test(
  'no acknowledged commit is lost, and none comes back, when the power is cut and only what was synced stays',
  needs('strace'),
  async () => {
    await using dir = await tempDir('power-cut');
    const [root, left] = [join(dir.path, 'root'), join(dir.path, 'left')];
    await mkdir(root);
    const steps = await trace(root, join(dir.path, 'trace'));
    const any = seededRandom(1);
    const keeping: Record<string, (change: Change) => boolean> = {
      'no unsynced name': () => false,
      'only removals': ({ removed, made }) => removed !== undefined && made === undefined,
      'any of them': () => any() < 0.5,
    };
    const disk = new Disk(root);
    const failures: string[] = [];
    let [acknowledged, cuts] = [0, 0];
    for (const [n, step] of steps.entries()) {
      const acknowledges = step.at === 'begin' && step.call.name === 'write' && step.call.args[0] === '1';
      if (acknowledges) acknowledged++;
      if (!disk.step(step) && !(acknowledges && acknowledged % EVERY === 0)) continue;
      for (const [what, kept] of Object.entries(keeping)) {
        cuts++;
        await mkdir(left);
        await disk.leave(left, kept);
        const found = await lookAt(join(left, 'data', 'queue'), acknowledged);
        if (found.length > 0) failures.push(`step ${n}, ${acknowledged} acknowledged, ${what}: ${found.join()}`);
        await rm(left, { recursive: true });
      }
    }
    assert.ok(acknowledged >= 100 && cuts > 100, `${acknowledged} acknowledged, ${cuts} cuts`);
    assert.deepEqual(failures, []);
  },
);

async function lookAt(folder: string, acknowledged: number): Promise<string[]> {
  try {
    await using undo = new AsyncDisposableStack();
    const store = await Store.open(folder, silentLogger);
    undo.defer(() => store.close());
    return await problems(store, acknowledged);
  } catch (error) {
    return [errorText(error)];
  }
}
