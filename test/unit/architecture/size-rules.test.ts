import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  crowdedFolders,
  idleExcuses,
  LONGEST_FILE,
  LONGEST_FUNCTION,
  longFiles,
  longFunctions,
  MOST_FILES,
} from './size-rules.ts';

/** A test of the fences: each is shown a tree that breaks it, and one that does not. */

const lines = (count: number): string => '    work();\n'.repeat(count);

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
