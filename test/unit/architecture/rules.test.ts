import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  brokenImports,
  circles,
  crowdedFolders,
  idleExcuses,
  LONGEST_FILE,
  LONGEST_FUNCTION,
  longFiles,
  longFunctions,
  MOST_FILES,
  objection,
  specifiers,
} from './rules.ts';

/** A test of the fences: each is shown a tree that breaks it, and one that does not. */

const lines = (count: number): string => '    work();\n'.repeat(count);

describe('imports', () => {
  for (const [file, imported, allowed] of [
    ['shared/a.ts', 'cluster/bus/bus.ts', false],
    ['shared/a.ts', 'services/signer/contract.ts', false],
    ['cluster/actor.ts', 'services/signer/contract.ts', false],
    ['cluster/actor.ts', 'services/topology.ts', false],
    ['services/node.ts', 'services/signer/service.ts', true],
    ['services/node.ts', 'services/signer/keyring.ts', false],
    ['services/node.ts', 'services/topology.ts', true],
    ['services/node.ts', 'test/kit/wait.ts', false],
    ['services/topology.ts', 'services/signer/contract.ts', true],
    ['services/topology.ts', 'services/signer/service.ts', false],
    ['services/topology.ts', 'services/node.ts', false],
    ['services/console/cli/commands/start.ts', 'services/node.ts', true],
    ['services/console/reports/doctor/facts.ts', 'services/node.ts', false],
    ['services/console/reports/doctor/facts.ts', 'services/console/cli/context.ts', false],
    ['services/console/cli/commands/doctor.ts', 'services/console/reports/doctor/facts.ts', true],
    ['services/console/cli/keys/list.ts', 'services/credential-store/contract.ts', true],
    ['services/console/cli/keys/list.ts', 'services/credential-store/records/records.ts', false],
    ['services/router/queue/queue.ts', 'services/signer/contract.ts', true],
    ['services/router/queue/queue.ts', 'services/signer/keyring.ts', false],
    ['services/router/queue/queue.ts', 'services/topology.ts', true],
    ['services/router/queue/queue.ts', 'services/node.ts', false],
    ['services/router/delivery/mx.ts', 'services/router/queue/queue.ts', true],
    ['services/router/queue/queue.ts', 'cluster/store.ts', true],
  ] as [string, string, boolean][]) {
    test(`the rule ${allowed ? 'lets' : 'keeps'} ${file} ${allowed ? '' : 'from '}import ${imported}`, () => {
      assert.equal(objection(file, imported) === undefined, allowed);
    });
  }

  test('specifiers are found however they are written', () => {
    const text = `import 'a';\nimport x from "b";\nimport {\n y\n} from 'c';\nexport * from 'd';\nawait import('e');\nimport type { T } from '#f';`;
    assert.deepEqual(specifiers(text), ['a', 'b', 'c', 'd', 'e', '#f']);
  });

  test('a broken wall is named with its file, and so is a path that hides a wall or feigns one', () => {
    const tree = new Map([
      ['shared/a.ts', "import { x } from '#cluster/actor.ts';"],
      ['services/signer/a.ts', "import { x } from '#services/signer/b.ts';\nimport z from 'zod';"],
      ['services/signer/b.ts', "import { x } from '../../shared/a.ts';\nimport { a } from './a.ts';"],
    ]);
    assert.deepEqual(brokenImports(tree), [
      'shared/a.ts imports #cluster/actor.ts: shared knows nothing of ours but itself',
      'services/signer/a.ts imports #services/signer/b.ts: within one wall the path is relative',
      'services/signer/b.ts imports ../../shared/a.ts: across a wall the path begins with #',
    ]);
  });
});

test('files that import each other are a circle, over any number of steps, also by types alone', () => {
  const tree = new Map([
    ['services/x/a.ts', "import { b } from './b.ts';"],
    ['services/x/b.ts', "import type { C } from './c.ts';\nimport { d } from './d.ts';"],
    ['services/x/c.ts', "import { a } from './a.ts';"],
    ['services/x/d.ts', "import { e } from './e.ts';"],
    ['services/x/e.ts', ''],
  ]);
  assert.deepEqual(circles(tree), ['services/x/a.ts → services/x/b.ts → services/x/c.ts → services/x/a.ts']);
  tree.set('services/x/c.ts', "import { d } from './d.ts';");
  assert.deepEqual(circles(tree), []);
});

test('a crowded folder is named unless it is excused, and an excuse that it does not need is idle', () => {
  const files = Array.from({ length: MOST_FILES + 1 }, (_, n) => `services/x/${n}.ts`);
  assert.deepEqual(crowdedFolders(files, {}), [`services/x has ${MOST_FILES + 1} files`]);
  assert.deepEqual(crowdedFolders(files.slice(1), {}), []);
  assert.deepEqual(crowdedFolders(files, { 'services/x': 'a list' }), []);
  assert.deepEqual(idleExcuses(files, { 'services/x': 'a list' }), []);
  assert.deepEqual(idleExcuses(files.slice(1), { 'services/x': 'a list' }), ['services/x']);
});

test('a long file is named unless it says why', () => {
  const text = 'x\n'.repeat(LONGEST_FILE + 1);
  assert.deepEqual(longFiles(new Map([['a.ts', text]])), [`a.ts has ${LONGEST_FILE + 1} lines`]);
  assert.deepEqual(longFiles(new Map([['a.ts', 'x\n'.repeat(LONGEST_FILE)]])), []);
  assert.deepEqual(longFiles(new Map([['a.ts', `/** It is long because it is a table. */\n${text}`]])), []);
});

describe('long functions', () => {
  const body = lines(LONGEST_FUNCTION - 1);
  for (const [kind, open, close] of [
    ['a declaration', 'export async function f(x: number): Promise<void> {', '}'],
    ['a signature of several lines', 'function f<T>(\n  x: T,\n): void {', '}'],
    ['a method', '  async *#m(x: number): void {', '  }'],
    ['a getter', '  get state(): State {', '  }'],
    ['a generic method', '  m<P extends Q>(x: P): void {', '  }'],
    ['an arrow function', 'export const f = (x: number): void => {', '};'],
    ['a typed arrow function', 'export const f: Handler = async (session, argument) => {', '};'],
    ['a function in a table', '  run: async (x) => {', '  },'],
  ] as const) {
    test(`${kind} is measured`, () => {
      const text = `${open}\n${body}${close}\n`;
      assert.equal(longFunctions(new Map([['a.ts', text]])).length, 1, text.slice(0, 80));
      const shorter = `${open}\n${lines(LONGEST_FUNCTION - 5)}${close}\n`;
      assert.deepEqual(longFunctions(new Map([['a.ts', shorter]])), []);
      const excused = `/** It is long because it is one table. */\n${text}`;
      assert.deepEqual(longFunctions(new Map([['a.ts', excused]])), []);
    });
  }

  test('statements, types and tables are not functions', () => {
    const text = [
      'export type A = {',
      body,
      '};',
      'export const TABLE = {',
      body,
      '};',
      '  if (x) {',
      body,
      '  }',
      '  for (const x of f(y)) {',
      body,
      '  }',
    ].join('\n');
    assert.deepEqual(longFunctions(new Map([['a.ts', text]])), []);
  });
});
