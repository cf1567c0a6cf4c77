import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type NewRefusal, Refusals } from '#services/listener/refusals/refusals.ts';
import { reply } from '#shared/mail/reply.ts';

const UNKNOWN = reply(550, '5.1.1', 'No such user here');

function refusal(client: string, to: string, more: Partial<NewRefusal> = {}): NewRefusal {
  return {
    ...{ listener: 'mx', client: { address: client }, step: 'RCPT', from: 'a@far.test', to: [to], reply: UNKNOWN },
    ...more,
  };
}

describe('the last refusals', () => {
  test('are found by what people know of a mail', () => {
    const refusals = new Refusals();
    refusals.add(refusal('192.0.2.1', 'Bob@Example.com', { session: 's1', trace: 't1' }));
    refusals.add(refusal('2001:db8::1', 'eve@sub.example.com', { messageId: '<1@far.test>', queueId: 'q1' }));
    refusals.add(refusal('192.0.2.2', 'x@other.test', { from: 'c@third.test', user: 'carol' }));
    const count = (search: Parameters<Refusals['find']>[0]): number => refusals.find(search, 10).refusals.length;
    const TABLE: [search: Parameters<Refusals['find']>[0], expected: number][] = [
      [{}, 3],
      [{ party: 'bob@EXAMPLE.com' }, 1],
      [{ party: 'example.com' }, 2],
      [{ party: 'xample.com' }, 0],
      [{ party: 'far.test' }, 2],
      [{ party: 'carol' }, 1],
      [{ client: '192.0.2.1' }, 1],
      [{ client: '2001:DB8:0::1' }, 1],
      [{ client: '::ffff:192.0.2.2' }, 1],
      [{ id: '1@far.test' }, 1],
      [{ id: '<1@far.test>' }, 1],
      [{ id: 'q1' }, 1],
      [{ id: 's1', party: 'bob@example.com' }, 1],
      [{ id: 't1', client: '192.0.2.2' }, 0],
      [{ id: 'none' }, 0],
      [{ domains: ['example.com'] }, 1],
      [{ domains: ['Third.test', 'sub.example.com'] }, 2],
      [{ domains: ['carol'] }, 0],
      [{ after: 0, before: Number.MAX_SAFE_INTEGER }, 3],
      [{ before: 1 }, 0],
      [{ after: Number.MAX_SAFE_INTEGER }, 0],
    ];
    for (const [search, expected] of TABLE) assert.equal(count(search), expected, JSON.stringify(search));
    assert.deepEqual(
      refusals.find({ party: 'far.test' }, 1).refusals.map(({ to }) => to),
      [['eve@sub.example.com']],
    );
    assert.equal(refusals.find({ party: 'far.test' }, 1).more, true);
  });

  test('what is refused alike again is counted, and is the newest', () => {
    let now = 1000;
    const refusals = new Refusals(() => now);
    refusals.add(refusal('192.0.2.1', 'bob@example.com'));
    refusals.add(refusal('192.0.2.1', 'eve@example.com'));
    now = 5000;
    refusals.add(refusal('192.0.2.1', 'bob@example.com', { reply: { ...UNKNOWN, text: 'and now in other words' } }));
    const { refusals: found } = refusals.find({}, 10);
    assert.deepEqual(
      found.map(({ to, count, first, at }) => [to[0], count, first, at]),
      [
        ['bob@example.com', 2, 1000, 5000],
        ['eve@example.com', 1, 1000, 1000],
      ],
    );
  });

  test('those of a day ago are gone', () => {
    let now = 0;
    const refusals = new Refusals(() => now);
    refusals.add(refusal('192.0.2.1', 'old@example.com'));
    now = 86_400_001;
    assert.deepEqual(refusals.find({}, 10), { refusals: [], more: false, since: 1 });
    refusals.add(refusal('192.0.2.1', 'new@example.com'));
    assert.equal(refusals.find({}, 10).refusals.length, 1);
  });

  test('a client that is refused without end takes its own room, and not that of others', () => {
    let now = 0;
    const refusals = new Refusals(() => now++);
    refusals.add(refusal('192.0.2.1', 'bob@example.com'));
    for (let n = 0; n < 20_000; n++) refusals.add(refusal(`2001:db8::${(n % 5000).toString(16)}`, `u${n}@example.com`));
    assert.equal(refusals.find({ party: 'bob@example.com' }, 10).refusals.length, 1);
    assert.equal(refusals.find({ client: '192.0.2.1' }, 10).since, 0);
    assert.equal(refusals.find({}, 100_000).refusals.length, 201);
  });

  test('many clients push the oldest out, and it is known since when nothing is missing', () => {
    let now = 0;
    const refusals = new Refusals(() => now++);
    for (let n = 0; n < 15_000; n++)
      refusals.add(refusal(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, 'bob@example.com'));
    const { refusals: found, since } = refusals.find({}, 100_000);
    assert.equal(found.length, 10_000);
    assert.ok(since > 0 && since <= (found.at(-1)?.at ?? 0), `since ${since}`);
  });

  test('whatever a stranger writes, memory is bounded', () => {
    const refusals = new Refusals();
    const long = 'x'.repeat(100_000);
    for (let n = 0; n < 10_000; n++) {
      const to = Array.from({ length: 1000 }, (_, i) => `${i}${long}@example.com`);
      refusals.add({
        ...refusal(`10.1.${n >> 8}.${n & 255}`, ''),
        ...{ to: n % 100 === 0 ? to : [long], from: long, user: long, messageId: long, queueId: long, error: long },
        client: { address: `10.1.${n >> 8}.${n & 255}`, name: long, helo: long },
        why: Array.from({ length: 100 }, () => long),
        filters: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`f${i}`, long])),
      });
    }
    const { refusals: found } = refusals.find({}, 100_000);
    const characters = JSON.stringify(found).length;
    assert.ok(found.length > 500 && characters < 16 * 1024 * 1024, `${found.length} with ${characters} characters`);
    assert.equal(found.at(-1)?.to.length, 1);
  });
});
