import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Mail of a whole node for a host that is down, over a kill of the node. */

const MESSAGES = 40;

test('mail for a host that is down waits for it, while the node is killed too, and then all of it arrives once', async () => {
  const port = await freePort();
  await using node = await SealpostNode.create({
    config: `routes:\n  - { to: "*", via: "smtp://127.0.0.1:${port}" }\nqueue: { retry: { first: 1s, max: 1s } }\n`,
  });
  const program = await node.start();
  await using client = await Dialog.connect(node.port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  for (let n = 0; n < MESSAGES; n++) {
    await client.say('MAIL FROM:<a@far.test>', 250);
    await client.say(`RCPT TO:<b${n}@peer.test>`, 250);
    await client.say('DATA', 354);
    await client.say(`Subject: m${n}\r\n\r\nx\r\n.`, 250);
  }
  const list = async () => (await node.client('router')['message-list']({ limit: 2 * MESSAGES })).entries;
  // All have been due again by now, and there was a connection for few of them.
  const entries = await waitFor(
    async () => {
      const all = await list();
      const backoff = all[0]?.recipients[0]?.backoff;
      return backoff !== undefined && backoff.until - backoff.at > 5000 ? all : undefined;
    },
    { timeout: 60_000, what: 'the host to be left alone for longer' },
  );
  assert.equal(entries.length, MESSAGES);
  const attempts = entries.map(({ state, recipients: [one] }) => {
    assert.ok(state === 'deferred' && one?.status.state === 'deferred' && one.backoff !== undefined);
    assert.ok(one.status.nextAttempt >= one.backoff.until, 'nothing is tried before the host is');
    return one.status.attempts;
  });
  const sum = attempts.reduce((a, b) => a + b, 0);
  assert.ok(sum <= 2 * MESSAGES, `${sum} attempts`);

  program.signal('SIGKILL');
  await program.ended();
  await node.start();
  await waitFor(async () => (await list())[0]?.recipients[0]?.backoff !== undefined, { what: 'an attempt' });
  await using sink = await SmtpSink.start({ port });
  await waitFor(() => sink.messages.length >= MESSAGES, { timeout: 60_000, what: 'all mail' });
  await node.drained();
  const arrived = sink.messages.flatMap(({ recipients }) => recipients);
  assert.deepEqual([arrived.length, new Set(arrived).size], [MESSAGES, MESSAGES]);
});
