import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { rangeOf } from '#services/router/store/records.ts';
import { silentLogger } from '#shared/log.ts';
import type { MessageSearch } from '#shared/mail/message-search.ts';
import { runAndKill } from '#test/integration/router/store/run-and-kill.ts';
import { tempDir } from '#test/kit/temp.ts';
import { TestRouter } from '#test/unit/router/fixture.ts';

/** Many: so it does not take thousands of messages until the index writes something. */
const RECIPIENTS = 250;
const LEAST_BLOCKS = 2;

/** Run a router under load for some time, then kill it without warning. */
function killedRun(folder: string, ms: number, accepted: Set<string>): Promise<void> {
  return runAndKill([folder, String(RECIPIENTS)], ms, (event, id) => {
    if (event === 'accepted') accepted.add(id);
  });
}

async function find(router: TestRouter, search: MessageSearch): Promise<string[]> {
  const found: string[] = [];
  for (let below: string | undefined; ; ) {
    const page = await router.service.handlers['message-find']({ ...search, below, limit: 500 }, router.context());
    assert.equal(page.unreadable, 0);
    found.push(...page.messages.map(({ queueId }) => queueId));
    if (page.next === undefined) return found;
    below = page.next;
  }
}

async function blocksIn(folder: string): Promise<number> {
  await using undo = new AsyncDisposableStack();
  const store = undo.adopt(await Store.open(`${folder}/queue`, silentLogger), (opened) => opened.close());
  return (await Array.fromAsync(store.keys(rangeOf('index')))).length;
}

test('a router killed again and again finds all mail that it answered for', async () => {
  await using folder = await tempDir();
  const accepted = new Set<string>();
  for (let round = 0; round < 4 || (await blocksIn(folder.path)) < LEAST_BLOCKS; round++)
    await killedRun(folder.path, 500 + Math.random() * 1000, accepted);

  await using router = await TestRouter.start(folder.path);
  for (const search of [{ to: 'peer.example' }, { to: 'user7@peer.example' }, { from: 'alice@sender.example' }]) {
    const found = await find(router, search);
    assert.deepEqual(found, [...new Set(found)].toSorted().reverse(), 'not each once, the newest first');
    assert.deepEqual(
      [...accepted].filter((id) => !found.includes(id)),
      [],
      JSON.stringify(search),
    );
  }
  assert.deepEqual(await find(router, { to: 'nobody@peer.example' }), []);
});
