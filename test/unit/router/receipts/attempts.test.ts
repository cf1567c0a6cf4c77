import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepAttempt, keptHosts, shortened, withAttempt } from '#services/router/receipts/attempts.ts';
import type { EarlierAttempts } from '#shared/mail/attempt.ts';
import { reply } from '#shared/mail/reply.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, LATER, NO_USER, OK, TestRouter } from '#test/unit/router/fixture.ts';

const attempt = (at: number) => ({ at, reply: LATER });

function history(count: number, recipients = 1): EarlierAttempts | undefined {
  let earlier: EarlierAttempts | undefined;
  for (let at = 1; at <= count; at++) earlier = withAttempt(earlier, attempt(at), recipients);
  return earlier;
}

const times = (earlier: EarlierAttempts | undefined): number[] => earlier?.attempts.map(({ at }) => at) ?? [];
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

test('the first and the last attempts are kept, and how many are missing between them', () => {
  const rows: [number, number, number[], number | undefined][] = [
    [1, 1, [1], undefined],
    [23, 1, range(1, 23), undefined],
    [24, 1, [1, 2, 3, ...range(5, 24)], 1],
    [500, 1, [1, 2, 3, ...range(481, 500)], 477],
    [23, 43, range(1, 23), undefined],
    // With many recipients each has fewer.
    [30, 100, [1, 2, 3, ...range(24, 30)], 20],
    [30, 1000, [1, 30], 28],
  ];
  for (const [count, recipients, kept, leftOut] of rows) {
    const earlier = history(count, recipients);
    assert.deepEqual(
      [times(earlier), earlier?.leftOut],
      [kept, leftOut],
      `${count} attempts, ${recipients} recipients`,
    );
  }
});

test('an answer has as many of the last attempts of each recipient as fit', () => {
  const all = [history(23), undefined, history(5), history(40)];
  const whole = JSON.stringify(all).length;
  assert.deepEqual(shortened(all, whole), all);
  const some = shortened(all, 2000);
  assert.ok(JSON.stringify(some).length <= 2000);
  const [first, none, second, third] = some;
  assert.equal(none, undefined);
  assert.ok(times(second).length > 1);
  for (const [short, long, count] of [
    [first, all[0], 23],
    [third, all[3], 40],
  ] as const) {
    assert.equal(times(short).at(-1), times(long).at(-1));
    assert.equal(times(short).length + (short?.leftOut ?? 0), count);
  }
});

test('a long reply is cut', () => {
  const outcome = { at: 1, reply: reply(451, '4.0.0', 'x'.repeat(5000)) };
  const recipient = {
    ...{ recipient: { address: 'bob@peer.example' }, busy: false, nextHop: 'mx:peer.example' },
    status: { state: 'deferred' as const, attempts: 1, nextAttempt: 2, outcome },
  };
  keepAttempt({ recipients: [recipient] }, recipient);
  const { earlier } = recipient as typeof recipient & { earlier?: EarlierAttempts };
  assert.equal(earlier?.attempts[0]?.nextHop, 'mx:peer.example');
  assert.ok((earlier?.attempts[0]?.reply.text.length ?? 0) < 600);
});

test('the other hosts of an attempt are kept with it, a few of them and in few words', async () => {
  const host = (n: number) => ({
    host: `mx${n}.peer.example[192.0.2.${n}]:25`,
    reply: reply(451, '4.3.0', 'x'.repeat(900)),
  });
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const queueId = await router.send({ envelope: envelope(['bob@peer.example']) });
  await (await router.delivery.next()).end('deferred', LATER, { others: [1, 2, 3, 4, 5, 6].map(host) });
  const queued = (await router.show(queueId)).entry.recipients[0];
  assert.deepEqual(
    queued?.others?.map((one) => one.host),
    [1, 2, 3, 4].map((n) => host(n).host),
  );
  assert.ok(JSON.stringify(queued?.others).length < 1300);
  const { entries } = await router.service.handlers['message-list']({ limit: 10 }, router.context());
  assert.equal(entries[0]?.recipients[0]?.others, undefined, 'not in lists');

  await retry(router, queueId);
  await (await router.delivery.next()).end('delivered', OK, { others: [host(9)] });
  const left = (await router.show(queueId)).entry.recipients[0];
  assert.deepEqual(left?.earlier?.attempts[0]?.others, queued?.others);
  assert.deepEqual(
    left?.others?.map((one) => one.host),
    [host(9).host],
  );
});

test('the more attempts a message may have, the fewer of their other hosts are kept', () => {
  const others = Array.from({ length: 9 }, () => ({ reply: LATER }));
  const kept = [1, 23, 250, 251, 500, 1000, 1001].map((attempts) => keptHosts(others, attempts)?.length);
  assert.deepEqual(kept, [4, 4, 4, 3, 2, 1, undefined]);
  assert.equal(keptHosts([], 1), undefined);
});

const retry = async (router: TestRouter, queueId: string): Promise<void> => {
  await router.service.handlers['message-retry']({ queueId }, router.context());
};

test('every attempt is shown, in the queue, after a restart, and of the receipt', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  first.signer.answer = () => ({
    ...{ outcome: 'signed', header: 'DKIM-Signature: x\r\n', keys: [{ domain: 'sender.example', selector: 's1' }] },
  });
  const id = await first.send({ envelope: envelope(['bob@peer.example', 'carol@peer.example']), originating: true });
  const job = await first.delivery.next();
  await job.content();
  const tls = { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' };
  const outcome = { at: 1000, host: 'mx1.peer.example[192.0.2.1]:25', reply: LATER, tls };
  await job.job.finish(job.job.recipients.map(({ index }) => ({ index, state: 'deferred', outcome })));
  assert.equal((await first.show(id)).entry.recipients[0]?.earlier, undefined);
  await retry(first, id);
  const second = await first.delivery.next();
  await second.job.finish([
    await second.endOne('bob@peer.example', 'delivered', OK),
    await second.endOne('carol@peer.example', 'deferred', LATER),
  ]);
  const { entry } = await first.show(id);
  const [bob, carol] = entry.recipients;
  const keysUsed = [{ domain: 'sender.example', selector: 's1' }];
  assert.deepEqual(bob?.earlier, { attempts: [{ ...outcome, nextHop: bob?.nextHop, signatures: keysUsed }] });
  assert.deepEqual(carol?.earlier, bob?.earlier);
  assert.equal(bob?.nextHop, 'mx:peer.example');
  await first.stop();

  await using again = await TestRouter.start(folder.path);
  await retry(again, id);
  await (await again.delivery.next()).end('failed', NO_USER);
  const { entry: receipt, finished } = await again.show(id);
  assert.equal(finished, true);
  assert.deepEqual(receipt.recipients[0]?.earlier, bob?.earlier);
  const [, last] = receipt.recipients;
  assert.deepEqual(
    last?.earlier?.attempts.map(({ reply: { code } }) => code),
    [451, 451],
  );
  assert.equal(last?.status.state, 'failed');
});

test('what an operator removes keeps its last attempt; what is delivered at its first has none before it', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const [removed, delivered] = [
    await router.send({ envelope: envelope(['bob@peer.example']) }),
    await router.send({ envelope: envelope(['bob@peer.example']) }),
  ];
  await (await router.delivery.next()).end('deferred', LATER);
  await (await router.delivery.next()).end('delivered', OK);
  await router.service.handlers['message-remove']({ queueId: removed, notify: false }, router.context());
  const [bob] = (await router.show(removed)).entry.recipients;
  assert.deepEqual(
    bob?.earlier?.attempts.map(({ reply: { text } }) => text),
    [LATER.text],
  );
  assert.match(bob?.status.state === 'failed' ? bob.status.outcome.reply.text : '', /an operator took/);
  assert.equal((await router.show(delivered)).entry.recipients[0]?.earlier, undefined);
});
