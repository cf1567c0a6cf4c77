import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClaimRecord, pairKey } from '#services/router/copies/claims.ts';
import { HandOver, type HandOverDeps } from '#services/router/copies/hand-over.ts';
import { Slots } from '#services/router/store/slots.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { waitFor } from '#test/kit/wait.ts';

const PLACE = { store: 'HOLDER', node: 'edge-2', generation: 1 };

function setUp() {
  const slots = new Slots();
  const state = { inSync: true, claims: 0, drained: 0, rounds: 0 };
  let pair: ClaimRecord = { kind: 'pair', generation: 1, state: 'open', adopted: false, dropped: false };
  const parts = {
    ...{ log: silentLogger, store: undefined, slots, own: 'OWNER' },
    map: {
      update: async (key: string, fn: (record: ClaimRecord) => ClaimRecord) => {
        assert.equal(key, pairKey('OWNER', 'HOLDER'));
        pair = fn(pair);
        state.claims++;
      },
    },
    sender: { missing: new Set(), fill: async () => undefined },
    pairs: {
      isValid: () => true,
      pair: () => {
        state.rounds++;
        return pair;
      },
      isInSync: () => state.inSync,
      get inSync() {
        return state.inSync;
      },
    },
    lease: {
      drained: async () => {
        state.drained++;
      },
    },
  } as unknown as HandOverDeps;
  return { handOver: new HandOver(parts), slots, state };
}

test('a holder that has yet to hear what was delivered is not told to deliver', async () => {
  const { handOver, slots, state } = setUp();
  state.inSync = false;
  slots.add(newQueueId(), 'deferred', PLACE);
  const run = handOver.run(async () => undefined);
  await waitFor(() => state.rounds >= 2, { what: 'two rounds' });
  assert.equal(state.claims, 0);
  state.inSync = true;
  await waitFor(() => state.claims > 0, { what: 'the claim' });
  handOver.abort();
  await run;
});

test('mail that is taken over by a drained node goes on to others', async () => {
  const { handOver, slots, state } = setUp();
  const run = handOver.run(async () => undefined);
  await waitFor(() => handOver.done, { what: 'the drain' });
  assert.deepEqual([state.drained, state.claims], [1, 0]);
  const slot = slots.add(newQueueId(), 'deferred', PLACE);
  await waitFor(() => state.claims > 0 && !handOver.done, { what: 'the claim' });
  slots.remove(slot);
  await waitFor(() => handOver.done && state.drained === 2, { what: 'the end' });
  handOver.abort();
  await run;
});
