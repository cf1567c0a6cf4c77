import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '#test/kit/docs/pages.ts';
import { readTree } from '#test/kit/source-tree.ts';
import { logFields } from './log-fields.ts';

/** docs/operate/log-fields.md has every field that the log has, and no other. */

const { fields, elsewhere } = logFields(readTree('{shared,cluster,services}/**/*.ts'));

/** What pino writes on each line. */
const OF_PINO = ['level', 'time', 'msg'];

/** Spreads of what another file makes, with the fields that it has. */
const ELSEWHERE: readonly (readonly [spread: RegExp, ...fields: string[]])[] = [
  [/ \.\.\.repeated$/, 'count'],
  [/session-log\.ts \.\.\.this\.#session$/, 'session', 'peer'],
  [/session-log\.ts \.\.\.counted$/, 'messages', 'errors', 'ms'],
  [/recovery\.ts \.\.\.slots\.counts$/, 'active', 'deferred', 'hold'],
  [/recovery\.ts \.\.\.this\.#found$/, 'messages', 'damaged', 'unfinishedTransfers'],
  [/listener\/service\.ts \.\.\.found$/, 'listener', 'address', 'entry'],
  [/listener\/service\.ts \.\.\.this\.#gateways\.saw/, 'address', 'sessions', 'names', 'gateway'],
  [/check-sources\.ts \.\.\.fields$/, 'domain', 'list', 'error'],
  [/signer\/service\.ts \.\.\.mail$/, 'queueId', 'trace'],
  [/neks\.ts \.\.\.key$/, 'domain', 'selector', 'error'],
  [/lifecycle\.ts \[reason\]$/, 'drained', 'orphaned'],
  [/key-maker\.ts \.\.\.name$/, 'domain', 'selector'],
  // A text, without fields.
  [/nek\.ts \.\.\.warning$/],
];

const documented = new Set(
  [...readFileSync(join(ROOT, 'docs/operate/log-fields.md'), 'utf8').matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(
    ([, cell = '']) => cell.split(', ').map((name) => name.replaceAll('`', '')),
  ),
);

test('every field of the log is explained, and no other', () => {
  const spread = ELSEWHERE.flatMap(([, ...names]) => names);
  const written = new Set([...OF_PINO, ...fields.keys(), ...spread]);
  const levels = ['error', 'warn', 'info', 'debug', 'trace'];
  assert.deepEqual([...written].filter((name) => !documented.has(name)).sort(), []);
  assert.deepEqual([...documented].filter((name) => !written.has(name) && !levels.includes(name)).sort(), []);
});

test('what is spread from another file is known', () => {
  assert.deepEqual([...elsewhere].filter((place) => !ELSEWHERE.some(([pattern]) => pattern.test(place))).sort(), []);
  assert.deepEqual(
    ELSEWHERE.filter(([pattern]) => ![...elsewhere].some((place) => pattern.test(place))).map(String),
    [],
  );
});

test('no field takes the place of one that each line has', () => {
  for (const name of OF_PINO) assert.deepEqual(fields.get(name) ?? [], []);
});

test('fields are found where they are written: literals, variables, results, levels that are computed', () => {
  const text = `
    const fields = { a: 1, ...(x && { b: 2 }) };
    function more(): object { return { c: 3 }; }
    log.info({ ...fields, ...more(), d, 'e': 1 }, 'text');
    deps.log[bad ? 'error' : 'warn']({ f: 1, ...given }, 'text');
    log.refused('text', reply, { h: 1 });
    other.info({ g: 1 });
  `;
  const found = logFields(new Map([['x.ts', text]]));
  assert.deepEqual([...found.fields.keys()].sort(), ['a', 'b', 'c', 'd', 'e', 'f', 'h']);
  assert.deepEqual([...found.elsewhere], ['x.ts ...given']);
});
