import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

test('doctor tells of copies that an archive refused, and of mail that a rule holds', { timeout: 60_000 }, async () => {
  await using sink = await SmtpSink.start({
    script: ({ verb, address }) => (verb === 'RCPT' && address.endsWith('vault.test') ? '550 no' : undefined),
  });
  const rules = [
    '  - { name: court, when: { to: [held.test] }, hold: true }',
    '  - { name: legal, when: { to: [journaled.test] }, journal: { to: archive@vault.test } }',
  ];
  await using node = await SealpostNode.create({ sink: sink.port, config: ['rules:', ...rules].join('\n') });
  await node.start();
  await using dialog = await Dialog.connect(node.port);
  await dialog.read();
  await dialog.say('EHLO far.test', 250);
  for (const domain of ['held.test', 'journaled.test', 'journaled.test']) {
    for (const line of ['MAIL FROM:<alice@far.test>', `RCPT TO:<bob@${domain}>`]) await dialog.say(line, 250);
    await dialog.say('DATA', 354);
    await dialog.say('Subject: x\r\n\r\nx\r\n.', 250);
  }
  await waitFor(async () => (await node.client('router')['status-show']({})).hold === 3, { what: 'held mail' });
  const { stdout } = await sealpost(['doctor', '--json', '--config', node.configFile], { cwd: node.folder });
  const { findings } = JSON.parse(stdout) as { findings: { check: string; about: string; text: string }[] };
  const found = findings.filter(({ check }) => /^(?:copies|mail)-/.test(check));
  assert.deepEqual(
    found.map(({ check, about }) => [check, about]),
    [
      ['copies-held', 'rule legal'],
      ['mail-held', 'rule court'],
    ],
  );
  assert.match(found[0]?.text ?? '', /copies of 2 messages/);
  const summary = await node.sealpost('queue', 'summary', '--by', 'hold');
  assert.match(summary, /HELD BY\n2 +\S+ +held +journal legal\n1 +\S+ +held +rule court\n/);
});
