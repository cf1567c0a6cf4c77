import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  crowdedFolders,
  idleExcuses,
  idleLengthExcuses,
  LONGEST_FILE,
  LONGEST_FUNCTION,
  longFiles,
  longFunctions,
  MOST_FILES,
} from './size-rules.ts';

/** A test of the fences: each is shown a tree that breaks it, and one that does not. */

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

test('only the comment at the head excuses a file', () => {
  const text = `const a = 1;\n/** It is long because it is one loop. */\n${'x\n'.repeat(LONGEST_FILE)}`;
  assert.equal(longFiles(new Map([['a.ts', text]])).length, 1);
});

describe('long functions', () => {
  const body = (count: number): string => 'work();\n'.repeat(count);
  // `§` is where the comment with an excuse stands, `…` the body.
  for (const [kind, sample] of [
    ['a declaration', '§export async function f(x: number): Promise<void> {\n…}'],
    ['a signature of several lines', '§function f<T>(\n  x: T,\n): void {\n…}'],
    [
      'destructured parameters of several lines',
      '§function f({\n  a,\n  b,\n}: {\n  a: A;\n  b: B;\n}): {\n  c: C;\n} {\n…}',
    ],
    ['a method', 'class C {\n§  async *#m(x: number): AsyncGenerator<void> {\n…  }\n}'],
    ['a private method of TypeScript', 'class C {\n§  private m(x: number): void {\n…  }\n}'],
    ['a getter', 'class C {\n§  get state(): State {\n…  }\n}'],
    ['a method with a computed name', 'class C {\n§  async [Symbol.asyncDispose](): Promise<void> {\n…  }\n}'],
    ['a constructor', 'class C {\n§  constructor(x: X) {\n…  }\n}'],
    ['a field', 'class C {\n§  readonly #f = (): void => {\n…  };\n}'],
    ['an arrow function', '§export const f = <T>(x: T): void => {\n…};'],
    ['a typed arrow function', '§export const f: Handler = async (session, argument) => {\n…};'],
    ['an expression', '§const f = () =>\n  g(() => {\n…  });'],
    ['a function expression', '§let f = function (): void {\n…};'],
    ['a default export', '§export default (x: X) => {\n…};'],
    ['a function in a table', 'const t = {\n§  run: async (x: X) => {\n…  },\n};'],
    ['an operation in a table', "const t = {\n§  'message-list': async () => {\n…  },\n};"],
    ['a method in a table', "const t = {\n§  async 'message-list'({ a }: A) {\n…  },\n};"],
    ['a callback', '§wrap(async (x: X) => {\n…});'],
    ['a function with a text at the margin', '§function f() {\nconst t = `\n}\n`;\n…}'],
  ] as const) {
    const given = (count: number, excuse = ''): Map<string, string> =>
      new Map([['a.ts', `${sample.replace('…', () => body(count)).replace('§', excuse)}\n`]]);

    test(`${kind} is measured`, () => {
      assert.ok(longFunctions(given(LONGEST_FUNCTION)).length > 0);
      assert.deepEqual(longFunctions(given(LONGEST_FUNCTION - 12)), []);
    });

    test(`${kind} is excused by the comment before it, which is idle where the function is short`, () => {
      const excuse = '/** It is long because it is one table. */\n';
      const excused = longFunctions(given(LONGEST_FUNCTION, excuse));
      assert.ok(excused.length < longFunctions(given(LONGEST_FUNCTION)).length);
      assert.deepEqual(idleLengthExcuses(given(LONGEST_FUNCTION - 12, excuse)), ['a.ts']);
    });
  }

  test('statements, types and tables are not functions', () => {
    const lines = 'work();\n'.repeat(LONGEST_FUNCTION + 1);
    const text = `export type A = {\n${'a: B;\n'.repeat(60)}};\nif (x) {\n${lines}}\nfor (const x of f(y)) {\n${lines}}\n`;
    assert.deepEqual(longFunctions(new Map([['a.ts', text]])), []);
  });
});
