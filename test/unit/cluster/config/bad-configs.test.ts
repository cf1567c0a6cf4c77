import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { createSelfSigned } from '#cluster/certificate.ts';
import { parseConfig } from '#cluster/config/load.ts';
import { formatProblem } from '#cluster/config/problems/problem.ts';

/**
 * Every test/bad-configs/x.yaml must be refused with exactly the lines of x.expected. `<folder>` stands for the folder
 * that the configuration is in. `UPDATE_EXPECTED=1` writes the files anew; read the difference before you keep it.
 */

const CASES = join(import.meta.dirname, '../../../bad-configs');
let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sealpost-bad-'));
  const pair = await createSelfSigned({ dns: ['mx1.example.com'] }, 30);
  const other = await createSelfSigned({ dns: ['mx2.example.com'] }, 30);
  const files = {
    'cert.pem': pair.certificate,
    'key.pem': pair.key,
    'other-key.pem': other.key,
    'users.yaml': 'users: []\n',
    'empty.txt': '\n',
    'neks-good.key': `${nek('edge', 'A')}\n`,
    'neks-twice.key': `${nek('edge', 'A')}\n\n${nek('new', 'A')}\n`,
    'neks-same-name.key': `${nek('edge', 'A')}\n${nek('edge', 'B')}\n`,
    'neks-cut-off.key': `${nek('edge', 'A')}\n${nek('new', 'B').slice(0, -9)}\n`,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 });
});

const nek = (name: string, content: string): string => `sealpost-nek:${name}:${content.repeat(42)}A=`;

after(() => rm(folder, { recursive: true }));

const names = (await readdir(CASES)).filter((name) => name.endsWith('.yaml')).map((name) => basename(name, '.yaml'));

test('there are enough bad configurations, each with its expectation', async () => {
  const expectations = (await readdir(CASES)).filter((name) => name.endsWith('.expected'));
  assert.deepEqual(expectations.map((name) => basename(name, '.expected')).sort(), names.toSorted());
  assert.ok(names.length >= 40);
});

for (const name of names) {
  test(`bad configuration ${name}`, async () => {
    const loaded = await parseConfig(await readFile(join(CASES, `${name}.yaml`), 'utf8'), folder);
    assert.ok(!loaded.ok, 'it was accepted');
    const lines = loaded.problems.map((problem) =>
      formatProblem('sealpost.yaml', problem).replaceAll(folder, '<folder>'),
    );
    const report = `${lines.join('\n')}\n`;
    assert.doesNotMatch(report, /hunter2/, 'a password is repeated');
    const file = join(CASES, `${name}.expected`);
    if (process.env['UPDATE_EXPECTED'] === '1') await writeFile(file, report);
    assert.equal(report, await readFile(file, 'utf8'));
  });
}
