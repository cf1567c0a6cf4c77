import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RouterTransfer } from '#services/listener/message/router-transfer.ts';
import type { Calls } from '#services/topology.ts';
import { SealpostError } from '#shared/errors.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { codeOf, commitFields } from '#test/unit/router/fixture.ts';

type Router = Calls<'listener', 'router'>;
type Abort = { transfer: string; queueId?: string | undefined };

const { facts, ...acceptance } = commitFields(Buffer.from('Subject: a\r\n\r\n'));
const timeout = async (): Promise<never> => {
  throw new SealpostError('timeout', 'router.transfer-commit did not answer within 60000 ms');
};

function transferTo(router: Partial<Router>) {
  const { log, lines } = logLines();
  const opened = { transfer: 'T1', queueId: 'Q1', node: 'edge-1' };
  return { transfer: new RouterTransfer({ router: router as Router, log }, opened, 'TRACE'), lines };
}

test('a commit that was not answered in time is asked about, and the client hears what became of it', async () => {
  for (const [committed, outcome] of [
    [true, undefined],
    [undefined, 'timeout'],
  ] as const) {
    const aborts: Abort[] = [];
    const { transfer } = transferTo({
      'transfer-commit': timeout,
      'transfer-abort': async (request) => {
        aborts.push(request);
        // The first answer is lost as well.
        if (aborts.length === 1) throw new SealpostError('unavailable', 'no router is heard');
        return committed === undefined ? {} : { committed };
      },
    });
    assert.equal(await codeOf(transfer.commit(facts, acceptance)), outcome);
    transfer.abort();
    assert.deepEqual(aborts, [
      { transfer: 'T1', queueId: 'Q1' },
      { transfer: 'T1', queueId: 'Q1' },
    ]);
  }
});

test('where a router tells neither, the log names a possible duplicate', async () => {
  const { transfer, lines } = transferTo({
    'transfer-commit': timeout,
    'transfer-abort': async () => {
      throw new SealpostError('unavailable', 'no router is heard');
    },
  });
  assert.equal(await codeOf(transfer.commit(facts, acceptance)), 'timeout');
  assert.equal(lines().filter(({ msg }) => String(msg).startsWith('possible duplicate')).length, 1);
});

test('a client that leaves while its message is being committed does not lose it', async () => {
  let answer: (value: { queueId: string }) => void = () => undefined;
  let aborts = 0;
  const { transfer } = transferTo({
    'transfer-commit': () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
    'transfer-abort': async () => {
      aborts++;
      return {};
    },
  });
  const commit = transfer.commit(facts, acceptance);
  transfer.abort();
  answer({ queueId: 'Q1' });
  await commit;
  assert.equal(aborts, 0);
});

test('a refusal is the outcome: nobody is asked', async () => {
  const { transfer } = transferTo({
    'transfer-commit': async () => {
      throw new SealpostError('full', 'no room');
    },
  });
  assert.equal(await codeOf(transfer.commit(facts, acceptance)), 'full');
});
