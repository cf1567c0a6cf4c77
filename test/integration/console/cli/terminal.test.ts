import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onTerminal, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What steers a terminal or turns the reading direction: overrides, isolates, C1 controls, an escape sequence. */
const STEERS = 'a\u202eb\u2066c\u200ed\u009b31m\x1b[2Je';
const UNPRINTABLE = /[[\p{Cc}\p{Cf}]--[\r\n\t]]/v;

test('what strangers write steers no terminal: not in the log, in JSON, or by queue cat; a pipe gets the bytes', async () => {
  // Port 1 of loopback refuses connections, so mail stays.
  await using node = await SealpostNode.create({ sink: 1, config: 'log: { level: trace }' });
  const program = await node.start();
  await using dialog = await Dialog.connect(node.port);
  await dialog.expect(220);
  for (const [command, code] of [
    ['EHLO client.test', 250],
    [`VRFY ${STEERS.replaceAll(/[\x1b]/g, '')}`, 252],
    ['MAIL FROM:<a@b.test> SMTPUTF8', 250],
    ['RCPT TO:<c\u2067d@one.test>', 250],
    ['DATA', 354],
    [`Subject: ${STEERS}\r\n\r\n${STEERS}\r\n.`, 250],
  ] as const) {
    dialog.send(`${command}\r\n`);
    await dialog.expect(code);
  }
  const run = (...args: string[]) => sealpost([...args, '--config', node.configFile], { cwd: node.folder });
  const listed = await waitFor(
    async () => {
      const { stdout } = await run('queue', 'list', '--json');
      return (JSON.parse(stdout) as { entries: { queueId: string }[] }).entries.length > 0 && stdout;
    },
    { what: 'the message in the queue' },
  );
  const [{ queueId: id = '' } = {}] = (JSON.parse(listed) as { entries: { queueId: string }[] }).entries;
  assert.doesNotMatch(listed, UNPRINTABLE);
  assert.ok(JSON.stringify(JSON.parse(listed)).includes('c\u2067d@one.test'), 'the value is what it was');
  for (const args of [['list'], ['show', id], ['show', id, '--json'], ['cat', id, '--json']]) {
    assert.doesNotMatch((await run('queue', ...args)).stdout, UNPRINTABLE, args.join(' '));
  }
  assert.ok((await run('queue', 'cat', id)).stdout.endsWith(`\r\n\r\n${STEERS}\r\n`));
  const { output } = await onTerminal(node.folder, ['queue', 'cat', id, '--config', node.configFile]);
  assert.doesNotMatch(output, UNPRINTABLE);
  assert.match(output, /\\u202eb\\u2066c\\u200ed\\x9b31m\\x1b\[2Je/);
  const log = program.output;
  assert.match(log, /VRFY a\\u202e/);
  assert.doesNotMatch(log, UNPRINTABLE);
});
