import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitCodeOf, failureText, usageError } from '#services/console/cli/exit.ts';
import { SealpostError } from '#shared/errors.ts';

for (const [error, code] of [
  [new SealpostError('no-node', 'x'), 3],
  [new SealpostError('unavailable', 'x'), 3],
  [new SealpostError('timeout', 'x'), 3],
  [usageError('x'), 2],
  [new SealpostError('not-found', 'x'), 1],
  [new TypeError('x'), 1],
  ['x', 1],
] as const) {
  test(`${error instanceof Error ? error.name : 'a thrown text'} ${error instanceof SealpostError ? error.code : ''} ends with ${code}`, () => {
    assert.equal(exitCodeOf(error), code);
  });
}

test('people see the message and its causes, no code and no stack', () => {
  const error = new SealpostError('store-failed', 'cannot write', { cause: new Error('no space') });
  assert.equal(failureText(error, false), 'sealpost: cannot write: no space');
  assert.equal(
    failureText(new SealpostError('not-found', 'no message X (not-found)'), false),
    'sealpost: no message X',
  );
});

test('programs see one JSON object', () => {
  const text = failureText(new SealpostError('exists', 'there is one already'), true);
  assert.deepEqual(JSON.parse(text), { error: { code: 'exists', message: 'there is one already' } });
});

test('what the system refuses is no bug', () => {
  const error = Object.assign(new Error("EACCES: permission denied, mkdir '/x'"), {
    code: 'EACCES',
    errno: -13,
    syscall: 'mkdir',
  });
  assert.equal(failureText(error, false), "sealpost: EACCES: permission denied, mkdir '/x'");
  assert.equal(JSON.parse(failureText(error, true)).error.code, 'EACCES');
});

test('a bug shows where it is', () => {
  assert.match(failureText(new TypeError('undefined is not a function'), false), /report it.*\n +at .*exit\.test\.ts/);
});
