import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeFound } from '#services/console/reports/mail/reader.ts';
import type { FoundMessage } from '#shared/mail/message-search.ts';

type Row = [id: string, node: string, state?: FoundMessage['state'], copy?: true];

async function* list(rows: Row[]): AsyncGenerator<FoundMessage, undefined> {
  for (const [queueId, node, state = 'finished', copy] of rows) {
    const isFinished = state === 'finished' && { finished: 1 };
    yield {
      ...{
        queueId,
        node,
        state,
        copy,
        ...isFinished,
        arrived: 1,
        size: 1,
        reversePath: '',
        recipients: [],
        counts: {},
      },
    };
  }
  return undefined;
}

test('lists of several nodes become one, newest first, with each message once', async () => {
  const merged = await Array.fromAsync(
    mergeFound([
      list([
        ['5', 'a'],
        ['3', 'a'],
        ['1', 'a', 'finished', true],
      ]),
      list([]),
      list([
        ['6', 'b'],
        ['5', 'a', 'finished', true],
        ['3', 'b', 'deferred'],
        ['1', 'b'],
      ]),
      list([
        ['5', 'a', 'finished', true],
        ['4', 'c', 'finished', true],
      ]),
    ]),
  );
  assert.deepEqual(
    merged.map(({ queueId, node, state, copy }) => [queueId, node, state, copy]),
    [
      ['6', 'b', 'finished', undefined],
      ['5', 'a', 'finished', undefined],
      ['4', 'c', 'finished', true],
      ['3', 'b', 'deferred', undefined],
      ['1', 'b', 'finished', undefined],
    ],
  );
});
