import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { MessageList, MessageReply, MessageText } from '#services/console/schemas/messages.ts';
import type { ConsoleClient } from '#test/kit/console/client.ts';
import { MailSite, NASTY } from '#test/kit/console/mail-site.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Mail through the API: found, followed, read, and seen by nobody whose it is not. */

let mail: MailSite;
let watcher: ConsoleClient;
let robot: ConsoleClient;
const ids: Record<string, string> = {};

before(async () => {
  mail = await MailSite.start();
  watcher = mail.site.program('watcher');
  robot = mail.site.program('robot');
  ids['delivered'] = await mail.send();
  ids['waiting'] = await mail.send({ to: ['later@slow.test', 'bob@example.net'], subject: NASTY });
  ids['failed'] = await mail.send({ from: 'carol@example.com', to: ['bounce@example.net'] });
  ids['held'] = await mail.send({ to: ['later@held.test'] });
  await mail.site.node.sealpost('queue', 'hold', ids['held'] ?? '');
  ids['shared'] = await mail.send({ from: 'eve@stranger.test', to: ['later@example.com', 'later@other.example'] });
  await waitFor(async () => (await list(robot, '?state=waiting')).length === 2, { what: 'mail that waits' });
  await waitFor(async () => (await list(robot, '?state=failed')).length === 1, { what: 'mail that failed' });
});
after(async () => await mail[Symbol.asyncDispose]());

async function page(client: ConsoleClient, query = ''): Promise<MessageList> {
  const { status, text, json } = await client.get(`/api/messages${query}`);
  assert.equal(status, 200, text);
  return json;
}

const list = async (client: ConsoleClient, query = ''): Promise<string[]> =>
  (await page(client, query)).rows.map(({ id }) => id ?? '');

async function show(client: ConsoleClient, id: string | undefined): Promise<MessageReply> {
  const { status, text, json } = await client.get(`/api/messages/${id}`);
  assert.equal(status, 200, text);
  return json;
}

describe('a search', () => {
  test('finds mail by its state, and each message in one', async () => {
    assert.deepEqual(await list(watcher, '?state=held'), [ids['held']]);
    assert.deepEqual(await list(watcher, '?state=waiting'), [ids['shared'], ids['waiting']]);
    assert.deepEqual(await list(watcher, '?state=failed'), [ids['failed']]);
    const delivered = await list(watcher, '?state=delivered');
    assert.ok(delivered.includes(ids['delivered'] ?? ''));
    assert.equal((await list(watcher)).length, 4 + delivered.length);
  });

  test('finds it by queue id, Message-ID, address, domain and time', async () => {
    const { messageId = '', arrived = 0 } = await show(watcher, ids['failed']);
    const ask = (q: string): Promise<string[]> => list(watcher, `?q=${encodeURIComponent(q)}`);
    assert.deepEqual(await ask(ids['failed'] ?? ''), [ids['failed']]);
    assert.deepEqual(await ask(messageId), [ids['failed']]);
    assert.deepEqual(await ask(' Bounce@Example.NET '), [ids['failed']]);
    assert.deepEqual(await ask('slow.test'), [ids['waiting']]);
    assert.deepEqual(await ask('nobody@nowhere.test'), []);
    assert.deepEqual(await list(watcher, '?to=held.test'), [ids['held']]);
    assert.deepEqual(await list(watcher, `?q=bounce@example.net&since=${arrived + 1}`), []);
    assert.deepEqual(await list(watcher, `?q=bounce@example.net&until=${arrived + 1}`), [ids['failed']]);
  });

  test('goes on page by page, newest first, with nothing twice and nothing missing', async () => {
    const all = await list(watcher);
    assert.deepEqual(all, all.toSorted().reverse());
    const found: string[] = [];
    for (let next: string | undefined = ''; next !== undefined; ) {
      const query: string = next === '' ? '?limit=2' : `?limit=2&below=${next}`;
      const { rows, next: rest }: MessageList = await page(watcher, query);
      assert.ok(rows.length <= 2);
      found.push(...rows.map(({ id = '' }) => id));
      next = rest;
    }
    assert.deepEqual(found, all);
  });

  test('finds what was refused at the door, by address and by client', async () => {
    await assert.rejects(mail.send({ from: 'mallory@refused.test', to: ['x'.repeat(300)] }), /^Error: 5/);
    const [row] = (await page(watcher, '?state=refused&q=mallory@refused.test')).rows;
    assert.equal(row?.from, 'mallory@refused.test');
    assert.match(row?.refusal?.sentence ?? '', /refused the mail from <mallory@refused.test>/);
    assert.ok((await page(watcher, '?q=127.0.0.1')).rows.every(({ state }) => state === 'refused'));
    // Without words, what strangers do at the door is not among the mail.
    assert.ok((await page(watcher)).rows.every(({ state }) => state !== 'refused'));
  });

  test('that makes no sense is refused', async () => {
    for (const query of [
      '?below=../x',
      '?state=lost',
      '?limit=0',
      '?limit=501',
      '?q=',
      '?q=%20',
      '?since=yesterday',
      '?x=1',
    ]) {
      assert.equal((await watcher.get(`/api/messages${query}`)).status, 422, query);
    }
    assert.equal((await watcher.get(`/api/messages?q=${'a'.repeat(1001)}`)).status, 422);
  });
});

describe('one message', () => {
  test('says why it waits, and has each step', async () => {
    const told = await show(watcher, ids['waiting']);
    assert.equal(told.cause, 'deferred-by-host');
    assert.match(told.sentence, /waits in the queue of edge-1: .* deferred it \(attempt 1, /);
    assert.deepEqual(told.steps.map((step) => (step.kind === 'attempt' ? step.outcome : step.kind)).toSorted(), [
      'accepted',
      'deferred',
      'delivered',
      'next',
    ]);
    assert.deepEqual(
      told.recipients.map(({ address, state }) => [address, state]),
      [
        ['later@slow.test', 'deferred'],
        ['bob@example.net', 'delivered'],
      ],
    );
    assert.deepEqual(told.may, { change: false, read: false }, 'a viewer');
    assert.deepEqual((await show(robot, ids['waiting'])).may, { change: true, read: true });
  });

  test('that was returned leads to its notice', async () => {
    const { steps, sentence, queued } = await show(watcher, ids['failed']);
    const notice = steps.find((step) => step.kind === 'notice');
    assert.equal(notice?.to, 'carol@example.com');
    assert.match(sentence, /refused for good .* with "550 5.1.1 no such user"/);
    assert.equal(queued, false);
    assert.equal((await show(watcher, notice?.id)).from, '');
  });

  test('that nobody knows is not found, whatever its name', async () => {
    for (const id of ['0000000000000000', '..%2f..%2fsession', '%00', 'x'.repeat(250)]) {
      const { status, text } = await watcher.get(`/api/messages/${id}`);
      assert.equal(status, 404, `${id}: ${text}`);
    }
  });

  test('is read by operators alone, as it would be sent, and the audit log has it', async () => {
    const path = `/api/messages/${ids['waiting']}/text`;
    assert.equal((await watcher.get(path)).status, 403);
    const { text, total }: MessageText = (await robot.get(path)).json;
    assert.ok(text.includes(`Subject: ${NASTY}\r\n`));
    assert.equal(Buffer.byteLength(text), total);
    assert.equal(((await robot.get(`${path}?from=${total - 3}`)).json as MessageText).text.length, 3);
    assert.equal((await robot.get(`/api/messages/${ids['delivered']}/text`)).status, 404, 'it has left');
    const audit = await mail.site.node.sealpost('audit', '--json');
    assert.match(audit, /message-read/);
    assert.match(audit, /console token robot/);
  });
});

describe('an administrator of some domains', () => {
  test('finds her mail alone, and of that of strangers her recipients', async () => {
    using theirs = mail.site.program('theirs');
    const { rows } = await page(theirs);
    assert.deepEqual(
      rows.map(({ id, to, others }) => ({ id, to, others })),
      [{ id: ids['shared'], to: 'later@other.example', others: 0 }],
    );
    assert.deepEqual(await list(theirs, '?q=example.net'), []);
    assert.deepEqual(await list(theirs, `?q=${ids['held']}`), []);
    const text = JSON.stringify(await show(theirs, ids['shared']));
    assert.ok(text.includes('later@other.example'));
    assert.ok(!text.includes('example.com'), 'who else got it is no business of hers');
    assert.ok((await list(theirs, '?state=refused')).length === 0);
  });

  test('hears of other mail what she would of none', async () => {
    using theirs = mail.site.program('theirs');
    const answer = await theirs.get(`/api/messages/${ids['held']}`);
    const none = await theirs.get('/api/messages/0000000000000000');
    assert.equal(answer.status, 404);
    assert.equal(answer.text.replaceAll(ids['held'] ?? '', ''), none.text.replaceAll('0000000000000000', ''));
    assert.equal((await theirs.get(`/api/messages/${ids['held']}/text`)).status, 404);
  });

  test('sees all of what her domain sends', async () => {
    using ours = mail.site.program('ours');
    const { recipients } = await show(ours, ids['waiting']);
    assert.equal(recipients.length, 2);
    assert.ok((await list(ours)).includes(ids['held'] ?? ''));
  });

  test('neither changes nor reads what is for others too', async () => {
    using theirs = mail.site.program('theirs');
    assert.deepEqual((await show(theirs, ids['shared'])).may, { change: false, read: false });
    assert.equal((await theirs.get(`/api/messages/${ids['shared']}/text`)).status, 403);
    const change = (filter: object): Promise<{ status: number }> =>
      theirs.post('/api/queue/change', { operation: 'remove', filter });
    assert.equal((await change({ ids: [ids['shared']] })).status, 403);
    assert.equal((await change({ ids: [ids['held']] })).status, 404);
    assert.equal((await change({ domain: 'other.example' })).status, 403, 'by ids alone');
    // A reverse-path is what anybody writes: it makes the mail of others not hers.
    using ours = mail.site.program('ours');
    assert.equal((await show(ours, ids['held'])).may.change, false);
    assert.ok((await list(robot, '?state=waiting')).includes(ids['shared'] ?? ''));
    const own = await mail.send({ from: 'eve@stranger.test', to: ['later@other.example'] });
    await waitFor(async () => (await show(theirs, own)).may.change, { what: 'her own mail' });
    const reroute = { operation: 'reroute', via: 'smtp://127.0.0.1:9', filter: { ids: [own] } };
    assert.match((await theirs.post('/api/queue/change', reroute)).text, /operators of all domains/);
    assert.equal((await change({ ids: [own] })).status, 200);
    assert.equal((await show(theirs, own)).cause, 'removed');
  });
});
