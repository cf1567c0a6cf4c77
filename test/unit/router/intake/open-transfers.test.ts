import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpenTransfers } from '#services/router/intake/open-transfers.ts';
import type { IntakeTransfer } from '#services/router/intake/transfer.ts';

const transfer = (id: string, caller: string, address = 'a@b.test'): IntakeTransfer => ({
  ...{
    id,
    caller,
    queueId: id,
    trace: id,
    arrived: 0,
    next: 0,
    written: [],
    bytes: 0,
    touched: 0,
    begun: false,
    entries: [],
  },
  envelope: { reversePath: '', recipients: [{ address }], smtpUtf8: false },
  origin: { session: 's', listener: 'mx', kind: 'relay', client: { address: '192.0.2.1', name: null, helo: 'x' } },
});

const limits = (ofCount: number, count: number, ofText = 1000, text = 10_000) => ({
  of: { count: ofCount, text: ofText },
  all: { count, text },
});
const ids = (transfers: Iterable<IntakeTransfer>): string[] => [...transfers].map(({ id }) => id);

test('a caller that opens without end loses its own transfers, nobody else does', () => {
  const open = new OpenTransfers(limits(3, 100));
  const mine = transfer('mine', 'listener-1');
  open.add(mine);
  const lost: string[] = [];
  for (let i = 0; i < 1000; i++) lost.push(...ids(open.add(transfer(`flood-${i}`, 'attacker'))));
  assert.deepEqual(lost.slice(0, 2), ['flood-0', 'flood-1']);
  assert.equal(lost.length, 997);
  assert.equal(open.get('mine'), mine);
  assert.equal(open.size, 4);
});

test('of many callers the transfer that was silent for longest makes room, one that goes on stays', () => {
  const open = new OpenTransfers(limits(3, 5));
  const mine = transfer('mine', 'listener-1');
  open.add(mine);
  for (let i = 0; i < 4; i++) open.add(transfer(`flood-${i}`, `attacker-${i}`));
  open.touch(mine);
  assert.deepEqual(ids(open.add(transfer('flood-4', 'attacker-4'))), ['flood-0']);
  assert.deepEqual(ids(open.add(transfer('flood-5', 'attacker-5'))), ['flood-1']);
  assert.equal(open.get('mine'), mine);
});

test('large envelopes take the room of many, and one alone is taken whatever its size', () => {
  const open = new OpenTransfers(limits(100, 1000));
  assert.deepEqual(open.add(transfer('huge', 'attacker', 'x'.repeat(5000))), []);
  assert.deepEqual(ids(open.add(transfer('next', 'attacker'))), ['huge']);
  const next = open.get('next');
  assert.ok(next !== undefined);
  open.touch(next);
  open.delete(next);
  assert.equal(open.size, 0);
  for (let i = 0; i < 100; i++) assert.deepEqual(open.add(transfer(`t-${i}`, 'attacker')), []);
});
