import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, messageOf, OK, TestRouter } from '#test/unit/router/fixture.ts';

const MB = 1024 * 1024;
const MESSAGES = 100;
const SIZE = 6 * MB;
/** V8 lets its garbage grow under load; all of the messages would be three times as much. */
const MOST_MB = 200;

/** Memory that only this process has, in MB: what the kernel cannot take back as it can pages of files. */
function ownMemory(): number {
  const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}

test('a hundred concurrent large messages, in and out, take a small part of their size in memory', async (t) => {
  if (process.platform !== 'linux') return t.skip('reads /proc');
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  let delivered = 0;
  router.delivery.automatic = async (given) => {
    const opened = await given.job.open();
    assert.ok(opened.ok);
    let bytes = 0;
    for await (const part of opened.read()) bytes += part.length;
    assert.equal(bytes, opened.size);
    await given.end('delivered', OK);
    delivered++;
  };
  const message = messageOf(SIZE);
  const before = ownMemory();
  let peak = before;
  const sampling = setInterval(() => {
    peak = Math.max(peak, ownMemory());
  }, 10).unref();
  await Promise.all(
    Array.from({ length: MESSAGES }, () => router.send({ envelope: envelope(['bob@peer.example']), message })),
  );
  await waitFor(() => delivered === MESSAGES, { what: 'all deliveries', timeout: 60_000 });
  clearInterval(sampling);
  const grown = peak - before;
  t.diagnostic(`${MESSAGES} messages of ${SIZE / MB} MB: memory grew by ${grown.toFixed(0)} MB`);
  assert.ok(grown < MOST_MB, `memory grew by ${grown.toFixed(0)} MB`);
});
