import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { copyPage } from '#services/router/backup/copy-page.ts';
import { QueueWriter } from '#services/router/backup/queue-writer.ts';
import { openClosedQueue } from '#services/router/closed.ts';
import { keys } from '#services/router/store/records.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, LATER, messageOf, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** Mail from the queue of one router, by way of a backup, in the queue of another. */

type Copied = { key: string; payload: Buffer };

/** All records of a queue, as a router that runs gives them. */
async function copyAll(router: TestRouter): Promise<Copied[]> {
  const all: Copied[] = [];
  let after: string | undefined;
  do {
    const { reply, bytes } = await router.service.handlers['message-copy'](
      after === undefined ? {} : { after },
      router.context(),
    );
    assert.ok(bytes.length < 1024 * 1024);
    let at = 0;
    for (const { key, size } of reply.records) {
      all.push({ key, payload: Buffer.from(bytes.subarray(at, at + size)) });
      at += size;
    }
    after = reply.next;
  } while (after !== undefined);
  return all;
}

/** Put them into the queue of a router that does not run. */
async function putBack(data: string, all: readonly Copied[], hold = false): Promise<number> {
  await using queue = await openClosedQueue(data, silentLogger);
  const writer = queue.writer({ from: 'edge-9', hold });
  for (const { key, payload } of all) await writer.add(key, payload);
  await writer.flush();
  return writer.written;
}

const RECIPIENTS = ['bob@peer.example', 'carol@peer.example'];

describe('mail of a backup', () => {
  test('has its records, body and what became of its recipients in another queue, and is delivered once', async () => {
    await using dir = await tempDir('queue');
    const large = messageOf(900_000);
    let copied: Copied[];
    let ids: string[];
    {
      await using router = await TestRouter.start(join(dir.path, 'a'));
      ids = [
        await router.send({ envelope: envelope(RECIPIENTS) }),
        await router.send({ envelope: envelope(['dave@peer.example']), message: large }),
      ];
      // One of two recipients has it already.
      const { job } = await router.delivery.next();
      const outcome = (reply: typeof OK) => ({ at: Date.now(), host: 'mx', reply });
      await job.finish([
        { index: 0, state: 'delivered', outcome: outcome(OK) },
        { index: 1, state: 'deferred', outcome: outcome(LATER) },
      ]);
      copied = await copyAll(router);
    }
    assert.deepEqual(
      copied.filter(({ key }) => key.startsWith('message!')).map(({ key }) => key),
      ids.map(keys.message),
    );
    assert.equal(await putBack(join(dir.path, 'b'), copied), 2);
    await using router = await TestRouter.start(join(dir.path, 'b'));
    const [first = '', second = ''] = ids;
    const { entry } = await router.show(first);
    assert.deepEqual(
      entry.recipients.map(({ status }) => status.state),
      ['delivered', 'deferred'],
    );
    assert.equal(entry.takenOver?.from, 'edge-9');
    const job = await router.delivery.next('the large message');
    assert.deepEqual(job.to, ['dave@peer.example']);
    assert.ok((await job.content()).endsWith(large.toString('latin1')));
    await job.end('delivered', OK);
    await waitFor(async () => (await router.show(second)).finished, { what: 'its receipt' });
    const { known } = await router.service.handlers['message-known'](
      { ids: [first, second, '0000000000000000'] },
      router.context(),
    );
    assert.deepEqual(known, [
      { id: first, as: 'queued' },
      { id: second, as: 'finished' },
    ]);
    const { messages } = await router.service.handlers['message-find'](
      { to: 'carol@peer.example', limit: 10 },
      router.context(),
    );
    assert.deepEqual(
      messages.map(({ queueId }) => queueId),
      [first],
    );
  });

  test('waits for an operator where it is to be held', async () => {
    await using dir = await tempDir('queue');
    let copied: Copied[];
    {
      await using router = await TestRouter.start(join(dir.path, 'a'));
      await router.send({ envelope: envelope(RECIPIENTS) });
      copied = await copyAll(router);
    }
    await putBack(join(dir.path, 'b'), copied, true);
    await using router = await TestRouter.start(join(dir.path, 'b'));
    const { hold, active } = await router.status();
    assert.deepEqual({ hold, active }, { hold: 1, active: 0 });
    assert.equal(router.delivery.jobs.length, 0);
    await router.service.handlers['message-release']({ all: true }, router.context());
    await (await router.delivery.next()).end('delivered', OK);
  });

  test('leaves nothing behind when its restoration is interrupted, whatever was written, and can be repeated', async () => {
    await using dir = await tempDir('queue');
    let copied: Copied[];
    {
      await using router = await TestRouter.start(join(dir.path, 'a'));
      await router.send({ envelope: envelope(RECIPIENTS), message: messageOf(3_000_000) });
      copied = await copyAll(router);
    }
    const data = join(dir.path, 'b');
    for (const part of [1, 2, 50, copied.length - 1]) {
      assert.equal(await putBack(data, copied.slice(0, part)), 0);
      await using router = await TestRouter.start(data);
      const { active, deferred, hold, corrupt } = await router.status();
      assert.deepEqual({ active, deferred, hold, corrupt }, { active: 0, deferred: 0, hold: 0, corrupt: 0 });
    }
    const store = await Store.open(join(data, 'queue'), silentLogger);
    for (const kind of ['message', 'recipient', 'body', 'transfer'])
      for await (const key of store.keys({ gte: `${kind}!`, lt: `${kind}"` })) assert.fail(`${key} was left`);
    await store.close();
    assert.equal(await putBack(data, copied), 1);
    await using router = await TestRouter.start(data);
    assert.equal((await router.status()).active, 1);
  });

  test('is refused where it is not whole, or is something else', async () => {
    await using dir = await tempDir('queue');
    let copied: Copied[];
    {
      await using router = await TestRouter.start(join(dir.path, 'a'));
      await router.send({ envelope: envelope(RECIPIENTS) });
      copied = await copyAll(router);
    }
    const store = await Store.open(join(dir.path, 'b'), silentLogger);
    const write = async (all: readonly Copied[]): Promise<void> => {
      const writer = new QueueWriter(store, { from: 'edge-9', hold: false });
      for (const { key, payload } of all) await writer.add(key, payload);
    };
    const without = (kind: string): Copied[] => copied.filter(({ key }) => !key.startsWith(kind));
    await assert.rejects(write(without('body!')), { code: 'corrupt' });
    await assert.rejects(write(copied.filter(({ key }) => !key.endsWith('!00001'))), { code: 'corrupt' });
    for (const key of [
      'store',
      'adopted',
      'claim!record!x',
      'receipt!06FV3M9E0A00B1C2',
      'message!../x',
      'copy!a.1!b!c',
    ])
      await assert.rejects(write([{ key, payload: Buffer.from('{}') }]), { code: 'corrupt' }, key);
    const [first] = copied;
    if (first !== undefined)
      await assert.rejects(write([{ ...first, payload: Buffer.from('{}') }]), { code: 'corrupt' });
    await store.close();
  });
});

describe('a page of mail', () => {
  test('leaves out what is damaged, names it, and goes on; what left the queue meanwhile is not named', async () => {
    await using dir = await tempDir('queue');
    const ids: string[] = [];
    {
      await using router = await TestRouter.start(dir.path);
      for (let n = 0; n < 4; n++)
        ids.push(await router.send({ envelope: envelope(RECIPIENTS), message: messageOf(300_000) }));
    }
    const store = await Store.open(join(dir.path, 'queue'), silentLogger);
    const [, damaged = '', gone = ''] = ids;
    await store.write([{ type: 'put', key: keys.body(damaged, 3), value: Buffer.from('?') }]);
    let after: string | undefined;
    const found = new Set<string>();
    const whole: string[] = [];
    do {
      const page = await copyPage(store, after);
      for (const id of page.damaged) found.add(id);
      for (const { key } of page.records) {
        if (key.startsWith('message!')) whole.push(key);
        // It is delivered while it is read.
        if (key === keys.body(gone, 0)) {
          await store.write([
            { type: 'del', key: keys.message(gone) },
            { type: 'del', key: keys.body(gone, 9) },
          ]);
        }
      }
      after = page.next;
    } while (after !== undefined);
    assert.deepEqual([...found], [damaged]);
    assert.deepEqual(
      whole,
      [ids[0], ids[3]].map((id) => keys.message(id ?? '')),
    );
    await store.close();
  });

  test('of an empty queue is empty', async () => {
    await using dir = await tempDir('queue');
    await using queue = await openClosedQueue(dir.path, silentLogger);
    assert.deepEqual(await queue.page(undefined), {
      records: [],
      bytes: Buffer.alloc(0),
      damaged: [],
      next: undefined,
    });
  });
});
