import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MessageSearch } from '#shared/mail/message-search.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, LATER, messageOf, OK } from '#test/unit/router/fixture.ts';
import { RouterSite, ready, type SiteRouter } from './router-site.ts';

const MAIL = envelope(['bob@peer.example', 'carol@peer.example']);

describe('mail of a node that is cut off', { ...needs('nats-server'), timeout: 120_000 }, () => {
  const find = (node: SiteRouter, search: MessageSearch) =>
    node.router.service.handlers['message-find']({ ...search, limit: 10 }, node.router.context());
  const held = async (node: SiteRouter): Promise<number> => (await node.copies()).held;

  test('a message is on both disks when it is accepted, follows its fate, and is gone from both', async () => {
    await using site = await RouterSite.start();
    await using a = await site.router('a1');
    await using b = await site.router('b1');
    await ready(a, b);
    const id = await a.router.send({ envelope: MAIL, message: messageOf(300_000) });
    assert.equal(await held(b), 1);
    assert.equal((await a.copies()).elsewhere, 1);
    const job = await a.router.delivery.next();
    await job.job.finish([
      await job.endOne('bob@peer.example', 'delivered', OK),
      await job.endOne('carol@peer.example', 'deferred', LATER),
    ]);
    assert.equal(await held(b), 1);
    await a.router.service.handlers['message-retry']({ queueId: id }, a.router.context());
    await (await a.router.delivery.next()).end('delivered', OK);
    await waitFor(async () => (await held(b)) === 0, { what: 'the copy to go' });
    const receipt = await a.router.show(id);
    assert.deepEqual([receipt.finished, receipt.copy], [true, undefined]);

    // The receipt survives the node that wrote it, with all attempts.
    await a[Symbol.asyncDispose]();
    const copy = await b.router.show(id);
    assert.deepEqual([copy.finished, copy.copy, copy.entry], [true, true, receipt.entry]);
    assert.deepEqual(
      copy.entry.recipients.map(({ earlier }) => earlier?.attempts.map(({ reply: { text } }) => text)),
      [undefined, [LATER.text]],
    );
    for (const search of [
      { to: 'carol@peer.example' },
      { from: 'sender.example' },
      { messageId: '<1@sender.example>' },
    ]) {
      const { messages } = await find(b, search);
      assert.deepEqual(
        messages.map(({ queueId, node, copy: isCopy, state }) => [queueId, node, isCopy, state]),
        [[id, 'a1', true, 'finished']],
      );
    }
    // It is not mail of this node: what all nodes have is added up in the TLS ledger.
    const ledger = await b.router.service.handlers['ledger-list']({ limit: 10 }, b.router.context());
    assert.deepEqual(ledger.rows, []);
  });

  test('the receipt of mail that was removed, and delivered all the same, says so on both', async () => {
    await using site = await RouterSite.start();
    await using a = await site.router('a1');
    await using b = await site.router('b1');
    await ready(a, b);
    const id = await a.router.send({ envelope: envelope(['bob@peer.example']) });
    const job = await a.router.delivery.next();
    assert.equal((await job.job.open()).ok, true);
    await a.router.service.handlers['message-remove']({ queueId: id, notify: false }, a.router.context());
    await waitFor(async () => (await held(b)) === 0, { what: 'the copy to go' });
    await job.end('delivered', OK);
    for (const node of [a, b]) {
      const { entry } = await node.router.show(id);
      assert.equal(entry.recipients[0]?.status.state, 'delivered');
      await a[Symbol.asyncDispose]();
    }
  });

  test('another takes it over, with what was delivered of it; the old node waits, and drops it when it is back', async () => {
    await using site = await RouterSite.start();
    await using a = await site.router('a2');
    await using b = await site.router('b2');
    await ready(a, b);
    const ids = [
      await a.router.send({ envelope: MAIL, message: messageOf(100_000) }),
      await a.router.send({ envelope: MAIL }),
    ];
    const first = await a.router.delivery.next();
    const second = await a.router.delivery.next();
    await first.job.finish([
      await first.endOne('bob@peer.example', 'delivered', OK),
      await first.endOne('carol@peer.example', 'deferred', LATER),
    ]);
    const sent = await first.content().catch((error: Error) => error.message);
    a.cable.cut();
    const jobs = [await b.router.delivery.next('what b takes over'), await b.router.delivery.next('the rest')];
    assert.deepEqual(
      jobs.map((job) => job.to).toSorted((x, y) => x.length - y.length),
      [['carol@peer.example'], ['bob@peer.example', 'carol@peer.example']],
    );
    assert.deepEqual(jobs.map((job) => job.job.queueId).toSorted(), ids.toSorted());
    const content = await jobs.find((job) => job.job.queueId === ids[0])?.content();
    assert.ok(content?.endsWith(messageOf(100_000).toString('latin1')), `whole: ${sent.length}`);

    // The attempt that was under way when the line broke must not end well any more.
    const opened = await second.job.open();
    assert.equal(opened.ok, false);
    assert.match(opened.ok ? '' : opened.reply.text, /lost touch with the cluster/);
    for (const job of jobs) await job.end('delivered', OK);
    a.cable.mend();
    await waitFor(async () => (await a.copies()).handedOver === 2, {
      what: 'a to drop what b took over',
      timeout: 20_000,
    });
    assert.equal((await a.router.status()).active + (await a.router.status()).deferred, 0);
    const receipt = await b.router.show(ids[0] ?? '');
    assert.equal(receipt.finished, true);
    assert.equal(receipt.entry.takenOver?.from, 'a2');
    const carol = receipt.entry.recipients.find(({ recipient }) => recipient.address === 'carol@peer.example');
    assert.deepEqual(
      carol?.earlier?.attempts.map(({ reply: { text } }) => text),
      [LATER.text],
    );
    const { messages } = await find(b, { to: 'carol@peer.example' });
    assert.deepEqual(messages.map(({ queueId }) => queueId).toSorted(), ids.toSorted());
    assert.deepEqual((await find(a, { to: 'carol@peer.example' })).messages.length, 0);
    await ready(a, b);
    const next = await a.router.send({ envelope: MAIL });
    await waitFor(() => a.router.delivery.jobs.some(({ job }) => job.queueId === next), { what: 'new mail at a' });
    assert.equal(await held(b), 1);
  });

  test('a disk that comes back after the take-over sends nothing; a new disk of that name starts empty', async () => {
    await using site = await RouterSite.start();
    await using b = await site.router('b3');
    const a = await site.router('a3');
    await ready(a, b);
    const ids: string[] = [];
    for (let n = 0; n < 50; n++) ids.push(await a.router.send({ envelope: MAIL }));
    for (const given of a.router.delivery.jobs.splice(0, 10)) await given.end('delivered', OK);
    await a[Symbol.asyncDispose]();

    await using fresh = await site.router('a3', { disk: 'a3-new' });
    await waitFor(async () => (await b.copies()).takenOver === 40, { what: 'b to take over', timeout: 20_000 });
    assert.equal((await fresh.router.status()).active, 0);
    await fresh[Symbol.asyncDispose]();

    await using old = await site.router('a3');
    await waitFor(async () => (await old.copies()).handedOver === 40, {
      what: 'the old disk to be emptied',
      timeout: 20_000,
    });
    assert.deepEqual(old.router.delivery.jobs.length, 0);
    assert.equal(b.router.delivery.jobs.length, 40);
    assert.deepEqual(b.router.delivery.jobs.map((job) => job.job.queueId).toSorted(), ids.slice(10).toSorted());
  });

  test('without another router mail is refused, or accepted with a note', async () => {
    await using site = await RouterSite.start();
    await using alone = await site.router('a4', { queue: { 'without-copy': 'accept' } });
    const id = await alone.router.send({ envelope: MAIL });
    const gone = await alone.router.send({ envelope: MAIL });
    assert.equal((await alone.copies()).missing, 2);
    assert.equal((await alone.router.show(id)).entry.alone, true);
    await (await alone.router.delivery.next()).end('delivered', OK);
    await (await alone.router.delivery.next()).end('deferred', LATER);
    assert.equal((await alone.copies()).missing, 1);
    assert.equal((await alone.router.show(id)).finished !== (await alone.router.show(gone)).finished, true);
    await using strict = await site.router('s4');
    await ready(strict);
    await waitFor(async () => (await alone.copies()).missing === 0, { what: 'the copy to be made' });
    await alone[Symbol.asyncDispose]();
    await waitFor(async () => /no other router/.test((await strict.router.status()).refusing ?? ''), {
      ...{ what: 'a refusal', timeout: 20_000 },
    });
    await assert.rejects(strict.router.send({ envelope: MAIL }), { code: 'not-accepting' });
  });

  test('a holder that dies is given up: its mail gets another copy', async () => {
    await using site = await RouterSite.start();
    await using a = await site.router('a5');
    const b = await site.router('b5');
    await ready(a);
    const message = messageOf(700_000);
    for (let n = 0; n < 5; n++) await a.router.send({ envelope: MAIL, message });
    assert.equal(await held(b), 5);
    await b[Symbol.asyncDispose]();
    await using c = await site.router('c5');
    await waitFor(
      async () => {
        const { elsewhere, missing } = await a.copies();
        return elsewhere === 5 && missing === 0 && (await held(c)) === 5;
      },
      { what: 'copies at c', timeout: 20_000 },
    );
    // Its old copies are void.
    await using back = await site.router('b5');
    await waitFor(async () => (await held(back)) === 0, { what: 'void copies to go', timeout: 20_000 });
    assert.equal((await back.copies()).takenOver, 0);
  });

  test('a drain hands the queue over', async () => {
    await using site = await RouterSite.start();
    await using a = await site.router('a6', { queue: { copies: 1 } });
    await using b = await site.router('b6', { queue: { copies: 1 } });
    await ready(a, b);
    const ids: string[] = [];
    for (let n = 0; n < 30; n++) ids.push(await a.router.send({ envelope: MAIL, message: messageOf(n * 5000) }));
    await a.router.service.handlers['message-hold']({ queueId: ids[0] ?? '' }, a.router.context());
    await a.router.service.handlers['queue-drain']({}, a.router.context());
    await assert.rejects(a.router.send({ envelope: MAIL }), { code: 'not-accepting' });
    await waitFor(async () => (await a.copies()).drained, { what: 'the drain', timeout: 30_000 });
    const { active, deferred, hold } = await b.router.status();
    assert.deepEqual([active + deferred, hold], [29, 1]);
    assert.deepEqual(b.router.delivery.jobs.map((job) => job.job.queueId).toSorted(), ids.slice(1).toSorted());
  });
});
