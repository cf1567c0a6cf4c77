import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { keys } from '#services/router/store/records.ts';
import { queueIdFloor } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import type { FoundMessage, MessageSearch } from '#shared/mail/message-search.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, LATER, messageOf, NO_USER, OK, TestRouter } from '#test/unit/router/fixture.ts';

async function find(router: TestRouter, search: MessageSearch, limit = 3): Promise<FoundMessage[]> {
  const found: FoundMessage[] = [];
  for (let below: string | undefined; ; ) {
    const page = await router.service.handlers['message-find']({ ...search, below, limit }, router.context());
    assert.ok(page.messages.length <= limit);
    assert.equal(page.unreadable, 0);
    found.push(...page.messages);
    if (page.next === undefined) return found;
    below = page.next;
  }
}

/** ms since 1970 at which a queue id was made. */
const timeOf = (queueId: string): number =>
  [...queueId.slice(0, 9)].reduce((sum, digit) => sum * 32 + '0123456789ABCDEFGHJKMNPQRSTVWXYZ'.indexOf(digit), 0);

const messageWith = (messageId: string): Buffer =>
  Buffer.concat([Buffer.from(`Message-ID: ${messageId}\r\n`), messageOf(500)]);

type Mail = { from?: string; to: string; original?: string; orcpt?: string; id?: string };

/** Delivers mail to all but one domain, whose mail waits, and one whose mail is refused. */
async function withMail(work: (router: TestRouter, ids: string[]) => Promise<void>, mail: Mail[]): Promise<void> {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  router.delivery.automatic = (job) => {
    if (job.to.some((address) => address.endsWith('@wait.example'))) return job.end('deferred', LATER);
    if (job.to.some((address) => address.endsWith('@no.example'))) return job.end('failed', NO_USER);
    return job.end('delivered', OK);
  };
  const ids: string[] = [];
  for (const { from = 'alice@sender.example', to, original, orcpt, id } of mail) {
    const recipient = { address: to, ...(original && { original }), ...(orcpt && { orcpt }) };
    const e = { ...envelope([]), reversePath: from, recipients: [recipient] };
    ids.push(await router.send({ envelope: e, ...(id !== undefined && { message: messageWith(id) }) }));
  }
  await waitFor(async () => (await router.status()).active === 0, { what: 'every attempt to end' });
  await work(router, ids);
}

const MAIL: Mail[] = [
  { to: 'bob@peer.example', id: '<one@sender.example>' },
  { to: 'Bob@peer.example', from: '' },
  { to: 'carol@sub.peer.example', from: 'dave@other.example' },
  { to: 'bob@wait.example', original: 'sales@peer.example' },
  { to: 'erin@notpeer.example', from: 'bob@peer.example', orcpt: 'rfc822;first@list.example' },
  { to: 'odd!name@peer-x.example', from: 'alice!x@sender.example' },
  { to: 'frank@no.example', from: 'Gina@BÜCHER.example' },
];

describe('messages and receipts are found', () => {
  const rows: [string, MessageSearch, number[]][] = [
    ['all', {}, [6, 5, 4, 3, 2, 1, 0]],
    ['a recipient, without regard to case', { to: 'BOB@Peer.Example' }, [1, 0]],
    ['a domain and what is below it', { to: 'peer.example' }, [3, 2, 1, 0]],
    ['a domain that begins like another', { to: 'peer-x.example' }, [5]],
    ['the recipient before an alias', { to: 'sales@peer.example' }, [3]],
    ['ORCPT', { to: 'first@list.example' }, [4]],
    ['a sender', { from: 'dave@other.example' }, [2]],
    ['a sender that another one begins like', { from: 'alice@sender.example' }, [3, 0]],
    ['"!" in an address', { from: 'alice!x@sender.example', to: 'odd!name@peer-x.example' }, [5]],
    ['a domain of senders', { from: 'sender.example' }, [5, 3, 0]],
    ['an IDN', { from: 'xn--bcher-kva.example' }, [6]],
    ['sender and recipient', { from: 'sender.example', to: 'peer.example' }, [3, 0]],
    ['either', { about: 'bob@peer.example' }, [4, 1, 0]],
    ['a Message-ID', { messageId: '<one@sender.example>' }, [0]],
    ['a Message-ID without brackets', { about: 'one@sender.example' }, [0]],
    ['nothing', { to: 'nobody@peer.example' }, []],
    ['what waits', { state: 'waiting' }, [3]],
    ['what waits for a domain', { state: 'waiting', to: 'peer.example' }, [3]],
    ['what waits for another one', { state: 'waiting', to: 'peer-x.example' }, []],
    ['what was delivered', { state: 'delivered', from: 'sender.example' }, [5, 0]],
    ['what failed', { state: 'failed' }, [6]],
    ['what is held', { state: 'held' }, []],
    ['a domain that an administrator is bounded to', { domains: ['peer.example'] }, [4, 3, 1, 0]],
    ['several of them', { domains: ['Sub.Peer.example', 'no.example'] }, [6, 2]],
    ['another domain in these bounds', { domains: ['peer.example'], to: 'peer-x.example' }, []],
    ['what waits in these bounds', { domains: ['peer.example', 'no.example'], state: 'waiting' }, [3]],
  ];
  test('by what is asked, newest first', () =>
    withMail(async (router, ids) => {
      for (const [what, search, expected] of rows) {
        const found = (await find(router, search)).map(({ queueId }) => ids.indexOf(queueId)).filter((n) => n >= 0);
        assert.deepEqual(found, expected, what);
      }
      const byId = await find(router, { queueId: ids[3] ?? '' });
      assert.deepEqual(
        byId.map(({ queueId, state }) => [queueId, state]),
        [[ids[3], 'deferred']],
      );
      assert.deepEqual(await find(router, { queueId: ids[3] ?? '', to: 'else@peer.example' }), []);
      assert.deepEqual(await find(router, { queueId: '0000000000000000' }), []);
    }, MAIL));

  test('with what became of them', () =>
    withMail(async (router, ids) => {
      const [gina] = await find(router, { to: 'frank@no.example' });
      assert.deepEqual(
        [gina?.state, gina?.counts, gina?.recipients[0]?.last?.reply],
        ['finished', { failed: 1 }, NO_USER],
      );
      const [alias] = await find(router, { to: 'sales@peer.example' });
      assert.deepEqual([alias?.recipients[0]?.original, alias?.counts], ['sales@peer.example', { deferred: 1 }]);
      // The DSN about it, which has its own Message-ID.
      const [dsn] = await find(router, { from: '', to: 'Gina@bücher.example' });
      assert.deepEqual(
        [dsn?.messageId, ids.includes(dsn?.queueId ?? '')],
        [`<${dsn?.queueId}@mx.sealpost.test>`, false],
      );
    }, MAIL));

  test('by the time of their arrival', () =>
    withMail(async (router, ids) => {
      const all = await find(router, { to: 'peer.example' });
      // That of the queue id: the same, but for a clock that was set back, as other tests in this process do.
      const middle = timeOf(all[1]?.queueId ?? '');
      const since = await find(router, { to: 'peer.example', since: middle });
      const until = await find(router, { to: 'peer.example', until: middle });
      assert.deepEqual(
        [...since, ...until].map(({ queueId }) => queueId),
        all.map(({ queueId }) => queueId),
      );
      const floor = queueIdFloor(middle);
      assert.ok(since.every(({ queueId }) => queueId >= floor) && until.every(({ queueId }) => queueId < floor));
      assert.deepEqual(await find(router, { until: 1 }), []);
      assert.equal((await find(router, { since: middle })).length >= since.length, true);
      assert.equal(ids.length, MAIL.length);
    }, MAIL));
});

test('of many recipients those come first that were asked for', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const many = Array.from({ length: 50 }, (_, n) => `r${n}@peer.example`);
  await router.send({ envelope: envelope(many) });
  const [found] = await find(router, { to: 'r42@peer.example' });
  assert.deepEqual(
    [found?.recipients.length, found?.recipients[0]?.address, found?.counts],
    [10, 'r42@peer.example', { waiting: 50 }],
  );
});

test('what the index does not have yet is found; a damaged receipt is counted', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  first.delivery.automatic = (job) => job.end('delivered', OK);
  const old = await first.send({ envelope: envelope(['a@b.example']) });
  const bad = await first.send({ envelope: envelope(['c@b.example']) });
  await waitFor(async () => (await first.status()).active === 0, { what: 'the delivery' });
  await first.stop();
  const store = await Store.open(`${folder.path}/queue`, silentLogger);
  const sealed = await store.get(keys.receipt(bad));
  await store.write([{ type: 'put', key: keys.receipt(bad), value: Buffer.from(sealed ?? '').fill(0, 40, 41) }]);
  await store.close();
  await using again = await TestRouter.start(folder.path);
  assert.equal((await find(again, { queueId: old })).length, 1);
  const page = await again.service.handlers['message-find']({ to: 'a@b.example', limit: 5 }, again.context());
  assert.deepEqual(
    page.messages.map(({ queueId }) => queueId),
    [old],
  );
  assert.equal(
    (await again.service.handlers['message-find']({ to: 'b.example', limit: 5 }, again.context())).unreadable,
    1,
  );
});

test('a sender of much mail and a domain of few recipients find what is of both', () =>
  withMail(
    async (router, ids) => {
      const search = { from: 'alice@sender.example', to: 'peer.example' };
      const found = (await find(router, search)).map(({ queueId }) => ids.indexOf(queueId));
      assert.deepEqual(found, [40, 20, 0]);
    },
    Array.from({ length: 60 }, (_, n) => ({ to: n % 20 === 0 ? 'a@peer.example' : 'a@else.example' })),
  ));

test('of mail from elsewhere, a search in bounds tells the recipients within them alone', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  router.delivery.automatic = (job) => job.end('delivered', OK);
  const recipients = ['bob@mine.example', 'eve@theirs.example'].map((address) => ({ address }));
  for (const reversePath of ['x@far.example', 'x@mine.example'])
    await router.send({ envelope: { ...envelope([]), reversePath, recipients } });
  await waitFor(async () => (await find(router, { state: 'delivered' })).length === 2, { what: 'both to leave' });
  const shown = (await find(router, { domains: ['mine.example'] })).map(({ recipients: all, counts }) => [
    all.map(({ address }) => address),
    counts,
  ]);
  assert.deepEqual(shown, [
    [['bob@mine.example', 'eve@theirs.example'], { delivered: 2 }],
    [['bob@mine.example'], { delivered: 1 }],
  ]);
});
