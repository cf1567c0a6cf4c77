import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  lonelyTests,
  looseVersions,
  missingServiceFiles,
  spelledSubjects,
  strayTestFolders,
  testsInNoRing,
} from './file-rules.ts';

/** A test of the fences: each is shown a tree that breaks it, and one that does not. */

test('a test that runs alone is named', () => {
  const tests = new Map([
    ['a.test.ts', "test('x', () => undefined);"],
    ['b.test.ts', "test.only('x', () => undefined);"],
    ['c.test.ts', "test('x', { only: true }, () => undefined);"],
  ]);
  assert.deepEqual(lonelyTests(tests), ['b.test.ts', 'c.test.ts']);
});

test('a subject that is spelled elsewhere is named', () => {
  const subject = 'const subject = `sealpost.v1.signer.x`;';
  const tree = new Map([
    ['cluster/bus/subjects.ts', subject],
    ['services/signer/a.ts', subject],
    ['services/signer/b.ts', '// sealpost.v1 is the first version.'],
  ]);
  assert.deepEqual(spelledSubjects(tree), ['services/signer/a.ts']);
});

test('a service without its contract or its service file is named', () => {
  const tree = new Map(
    ['services/topology.ts', 'services/a/contract.ts', 'services/a/service.ts', 'services/b/x/y.ts'].map((file) => [
      file,
      '',
    ]),
  );
  assert.deepEqual(missingServiceFiles(tree), ['services/b/contract.ts', 'services/b/service.ts']);
});

test('a test that no ring runs is named', () => {
  const run = ['test/unit/a.test.ts', 'test/integration/x/a.test.ts', 'test/scenarios/a.scenario.ts', 'test/kit/a.ts'];
  const lost = ['test/kit/a.test.ts', 'test/scenarios/a.test.ts', 'test/unit/a.scenario.ts', 'services/a.test.ts'];
  assert.deepEqual(testsInNoRing([...run, ...lost]), lost);
});

test('a folder of tests that is about no folder is named', () => {
  const tests = ['test/unit/router/queue/a.test.ts', 'test/integration/cluster/a.test.ts', 'test/unit/kit/a.test.ts'];
  const files = ['services/router/queue/a.ts', 'cluster/b/a.ts', 'test/kit/a.ts'];
  assert.deepEqual(strayTestFolders([...tests, 'test/unit/a.test.ts'], files, {}), []);
  const stray = 'test/unit/router/pacing/a.test.ts';
  assert.deepEqual(strayTestFolders([...tests, stray], files, {}), ['router/pacing']);
  assert.deepEqual(strayTestFolders([...tests, stray], files, { 'router/pacing': 'of old' }), []);
});

test('a version that is a range is named', () => {
  assert.deepEqual(looseVersions({ dependencies: { a: '1.2.3', b: '^1.2.3' }, devDependencies: { c: '*' } }), [
    'b',
    'c',
  ]);
});
