import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { FakeMilter } from '#test/kit/filters/fake-milter.ts';
import { Milter } from '#test/kit/filters/milters.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

const HEADER = 'From: a@example.com\r\nTo: b@dest.test\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nSubject: ';

async function send(port: number, subject: string, body: Buffer = Buffer.from('text\r\n')): Promise<string> {
  await using dialog = await Dialog.connect(port, { timeout: 90_000 });
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  await dialog.say('MAIL FROM:<a@example.com>', 250);
  await dialog.say('RCPT TO:<b@dest.test>', 250);
  await dialog.say('DATA', 354);
  dialog.send(Buffer.concat([Buffer.from(`${HEADER}${subject}\r\n\r\n`), body]));
  const { code, text } = await dialog.command('.');
  return `${code} ${text}`;
}

/** Memory of a process that lies in RAM (proc(5)), in MB. */
async function memory(pid: number): Promise<number> {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kilobytes) / 1024;
}

test('two milters of a node: quarantine waits for the operator, and a message of 50 MB takes little memory', {
  ...needs('opendkim'),
  timeout: 120_000,
}, async () => {
  await using opendkim = await Milter.verifier({});
  let subject = '';
  await using quarantine = await FakeMilter.start(
    ({ code, data }) => {
      if (code === 'L' && data.startsWith('Subject|')) subject = data;
      return code === 'E' && subject.includes('odd') ? ['qodd subject\0', 'c'] : undefined;
    },
    // It does without the body.
    { actions: 0x20, steps: 0x10 },
  );
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({
    sink: sink.port,
    config: [
      'filters:',
      `  - { name: dkim, type: milter, url: "${opendkim.url}", max-size: 100MB, timeout: 1m }`,
      `  - { name: odd, type: milter, url: "${quarantine.url}", max-size: 100MB, timeout: 1m }`,
      'limits: { message-size: 100MB }',
    ].join('\n'),
  });
  const { pid } = node.launch();
  await waitFor(async () => (await send(node.port, 'plain')).startsWith('250'), { timeout: 30_000, what: 'the node' });
  const plain = await waitFor(() => sink.messages[0], { what: 'the message' });
  assert.match(plain.data.toString(), /^Authentication-Results: opendkim\.test; dkim=none/m);

  assert.match(await send(node.port, 'odd'), /^250 /);
  const listed = async () =>
    (JSON.parse(await node.sealpost('queue', 'list', '--json')) as { entries: { queueId: string; state: string }[] })
      .entries;
  const [held, ...others] = await listed();
  assert.deepEqual([held?.state, others], ['hold', []]);
  const id = held?.queueId ?? '';
  const shown = async () =>
    JSON.parse(await node.sealpost('queue', 'show', id, '--json')) as {
      entry: { filters: unknown };
      finished: boolean;
    };
  const said = { dkim: 'accept', odd: 'quarantine: odd subject' };
  assert.deepEqual((await shown()).entry.filters, said);
  await node.sealpost('queue', 'release', id);
  const released = await waitFor(() => sink.messages[1], { what: 'the released message' });
  assert.match(released.data.toString(), /^Subject: odd$/m);
  const receipt = await waitFor(async () => ((await shown()).finished ? shown() : undefined), { what: 'the receipt' });
  assert.deepEqual(receipt.entry.filters, said);
  assert.match(await node.sealpost('queue', 'show', id), /^filter odd +quarantine: odd subject$/m);

  const body = Buffer.alloc(50 * 1024 * 1024, `${'x'.repeat(76)}\r\n`).fill('\r\n', 50 * 1024 * 1024 - 2);
  const before = await memory(pid);
  let most = before;
  const watch = setInterval(() => void memory(pid).then((now) => (most = Math.max(most, now))), 20).unref();
  assert.match(await send(node.port, 'large', body), /^250 /);
  clearInterval(watch);
  assert.ok(most - before < 100, `${Math.round(most - before)} MB more`);
});
