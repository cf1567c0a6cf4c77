import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Authenticity, BodyHash } from '#shared/mail/authenticity.ts';
import { reply } from '#shared/mail/reply.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** What is found out about a message is asked where its body passes, and kept with it. */

type Server = Awaited<ReturnType<typeof startListener>>;

const sha256 = (text: string): string => createHash('sha256').update(text, 'latin1').digest('base64');

const HEADER = [
  'DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=a.test; s=s; h=From; bh=x; b=y',
  'dkim-signature: v=1; a=ed25519-sha256; c=simple/relaxed; d=b.test; s=s; h=From;',
  '\tl=4; bh=x; b=y',
  'From: a@b.test',
  '',
  '',
].join('\r\n');
const BODY = 'one  two\r\n\r\n';
const ASKED: BodyHash[] = [
  { canonicalization: 'simple', hash: sha256('one  two\r\n'), hashed: 10, total: 10 },
  { canonicalization: 'relaxed', length: 4, hash: sha256('one '), hashed: 4, total: 9 },
];

/** The body hashes that policy is given with the message; `size`: bytes in a segment. */
async function given(server: Server, message: string, size = message.length, code = 250): Promise<unknown> {
  using client = await Dialogue.greeted(server.port);
  if (server.settings.current.listeners[0]?.kind === 'submission') {
    await client.say(`AUTH PLAIN ${Buffer.from('\0user\0secret').toString('base64')}`);
  }
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
  const bytes = Buffer.from(`${message}.\r\n`, 'latin1');
  for (let at = 0; at < bytes.length; at += size) {
    client.write(bytes.subarray(at, at + size));
    // Lets the segment leave before the next one.
    if (size === 1) await new Promise(setImmediate);
  }
  assert.match(await client.reply(), new RegExp(`^${code} `));
  const call = server.policy.calls.findLast(({ operation }) => operation === 'message-check');
  return (call?.request as { bodyHashes?: unknown } | undefined)?.bodyHashes;
}

test('policy is given the body hashes that the signatures ask for, however the message comes', async () => {
  await using server = await startListener();
  for (const size of [HEADER.length + BODY.length, HEADER.length, 1]) {
    assert.deepEqual(await given(server, HEADER + BODY, size), ASKED);
  }
  assert.equal(server.router.messages[0]?.facts.bodyHash, sha256('one two\r\n'), "the router's own is another");
});

test('the header of a large message is searched too, and its body hashed to the end', async () => {
  await using server = await startListener();
  const header = `X: ${'x'.repeat(200_000)}\r\n${HEADER}`;
  const lines = `${'y'.repeat(998)}\r\n`.repeat(900);
  const found = (await given(server, header + lines)) as BodyHash[];
  assert.deepEqual(found[0], {
    canonicalization: 'simple',
    hash: sha256(lines),
    hashed: 900_000,
    total: 900_000,
  });
  assert.equal(found[1]?.hash, sha256('yyyy'));
});

test('a message without a body has the hashes of an empty one; one without signatures has none', async () => {
  await using server = await startListener();
  const empty = (await given(server, HEADER.trimEnd().concat('\r\n'))) as BodyHash[];
  assert.deepEqual(
    empty.map(({ hash, total }) => [hash, total]),
    [
      [sha256('\r\n'), 2],
      [sha256(''), 0],
    ],
  );
  assert.deepEqual(await given(server, `From: a@b.test\r\n\r\n${BODY}`), []);
});

test('mail of a user and of an internal host is not hashed for its signatures', async () => {
  await using internal = await startListener({
    policy: { 'client-check': async () => ({ action: 'accept', name: null, scope: 'internal', why: [] }) },
  });
  assert.equal(await given(internal, HEADER + BODY), undefined);
  await using submission = await startListener({ listener: { kind: 'submission', auth: 'always' } });
  assert.equal(await given(submission, HEADER + BODY), undefined);
  const [last] = submission.policy.calls.slice(-1);
  assert.match(JSON.stringify(last?.request), /"user":"user"/);
});

const FOUND: Authenticity = {
  spf: { result: 'softfail', scope: 'mfrom', domain: 'b.test' },
  dkim: [
    { result: 'pass', domain: 'a.test', aligned: false },
    { result: 'permerror', aligned: false },
  ],
  arc: { result: 'pass', sets: 2, sealer: 'list.test' },
  dmarc: { result: 'fail', from: 'b.test', dkimAligned: false, spfAligned: false, disposition: 'quarantine' },
};

test('what policy found out goes to the router with the commit, and its words into the log line of the message', async () => {
  await using server = await startListener({
    policy: {
      'message-check': async () => ({
        ...{ action: 'accept', prepend: [], originating: false, junk: true, why: [] },
        authenticity: FOUND,
      }),
    },
  });
  await given(server, HEADER + BODY);
  assert.deepEqual(server.router.messages[0]?.authenticity, FOUND);
  const line = server.log.find(({ msg }) => msg === 'message accepted');
  assert.deepEqual(
    [line?.['spf'], line?.['dkim'], line?.['arc'], line?.['dmarc']],
    ['softfail b.test', 'pass a.test, permerror', 'pass list.test', 'fail b.test quarantine'],
  );
});

test('what policy found out about a message that it refuses goes to the router, and into the log line', async () => {
  let reject = true;
  await using server = await startListener({
    policy: {
      'message-check': async () =>
        reject
          ? { action: 'reject', reply: reply(550, '5.7.26', 'Mail from b.test rejected'), why: [], authenticity: FOUND }
          : { action: 'defer', reply: reply(451, '4.3.0', 'Later'), why: [] },
    },
  });
  await given(server, HEADER + BODY, undefined, 550);
  await waitFor(() => server.router.aborted.length === 1, { what: 'the transfer to be given up' });
  assert.deepEqual(server.router.refused, [FOUND]);
  const line = server.log.find(({ msg }) => msg === 'message refused');
  assert.equal(line?.['dmarc'], 'fail b.test quarantine');
  reject = false;
  await given(server, HEADER + BODY, undefined, 451);
  await waitFor(() => server.router.aborted.length === 2, { what: 'the transfer to be given up' });
  assert.equal(server.router.refused.length, 1);
});
