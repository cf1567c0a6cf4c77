import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { humanLine } from '#shared/log-line.ts';

const time = '2026-03-01T12:30:05.007Z';

test('an event is one line for people, with its fields', () => {
  const event = { level: 'info', time, service: 'listener', session: 'k2', peer: 'a b', n: 3, msg: 'session closed' };
  const text = humanLine(JSON.stringify(event), false);
  assert.match(text, /^\d\d:\d\d:05\.007 info {2}listener session closed session=k2 peer="a b" n=3\n$/);
});

test('colours change nothing but the looks', () => {
  const event = JSON.stringify({ level: 'error', time, msg: 'store failed', error: 'no space' });
  const colored = humanLine(event, true);
  assert.notEqual(colored, humanLine(event, false));
  assert.equal(stripVTControlCharacters(colored), humanLine(event, false));
});

test('what came from outside does not steer the terminal', () => {
  const event = { level: 'info', time, msg: 'refused \u009b2J', helo: '\u001b[2J\r\n\u202etxt', path: 'a\u0085b' };
  const text = humanLine(JSON.stringify(event), false);
  assert.doesNotMatch(text.slice(0, -1), /[\p{Cc}\p{Cf}]/u);
  assert.match(text, /path=a\\u0085b/);
});

test('an unexpected error keeps its stack', () => {
  const err = { type: 'Error', message: 'sabotage', stack: 'Error: sabotage\n    at here\n    at there' };
  const text = humanLine(JSON.stringify({ level: 'fatal', time, err, msg: 'unexpected error' }), false);
  assert.deepEqual(text.split('\n').slice(1, -1), ['    Error: sabotage', '        at here', '        at there']);
});
