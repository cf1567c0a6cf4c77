import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FindWords, questionOf } from '#services/console/cli/mail/find/question.ts';
import type { FindQuestion } from '#services/console/reports/mail/reader.ts';

const NOW = new Date('2026-11-30T14:05:00').getTime();

test('words become a question', () => {
  const rows: [string | undefined, FindWords, FindQuestion][] = [
    [undefined, {}, {}],
    ['01JQ0000000000AB', {}, { queueId: '01JQ0000000000AB' }],
    ['<1@mail.example>', {}, { messageId: '<1@mail.example>' }],
    ['<>', {}, { from: '' }],
    ['bob@peer.example', {}, { about: 'bob@peer.example' }],
    ['@peer.example', {}, { about: 'peer.example' }],
    [undefined, { from: '<>', to: '<bob@peer.example>' }, { from: '', to: 'bob@peer.example' }],
    [undefined, { since: '2h', before: 'X' }, { since: NOW - 7_200_000, below: 'X' }],
    [undefined, { since: '2026-11-30 12:05' }, { since: NOW - 7_200_000 }],
    [undefined, { until: '2026-11-30' }, { until: new Date('2026-11-30T00:00').getTime() }],
  ];
  for (const [what, words, question] of rows) assert.deepEqual(questionOf(what, words, NOW), question);
  assert.throws(() => questionOf(undefined, { since: 'yesterday' }, NOW), /"yesterday" is no time/);
  assert.throws(() => questionOf(undefined, { since: '2026-13-41' }, NOW), /is no time/);
});
