import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { brokenImports, circles, crowdedFolders, idleExcuses, longFiles, longFunctions } from './rules.ts';

/** The rules of `rules.ts`, and a few that are about single files, held against this tree. */

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Folders that may have more than 16 files, because a list is the point of them. */
const LISTS: Record<string, string> = {
  'test/bad-configs': 'one file a mistake, beside the message that it must get',
  'test/scenarios': 'one file a scenario, which run one after the other',
};

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const sources = globSync('{shared,cluster,services}/**/*.ts', { cwd: ROOT }).toSorted();
const tests = globSync('test/**/*.ts', { cwd: ROOT }).toSorted();
const tree = new Map(sources.map((file) => [file, read(file)]));
/** Those that serve: of a console, which has no contract yet, there are only the doors. */
const services = readdirSync(join(ROOT, 'services'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'console')
  .map((entry) => entry.name);

test('imports keep to the walls', () => {
  assert.deepEqual(brokenImports(tree), []);
});

test('no files import each other in a circle', () => {
  assert.deepEqual(circles(tree), []);
});

test('no folder is crowded but those where a list is the point', { todo: 'under way' }, () => {
  const files = globSync('{shared,cluster,services,test}/**/*.*', { cwd: ROOT });
  assert.deepEqual(crowdedFolders(files, LISTS), []);
  assert.deepEqual(idleExcuses(files, LISTS), []);
});

test('files are short, or say why not', { todo: 'under way' }, () => {
  assert.deepEqual(longFiles(tree), []);
});

test('functions are short, or say why not', { todo: 'under way' }, () => {
  assert.deepEqual(longFunctions(tree), []);
});

test('no test runs alone', () => {
  const alone = tests.filter((file) => /\b(?:test|it|describe|suite)\.only\(|\bonly: true\b/.test(read(file)));
  assert.deepEqual(alone, []);
});

test('bus subjects are spelled in one file only', () => {
  const literal = /['"`]sealpost\.v/;
  assert.match(read('cluster/bus/subjects.ts'), literal);
  const others = sources.filter((file) => file !== 'cluster/bus/subjects.ts' && literal.test(read(file)));
  assert.deepEqual(others, []);
});

test('every service has a contract and a service file', () => {
  const missing = services
    .flatMap((service) => ['contract.ts', 'service.ts'].map((file) => `services/${service}/${file}`))
    .filter((file) => !existsSync(join(ROOT, file)));
  assert.deepEqual(missing, []);
});

test('every test and script file belongs to a ring that runs it', () => {
  const named = tests.filter((file) => /\.(?:test|scenario)\.ts$/.test(file));
  const lost = named.filter(
    (file) => !/^test\/(?:unit|integration)\/.*\.test\.ts$|^test\/scenarios\/.*\.scenario\.ts$/.test(file),
  );
  assert.deepEqual(lost, []);
});

test('package versions are exact', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const versions = Object.entries({ ...manifest['dependencies'], ...manifest['devDependencies'] });
  assert.ok(versions.length > 0);
  assert.deepEqual(
    versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)),
    [],
  );
});

test('the sources were found', () => {
  assert.ok(sources.length > 30, `${sources.length} files below ${relative(process.cwd(), ROOT)}`);
});
