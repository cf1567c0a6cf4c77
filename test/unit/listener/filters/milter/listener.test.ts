import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { FakeMilter, type MilterAct } from '#test/kit/filters/fake-milter.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** What a milter answers, as the client and the router see it. */

const HEADER = 'From: a@b.test\r\nX-Old: one\r\nX-Old: two\r\nSubject: test';

async function withMilter(act: MilterAct, more: object = {}, found?: Authenticity) {
  const milter = await FakeMilter.start(act, { actions: 0x31 });
  const filters = [{ name: 'm', type: 'milter', url: milter.url, ...more }];
  const accepting = { action: 'accept', originating: false, junk: false } as const;
  const server = await startListener({
    config: { filters },
    ...(found && {
      policy: { 'message-check': async () => ({ ...accepting, prepend: [], authenticity: found, why: [] }) },
    }),
  });
  return {
    milter,
    server,
    async send(body = 'text'): Promise<string> {
      using client = await Dialogue.greeted(server.port);
      await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
      return await client.say(`${HEADER}\r\n\r\n${body}\r\n.`);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await server[Symbol.asyncDispose]();
      await milter[Symbol.asyncDispose]();
    },
  };
}

test('quarantine: the message is accepted and held', async () => {
  await using site = await withMilter(({ code }) => (code === 'E' ? ['qlooks odd\0', 'c'] : undefined));
  assert.match(await site.send(), /^250 /);
  assert.equal(site.server.router.messages[0]?.hold, true);
  assert.ok(site.server.log.some((line) => JSON.stringify(line['filters']) === '{"m":"quarantine: looks odd"}'));
});

test('changes of the header: added in front, replaced and deleted by number, folds kept, no field smuggled in', async () => {
  const two = '\0\0\0\x02';
  const changes = ['hX-New\0one\n\ttwo\0', `m${two}X-Old\0second\0`, 'm\0\0\0\x01X-Old\0\0', 'c'];
  await using site = await withMilter(({ code }) => (code === 'E' ? changes : undefined));
  assert.match(await site.send(), /^250 /);
  const [stored] = site.server.router.messages;
  assert.deepEqual(stored?.prepend, ['Received: test\r\n', 'X-New: one\r\n\ttwo\r\n']);
  assert.equal(stored?.header, 'From: a@b.test\r\nX-Old: second\r\nSubject: test\r\n\r\n');

  await using hostile = await withMilter(({ code }) =>
    code === 'E' ? ['hX-New\0a\nBcc: x@y.test\0', 'c'] : undefined,
  );
  assert.match(await hostile.send(), /^451 4\.7\.1 /);
});

test('a reply of the milter is the reply to the message; discarded mail is taken and thrown away', async () => {
  await using refusing = await withMilter(({ code }) => (code === 'R' ? ['y553 5.1.8 not you\0'] : undefined));
  assert.equal(await refusing.send(), '553 5.1.8 not you');
  await using discarding = await withMilter(({ code }) => (code === 'N' ? ['d'] : undefined));
  assert.match(await discarding.send(), /^250 /);
  assert.equal(discarding.server.router.messages.length, 0);
});

test('what was found out about a message that a milter refuses or discards is counted, unless it comes again', async () => {
  const found: Authenticity = {
    spf: { result: 'pass', scope: 'mfrom', domain: 'b.test' },
    dkim: [],
    arc: { result: 'none', sets: 0 },
    dmarc: { result: 'pass', from: 'b.test', dkimAligned: false, spfAligned: true, disposition: 'none' },
  };
  for (const [answer, code, counted] of [
    ['d', 250, 1],
    ['r', 550, 1],
    ['t', 451, 0],
  ] as const) {
    await using site = await withMilter(({ code: asked }) => (asked === 'E' ? [answer] : undefined), {}, found);
    assert.match(await site.send(), new RegExp(`^${code} `));
    await waitFor(() => site.server.router.aborted.length === 1, { what: 'the transfer to be given up' });
    assert.deepEqual(site.server.router.refused, counted === 1 ? [found] : [], answer);
  }
});

test('a milter that never answers, or always asks for more time, delays a message for its time and no longer', async () => {
  for (const act of [
    ({ code }) => (code === 'M' ? [] : undefined),
    ({ code }, socket) => {
      if (code !== 'E') return undefined;
      const more = setInterval(() => socket.write(Buffer.from('\0\0\0\x01p', 'latin1')), 10);
      socket.on('close', () => clearInterval(more));
      return [];
    },
    ({ code }) => (code === 'B' ? [] : undefined),
  ] satisfies MilterAct[]) {
    await using site = await withMilter(act, { timeout: '300ms' });
    assert.match(await site.send('x'.repeat(70).concat('\r\n').repeat(10_000)), /^451 4\.7\.1 /);
  }
});
