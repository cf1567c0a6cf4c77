import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitedLog } from '#shared/limited-log.ts';
import { waitFor } from '#test/kit/wait.ts';

test('the first line is written, the rest is counted until the interval is over, by key', async () => {
  const log = new LimitedLog(50);
  const lines: string[] = [];
  const say = (key: string, text: string) => log.say(key, ({ count }) => lines.push(`${text} ${count ?? ''}`.trim()));
  for (let i = 0; i < 10; i++) say('a', `a${i}`);
  say('b', 'b');
  assert.deepEqual(lines, ['a0', 'b']);
  await waitFor(() => lines.length === 3, { what: 'the count' });
  assert.equal(lines[2], 'a9 9');
  say('a', 'again');
  assert.equal(lines[3], 'again');
});

test('keys without end have a bounded number of lines and of memory', () => {
  const log = new LimitedLog(60_000);
  let lines = 0;
  for (let i = 0; i < 5000; i++) log.say(`key-${i}`, () => lines++);
  assert.equal(lines, 1001);
  log.close();
  assert.equal(lines, 1002);
});
