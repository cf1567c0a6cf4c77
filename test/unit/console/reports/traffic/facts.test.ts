import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Member } from '#cluster/members/member-contract.ts';
import type { Clients } from '#services/console/reports/clients.ts';
import { gatherTraffic } from '#services/console/reports/traffic/facts.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';

const MEMBER = { node: 'edge-1', process: 'p1', services: ['policy'], state: 'ready' } as unknown as Member;

const failing = (error: Error): Clients =>
  ({ client: () => ({ 'counter-list': () => Promise.reject(error) }) }) as unknown as Clients;

async function reasonFor(error: Error): Promise<string | undefined> {
  const { silent } = await gatherTraffic(failing(error), [MEMBER]);
  return silent[0]?.reason;
}

test('of a process that is gone, people read that it does not answer, and not which operation failed', async () => {
  const text = 'member.counter-list cannot be called: node edge-1 does not serve it';
  assert.equal(await reasonFor(new SealpostError(CALL_ERRORS.unavailable, text)), 'it does not answer');
  assert.equal(await reasonFor(new SealpostError(CALL_ERRORS.timeout, text)), 'it does not answer');
});

test('any other reason is told', async () => {
  assert.equal(await reasonFor(new SealpostError('store-failed', 'the disk is full')), 'the disk is full');
});
