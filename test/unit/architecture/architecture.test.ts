import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { ROOT, readTree } from '#test/kit/source-tree.ts';
import {
  lonelyTests,
  looseVersions,
  missingServiceFiles,
  spelledSubjects,
  strayTestFolders,
  testsInNoRing,
} from './file-rules.ts';
import { brokenImports, circles, folderCircles } from './import-rules.ts';
import { crowdedFolders, idleExcuses, idleLengthExcuses, longFiles, longFunctions } from './size-rules.ts';

/** The rules beside this file, each of which has a test that shows that it can fail, held against this tree. */

/** Folders that may have more than 16 files, because a list is the point of them. */
const LISTS: Record<string, string> = {
  'test/bad-configs': 'one file a mistake, beside the message that it must get',
  'test/kit/haraka/edge': 'the folder config of a Haraka, as people have it',
};

/** Folders of tests that are about no folder of the tree. */
const TESTED_ELSEWHERE: Record<string, string> = {
  architecture: 'the tree itself',
  node: 'services/node.ts: whole nodes from end to end',
  'credential-store/life/simulation': 'a simulated cluster for the tests beside it',
  'router/queue/simulation': 'the world of a simulated router for the test beside it',
};

const sources = readTree('{shared,cluster,services}/**/*.{ts,js}');
const tests = readTree('test/**/*.ts');
const files = globSync('{shared,cluster,services,docs,test}/**', { cwd: ROOT, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));

test('imports keep to the walls', () => {
  assert.deepEqual(brokenImports(sources), []);
  // The tests of these rules quote imports that break them.
  assert.deepEqual(
    brokenImports(new Map([...tests].filter(([file]) => !file.startsWith('test/unit/architecture/')))),
    [],
  );
});

test('no files import each other in a circle', () => {
  assert.deepEqual(circles(sources), []);
  assert.deepEqual(circles(tests), []);
});

test('no folders of a service, of the runtime or of shared/ import each other in a circle', () => {
  assert.deepEqual(folderCircles(sources), []);
});

test('no folder is crowded but those where a list is the point', () => {
  assert.deepEqual(crowdedFolders(files, LISTS), []);
  assert.deepEqual(idleExcuses(files, LISTS), []);
});

test('files are short, or say why not', () => {
  assert.deepEqual(longFiles(sources), []);
});

test('functions are short, or say why not', () => {
  assert.deepEqual(longFunctions(sources), []);
  assert.deepEqual(idleLengthExcuses(sources), []);
});

test('no test runs alone', () => {
  assert.deepEqual(lonelyTests(new Map([...tests].filter(([file]) => !file.endsWith('file-rules.test.ts')))), []);
});

test('subjects of the bus are spelled in one file only', () => {
  assert.deepEqual(spelledSubjects(sources), []);
});

test('every service has a contract and a service file', () => {
  assert.deepEqual(missingServiceFiles(sources), []);
});

test('every test and every scenario belongs to a ring that runs it', () => {
  assert.deepEqual(testsInNoRing([...tests.keys(), ...sources.keys()]), []);
});

test('the tests mirror the tree', () => {
  assert.deepEqual(strayTestFolders(tests.keys(), files, TESTED_ELSEWHERE), []);
});

test('package versions are exact', () => {
  assert.deepEqual(looseVersions(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))), []);
});

test('the sources were found', () => {
  assert.ok(sources.size > 200, `${sources.size} files below ${relative(process.cwd(), ROOT)}`);
  assert.ok(sources.has('services/console/cli/sealpost.js'));
  assert.ok(tests.size > 150);
});
