import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { listOptions } from '#cluster/config/schema/describe.ts';
import { CLUSTER_CHECKS } from '#services/console/reports/cluster/checks.ts';
import { DOCTOR_CHECKS } from '#services/console/reports/doctor/checks.ts';
import { TLS_CHECKS } from '#services/console/reports/tls/checks.ts';
import { PAGES, ROOT } from '#test/kit/docs/pages.ts';
import {
  brokenCommands,
  brokenLinks,
  brokenOptions,
  brokenScripts,
  brokenYaml,
  lostPages,
  missingPaths,
  parseDocs,
  unknownReplies,
  unknownSettings,
} from './checks.ts';
import { loadProgram } from './program.ts';

/** The README and docs/ tell the truth: about commands, options, files, replies, and each other. */

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const docs = parseDocs(
  ['README.md', ...globSync('docs/**/*.md', { cwd: ROOT })].map((file) => [file, read(file)] as const),
);
const program = await loadProgram();

/** The code spans in the first column of the tables of a section, sorted. */
function namedIn(file: string, title: string): string[] {
  const text =
    read(file)
      .split(/^##? /m)
      .find((part) => part.startsWith(`${title}\n`)) ?? '';
  const cells = [...text.matchAll(/^\| (`.*?`) \|/gm)].map(([, cell = '']) => cell);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)).sort();
}

test('the documents were found, and the README is short', () => {
  assert.ok(docs.size > 8, `${docs.size} documents`);
  assert.ok((docs.get('README.md')?.lines ?? 0) <= 150);
});

test('links lead to files and headings that are there, and to every document', () => {
  assert.deepEqual(
    brokenLinks(docs, (path) => existsSync(join(ROOT, path))),
    [],
  );
  assert.deepEqual(lostPages(docs), []);
});

test('commands and options exist', async () => {
  assert.deepEqual(await brokenCommands(docs, program), []);
  assert.deepEqual(brokenOptions(docs, program), []);
});

test('commands that alerts name exist', async () => {
  const file = 'cluster/monitoring/alerts.yaml';
  const page = parseDocs([
    [
      file,
      read(file)
        .replace(/^ +/gm, '')
        .replace(/{{.*?}}/g, 'x'),
    ],
  ]);
  assert.ok(read(file).includes('`sealpost '));
  assert.deepEqual(await brokenCommands(page, program), []);
});

test('commands that texts of the program name exist', async () => {
  const files = globSync('{shared,cluster,services}/**/*.ts', { cwd: ROOT });
  const named = files.map((file): [string, string] => [file, read(file).replace(/\r/g, '')]);
  const pages = parseDocs(
    named.map(([file, text]) => [
      file,
      [...text.matchAll(/(?<!realm=)"(sealpost [a-z][^"\n]*)"/g)]
        // What is put in at run time is not known here, nor what stands behind it; keymgmt has no form without it.
        .map(([, command = '']) =>
          command.startsWith('sealpost keymgmt ')
            ? command.replace(/\$\{[^}]*\}/g, 'x')
            : command.replace(/ ?(?:--)?\$\{.*|…/, ''),
        )
        .map((command) => `\`${command.trim()}\``)
        .join('\n'),
    ]),
  );
  assert.deepEqual(await brokenCommands(pages, program), []);
});

test('documents are where texts of any kind say that they are', () => {
  const files = globSync('{README.md,CHANGELOG.md,compose.yaml,{docs,cluster,services,shared,test,.ci}/**/*}', {
    cwd: ROOT,
    withFileTypes: true,
  })
    .filter((entry) => entry.isFile() && entry.name !== 'checks.test.ts')
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
  const named = files.flatMap((file) =>
    [...read(file).matchAll(/(?<![\w/.-])docs\/[a-z][\w/-]*\.md\b/g)].map(([page]) => `${file}: ${page}`),
  );
  assert.ok(named.length > 15);
  assert.deepEqual(
    named.filter((place) => !existsSync(join(ROOT, place.split(': ')[1] ?? ''))),
    [],
  );
});

test('every port of the configuration, and every file in node.data, has its row', () => {
  const page = read('docs/operate/ports-and-files.md');
  const ports = listOptions().filter(({ path }) => path.endsWith('.port'));
  assert.deepEqual(
    ports.filter(({ path }) => !page.includes(`\`${path}\``)).map(({ path }) => path),
    [],
  );
  const source = globSync('{services,cluster}/**/*.ts', { cwd: ROOT }).map(read).join('\n');
  const files = [...source.matchAll(/join\((?:[\w.]*\.)?data, '([\w.-]+)'\)/g)].map(([, name]) => name ?? '');
  assert.ok(files.length >= 4, files.join());
  assert.deepEqual(
    files.filter((name) => !page.includes(`\n| \`${name}\` |`)),
    [],
  );
});

test('every metric is explained, and no other', () => {
  const text = globSync(['{cluster,services}/**/metrics.ts', 'services/console/metrics/*.ts'], {
    cwd: ROOT,
  })
    .map(read)
    .join('\n');
  const made = [
    ...text.matchAll(/\b(?:counter|histogram|gauge|collected\(\s*'(?:counter|histogram)',)\(?\s*'(\w+)'/g),
  ].map(([, name]) => `sealpost_${name}`);
  assert.deepEqual(
    namedIn('docs/operate/monitoring.md', 'Metrics').filter((name) => name.startsWith('sealpost_')),
    made.sort(),
  );
});

test('scripts of package.json exist', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  assert.deepEqual(brokenScripts(docs, new Set(Object.keys(scripts))), []);
});

test('every direct dependency is explained, and no other', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
  assert.deepEqual(namedIn('docs/build/design.md', 'Dependencies'), Object.keys(dependencies).sort());
});

test('examples of configurations and users files are valid, and settings exist', async () => {
  assert.deepEqual(await brokenYaml(docs), []);
  assert.deepEqual(unknownSettings(docs), []);
});

test('files, folders and tests are where they are said to be', () => {
  assert.deepEqual(
    missingPaths(docs, (pattern) => globSync(pattern, { cwd: ROOT }).length > 0),
    [],
  );
});

test('the lengths of scenarios are the ones they have', () => {
  const written = read('docs/build/testing.md').matchAll(
    /^\| `([A-Z]+)`.* \| `(test\/scenarios\/.*)` \| (\d+) \| (\d+) \|$/gm,
  );
  const lengths = globSync('test/scenarios/**/*.ts', { cwd: ROOT }).flatMap((file) =>
    [...read(file).matchAll(/lengthOf\('(\w+)', \{ short: ([\d_]+), full: ([\d_]+) \}\)/g)].map(
      ([, name, short, full]) => [name, file, short?.replace('_', ''), full?.replace('_', '')].join(' '),
    ),
  );
  assert.deepEqual([...written].map(([, ...row]) => row.join(' ')).sort(), lengths.sort());
  assert.ok(lengths.length > 5);
});

test('replies are quoted as they are given', () => {
  const source = globSync('{services,shared}/**/*.ts', { cwd: ROOT }).map(read).join('\n');
  assert.deepEqual(unknownReplies(docs, source), []);
});

test('every finding of doctor, of cluster status and of tls check is explained', () => {
  assert.deepEqual(namedIn('docs/diagnose/findings.md', 'Doctor'), Object.keys(DOCTOR_CHECKS).sort());
  assert.deepEqual(namedIn('docs/diagnose/findings.md', 'Cluster status'), Object.keys(CLUSTER_CHECKS).sort());
  assert.deepEqual(
    namedIn('docs/diagnose/tls-check.md', 'Checking your own certificates'),
    Object.keys(TLS_CHECKS).sort(),
  );
});

test('every variable of the compose files is explained, with its default', () => {
  const files = ['compose.yaml', ...globSync('cluster/compose/*.yaml', { cwd: ROOT })];
  const page = read('docs/install/compose.md');
  const untold = files.flatMap((file) =>
    [...read(file).matchAll(/\$\{([A-Z0-9_]+):-([^}]*)\}/g)].filter(([, name, fallback]) => {
      const row = new RegExp(`^\\| \`${name}\` \\| (.*?) \\|`, 'm').exec(page)?.[1];
      return row !== `\`${fallback}\`` && row !== `see \`${file}\``;
    }),
  );
  assert.deepEqual(
    untold.map(([variable]) => variable),
    [],
  );
});

for (const [file, text] of Object.entries(PAGES)) {
  test(`${file} is what "npm run docs" writes`, async () => {
    assert.equal(read(file), await text());
  });
}
