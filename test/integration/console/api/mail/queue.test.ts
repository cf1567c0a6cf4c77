import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { MessageReply } from '#services/console/schemas/messages.ts';
import type { ChangeReply, DirectiveReply, QueueGroups } from '#services/console/schemas/queue.ts';
import type { ConsoleClient } from '#test/kit/console/client.ts';
import { MailSite } from '#test/kit/console/mail-site.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The queues through the API: what waits for whom, and what is done with it. */

let mail: MailSite;
let watcher: ConsoleClient;
let robot: ConsoleClient;

before(async () => {
  mail = await MailSite.start();
  watcher = mail.site.program('watcher');
  robot = mail.site.program('robot');
});
after(async () => await mail[Symbol.asyncDispose]());

async function change(body: object): Promise<ChangeReply> {
  const { status, text, json } = await robot.post('/api/queue/change', body);
  assert.equal(status, 200, text);
  return json;
}

async function show(id: string): Promise<MessageReply> {
  return (await robot.get(`/api/messages/${id}`)).json;
}

async function groups(query: string): Promise<QueueGroups> {
  const { status, text, json } = await watcher.get(`/api/destinations${query}`);
  assert.equal(status, 200, text);
  return json;
}

const cause = (id: string, wanted: string): Promise<unknown> =>
  waitFor(async () => (await show(id)).cause === wanted, { what: `${id} to be ${wanted}` });

describe('mail that is named', () => {
  test('is held, released, retried, returned and removed', async () => {
    const id = await mail.send({ to: ['later@one.test'] });
    await cause(id, 'deferred-by-host');
    const named = { filter: { ids: [id] } };
    assert.equal((await change({ operation: 'hold', ...named, reason: 'to look at it' })).count, 1);
    await cause(id, 'held-by-operator');
    const attempts = async (): Promise<number> =>
      (await show(id)).steps.filter(({ kind }) => kind === 'attempt').length;
    const tried = async (operation: string): Promise<void> => {
      const before = await attempts();
      assert.equal((await change({ operation, ...named })).count, 1);
      await waitFor(async () => (await attempts()) > before, { what: 'another attempt' });
      await cause(id, 'deferred-by-host');
    };
    await tried('release');
    await tried('retry');
    assert.equal((await change({ operation: 'bounce', ...named, reason: 'nobody there' })).count, 1);
    await cause(id, 'removed');
    assert.match((await show(id)).sentence, /by an operator .* a notice went to <alice@example.com>/);
    await waitFor(() => mail.sink.messages.some(({ data }) => data.includes('nobody there')), { what: 'the report' });

    const other = await mail.send({ to: ['later@one.test'] });
    await cause(other, 'deferred-by-host');
    assert.equal((await change({ operation: 'remove', filter: { ids: [other] } })).count, 1);
    await cause(other, 'removed');
    const { missing, count } = await change({ operation: 'remove', filter: { ids: [other] } });
    assert.deepEqual([count, missing.map((one) => one.id)], [0, [other]]);
    assert.match(await mail.site.node.sealpost('audit', '--json'), /console token robot/);
  });

  test('is not changed by a viewer, nor without saying which', async () => {
    const id = await mail.send({ to: ['later@viewer.test'] });
    const body = { operation: 'remove', filter: { ids: [id] } };
    assert.equal((await watcher.post('/api/queue/change', body)).status, 403);
    for (const wrong of [
      { operation: 'remove', filter: {} },
      { operation: 'remove', filter: { ids: [id] }, all: true },
      { operation: 'delete', filter: { ids: [id] } },
      { operation: 'remove', filter: { ids: [] } },
      { operation: 'remove', filter: { ids: Array.from({ length: 501 }, () => id) } },
      { operation: 'remove', filter: { domain: '' } },
      { operation: 'remove', filter: { nonsense: 1 } },
    ]) {
      assert.equal((await robot.post('/api/queue/change', wrong)).status, 422, JSON.stringify(wrong));
    }
    assert.equal(
      (await robot.post('/api/queue/change', { operation: 'reroute', filter: { ids: [id] }, via: 'x' })).status,
      422,
    );
    assert.equal((await show(id)).queued, true);
  });
});

describe('much mail', () => {
  test('is grouped, counted first, and changed no further than it was counted', async () => {
    for (let n = 0; n < 5; n++) await mail.send({ to: [`later+${n}@much.test`] });
    await waitFor(async () => (await groups('?by=destination&domain=much.test')).groups[0]?.last !== undefined, {
      what: 'replies',
    });
    const all = await groups('');
    const [group] = all.groups.filter(({ key }) => key === 'much.test');
    assert.equal(group?.messages, 5);
    assert.equal(group?.last?.reply, '451 4.7.1 Greylisted, come again');
    assert.ok((group?.next ?? 0) > Date.now());
    const byReply = await groups('?by=reply');
    const reply = byReply.groups.find(({ key }) => key.startsWith('451 4.7.1'));
    assert.ok((reply?.messages ?? 0) >= 5);

    const filter = { domain: 'much.test' };
    const counted = await change({ operation: 'hold', filter, dryRun: true });
    assert.deepEqual([counted.count, counted.done], [5, true]);
    assert.equal((await groups('?domain=much.test')).groups[0]?.held, 0, 'only counted');
    const late = await mail.send({ to: ['later@much.test'] });
    const places = counted.places.map(({ node, until }) => ({ node, until, done: false }));
    assert.equal((await change({ operation: 'hold', filter, places })).count, 5);
    assert.equal((await groups('?domain=much.test')).groups[0]?.held, 5);
    assert.equal((await show(late)).state, 'waiting');
    assert.equal((await change({ operation: 'remove', filter })).count, 6);
    assert.deepEqual((await groups('?domain=much.test')).groups, []);
  });

  test('of one reply is found by the pattern that a summary has of it', async () => {
    await mail.send({ to: ['nasty@pattern.test'] });
    const found = await waitFor(
      async () => {
        const all = (await groups('?by=reply&domain=pattern.test')).groups.filter(({ last }) => last !== undefined);
        return all.length > 0 && all.map(({ key }) => key);
      },
      { what: 'its reply' },
    );
    assert.equal(found.length, 1);
    const { count } = await change({
      operation: 'bounce',
      filter: { reply: found[0], domain: 'pattern.test' },
      dryRun: true,
    });
    assert.equal(count, 1);
  });
});

describe('a destination', () => {
  test('is suspended and resumed, and an administrator of some domains cannot', async () => {
    const suspend = { kind: 'suspend', about: 'domain', name: 'paused.test' };
    const set = { ...suspend, forMs: 3_600_000, reason: 'it moves' };
    using theirs = mail.site.program('theirs');
    for (const who of [watcher, theirs]) assert.equal((await who.post('/api/directives', set)).status, 403);
    const { directive, lacking }: DirectiveReply = (await robot.post('/api/directives', set)).json;
    assert.deepEqual([directive.by, lacking], ['token robot', []]);
    const id = await mail.send({ to: ['bob@paused.test'] });
    await cause(id, 'suspended');
    const { groups: all, directives } = await groups('?domain=paused.test');
    assert.equal(all[0]?.suspended?.reason, 'it moves');
    assert.equal(directives.length, 1);
    assert.equal((await robot.post('/api/directives/end', suspend)).status, 200);
    await cause(id, 'delivered');
    assert.equal((await robot.post('/api/directives/end', suspend)).status, 404);
  });

  test('is redirected, to what a route may name and nothing else', async () => {
    const redirect = { kind: 'redirect', about: 'domain', name: 'moved.test' };
    const set = { ...redirect, forMs: 3_600_000, via: `smtp://127.0.0.1:${mail.sink.port}` };
    for (const wrong of [
      { ...set, via: undefined },
      { ...set, via: 'smtp://user:secret@127.0.0.1' },
      { ...set, via: 'javascript:alert(1)' },
      { ...set, about: 'sender' },
      { ...set, forMs: 0 },
      { ...set, forMs: 1e12 },
      { kind: 'suspend', about: 'domain', name: 'moved.test', forMs: 1000, via: 'mx' },
    ]) {
      assert.equal((await robot.post('/api/directives', wrong)).status, 422, JSON.stringify(wrong));
    }
    assert.equal((await robot.post('/api/directives', set)).status, 200);
    const id = await mail.send({ to: ['later@moved.test'] });
    await cause(id, 'deferred-by-host');
    const { recipients } = await show(id);
    assert.match(recipients[0]?.notes.join() ?? '', /redirected by token robot/);
    assert.equal((await robot.post('/api/directives/end', redirect)).status, 200);
  });
});

describe('an administrator of some domains', () => {
  test('sees the queues of her mail alone, and suspends no destination', async () => {
    const stranger = { from: 'alice@other.example' };
    await cause(await mail.send({ to: ['later@shared.test'] }), 'deferred-by-host');
    await cause(await mail.send({ ...stranger, to: ['later@shared.test', 'later@unseen.test'] }), 'deferred-by-host');
    const seen = async (name: 'ours' | 'theirs', query = ''): Promise<QueueGroups> => {
      using program = mail.site.program(name);
      const { status, text, json } = await program.get(`/api/destinations${query}`);
      assert.equal(status, 200, text);
      return json;
    };
    const count = ({ groups: all }: QueueGroups, key: string): number =>
      all.find((one) => one.key === key)?.messages ?? 0;
    assert.deepEqual([count(await groups(''), 'shared.test'), count(await groups(''), 'unseen.test')], [2, 1]);
    assert.deepEqual([count(await seen('ours'), 'shared.test'), count(await seen('ours'), 'unseen.test')], [1, 0]);
    assert.deepEqual([count(await seen('theirs'), 'shared.test'), count(await seen('theirs'), 'unseen.test')], [1, 1]);
    assert.deepEqual(
      (await seen('theirs', '?by=sender')).groups.map(({ key }) => key),
      ['alice@other.example'],
    );

    using ours = mail.site.program('ours');
    const directive = { kind: 'suspend', about: 'domain', name: 'shared.test' };
    assert.equal((await ours.post('/api/directives', { ...directive, forMs: 60_000 })).status, 403);
    assert.equal((await robot.post('/api/directives', { ...directive, forMs: 60_000 })).status, 200);
    const { directives, groups: hers } = await seen('ours');
    assert.deepEqual(directives, []);
    assert.ok(hers.find(({ key }) => key === 'shared.test')?.suspended, 'why her mail waits');
    assert.equal((await ours.post('/api/directives/end', directive)).status, 403);
    assert.equal((await robot.post('/api/directives/end', directive)).status, 200);
  });
});
