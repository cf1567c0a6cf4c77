import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Outbox } from '#services/router/copies/outbox.ts';
import { SealpostError } from '#shared/errors.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import type { CopyChange } from '#shared/queue/copy-change.ts';
import { codeOf } from '#test/unit/router/fixture.ts';

const PLACE = { store: 'HOLDERHOLDER', node: 'edge-2', generation: 1 };

type Call = { changes: CopyChange[]; bytes: Buffer; answer: (error?: Error) => void };

function outbox(): { box: Outbox; calls: Call[]; ends: string[] } {
  const calls: Call[] = [];
  const ends: string[] = [];
  const box = new Outbox({
    pair: { owner: 'OWNEROWNEROW', holder: PLACE.store, generation: 1 },
    place: PLACE,
    send: (changes, bytes) =>
      new Promise((resolve, reject) => {
        calls.push({ changes, bytes, answer: (error) => (error === undefined ? resolve() : reject(error)) });
      }),
    onEnd: (code) => ends.push(code),
    log: silentLogger,
  });
  return { box, calls, ends };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const record = (size: number, key = 'k') => ({ key, value: Buffer.alloc(size, 'x') });
const [A, B, C] = [newQueueId(), newQueueId(), newQueueId()];
const away = new SealpostError('unavailable', 'away');

test('what comes while a call is under way goes along with the next, in order', async () => {
  const { box, calls } = outbox();
  const first = box.copy(A, [record(10)], true);
  const others = [box.copy(B, [record(20)], true), box.drop(A), box.follow(C, [{ type: 'put', ...record(5) }])];
  assert.equal(calls.length, 1);
  calls[0]?.answer();
  await first;
  await turn();
  assert.deepEqual(
    calls[1]?.changes.map((change) => [change.id, 'drop' in change]),
    [
      [B, false],
      [A, true],
      [C, false],
    ],
  );
  assert.equal(calls[1]?.bytes.length, 25);
  calls[1]?.answer();
  await Promise.all(others);
  await turn();
  assert.deepEqual([calls.length, box.empty, box.load], [2, true, 0]);
});

test('a receipt goes with the end of its message; one that is too long does not, and the end goes without it', async () => {
  const { box, calls } = outbox();
  const done = [box.drop(A, '{}'), box.drop(B, 'x'.repeat(512 * 1024 + 1)), box.drop(C)];
  calls[0]?.answer();
  await done[0];
  await turn();
  calls[1]?.answer();
  await Promise.all(done);
  assert.deepEqual(
    calls.flatMap(({ changes }) => changes),
    [
      { id: A, drop: true, receipt: '{}' },
      { id: B, drop: true },
      { id: C, drop: true },
    ],
  );
  assert.equal(box.load, 0);
});

test('a large message goes in portions, and is whole with the last', async () => {
  const { box, calls } = outbox();
  const done = box.copy(A, [record(200_000), record(200_000), record(300_000), record(10)], true);
  for (let n = 0; n < 4; n++) {
    await turn();
    calls[n]?.answer();
  }
  await done;
  assert.deepEqual(
    calls.flatMap(({ changes }) => changes.map((c) => 'complete' in c && [c.put.length, c.complete])),
    [
      [1, false],
      [1, false],
      [1, false],
      [1, true],
    ],
  );
});

test('a failed call: copies fail immediately, changes are kept and sent again, and copies are accepted after that', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { box, calls } = outbox();
    const copy = codeOf(box.copy(A, [record(1)], true));
    const waiting = codeOf(box.copy(B, [record(1)], true));
    const news = box.drop(C);
    calls[0]?.answer(away);
    assert.deepEqual([await copy, await waiting, box.unreachable], ['unavailable', 'unavailable', true]);
    assert.equal(await codeOf(box.copy(A, [record(1)], true)), 'not-accepting');
    mock.timers.tick(1000);
    await turn();
    assert.deepEqual(calls[1]?.changes, [{ id: C, drop: true }]);
    calls[1]?.answer(away);
    await turn();
    mock.timers.tick(1000);
    await turn();
    calls[2]?.answer();
    await news;
    assert.equal(box.unreachable, false);
  } finally {
    mock.timers.reset();
  }
});

test('the end of a pair is told; closed, everything that waits is rejected', async () => {
  const { box, calls, ends } = outbox();
  const news = codeOf(box.drop(A));
  calls[0]?.answer(new SealpostError('other-store', 'the disk is another one'));
  await turn();
  assert.deepEqual([ends, box.unreachable], [['other-store'], true]);
  box.close();
  assert.equal(await news, 'superseded');
  assert.equal(await codeOf(box.drop(B)), 'superseded');
});
