import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adopted, claim, dropped, giveUp, open, type Pair, parseKey } from '#services/router/copies/claims.ts';
import { seededRandom } from '#test/kit/random.ts';

const pair = (state: Pair['state'], generation = 3, flags: Partial<Pair> = {}): Pair => ({
  ...{ kind: 'pair', generation, state, adopted: false, dropped: false },
  ...flags,
});

test('each transition applies where it may, and changes nothing elsewhere', () => {
  const over = pair('claimed', 3, { adopted: true, dropped: true });
  const rows: [string, (p: Pair | undefined) => Pair | undefined, Pair | undefined, Pair | undefined][] = [
    [
      'a claim that is not over is not opened',
      open,
      pair('claimed', 3, { adopted: true }),
      pair('claimed', 3, { adopted: true }),
    ],
    ['the first', open, undefined, pair('open', 1)],
    ['after a take-over', open, over, pair('open', 4)],
    ['after it was given up', open, pair('closed'), pair('open')],
    ['open already', open, pair('open'), pair('open')],
    ['a silent holder', giveUp, pair('open'), pair('closed', 4)],
    ['one that claimed and died', giveUp, pair('claimed'), pair('closed', 4)],
    [
      'one that has the mail keeps it',
      giveUp,
      pair('claimed', 3, { adopted: true }),
      pair('claimed', 3, { adopted: true }),
    ],
    ['nothing to give up', giveUp, undefined, undefined],
    ['a claim', claim, pair('open'), pair('claimed')],
    ['a claim of what was given up', claim, pair('closed'), pair('closed')],
    ['adopted', (p) => adopted(p, 3), pair('claimed'), pair('claimed', 3, { adopted: true })],
    ['adopted in an earlier generation', (p) => adopted(p, 2), pair('claimed'), pair('claimed')],
    ['adopted after it was taken back', (p) => adopted(p, 3), pair('closed', 4), pair('closed', 4)],
    ['dropped', (p) => dropped(p, 3), pair('claimed'), pair('claimed', 3, { dropped: true })],
    ['dropped in an earlier generation', (p) => dropped(p, 2), pair('claimed'), pair('claimed')],
  ];
  for (const [name, change, before, after] of rows) {
    const result = change(before);
    assert.deepEqual(result, after, name);
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(after)) assert.equal(result, before, name);
  }
});

test('what keys name', () => {
  assert.deepEqual(parseKey('lease.AAAA'), { lease: 'AAAA' });
  assert.deepEqual(parseKey('pair.AAAA.BBBB'), { owner: 'AAAA', holder: 'BBBB' });
  for (const key of ['', 'lease', 'pair.AAAA', 'other.AAAA.BBBB']) assert.equal(parseKey(key), undefined, key);
});

test('whatever owner and holder do in any order, only one of them delivers a generation', () => {
  const random = seededRandom(7);
  for (let run = 0; run < 500; run++) {
    let now: Pair | undefined;
    /** Which of them may deliver mail of a generation, from the moment it was claimed or given up. */
    const final = new Map<number, 'owner' | 'holder'>();
    for (let step = 0; step < 40; step++) {
      const before = now;
      const generation = before?.generation ?? 0;
      const moves = [open, giveUp, claim, (p?: Pair) => adopted(p, generation), (p?: Pair) => dropped(p, generation)];
      now = moves[Math.floor(random() * moves.length)]?.(now);
      if (before === undefined || now === undefined || before === now) continue;
      assert.ok(now.generation >= before.generation);
      if (now.generation > before.generation) {
        // The owner goes on with it only where the holder has not got it in its queue.
        const winner = before.state === 'claimed' && before.adopted ? 'holder' : 'owner';
        assert.equal(final.get(before.generation) ?? winner, winner);
      }
      if (now.state === 'claimed' && now.adopted) final.set(now.generation, 'holder');
    }
  }
});
