import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify, stripVTControlCharacters } from 'node:util';
import { SEALPOST, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Program } from '#test/kit/program.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Where the log goes, and what happens where it cannot go there. */

/** A node whose standard output is `redirection` of the shell. */
function startInto(node: SealpostNode, redirection: string): Program {
  const words = [process.execPath, SEALPOST, 'start', '--config', node.configFile];
  return new Program('sh', ['-c', `exec "$0" "$@" ${redirection}`, ...words], { cwd: node.folder });
}

async function connect(port: number): Promise<Dialog> {
  const dialog = await waitFor(() => Dialog.connect(port), { timeout: 60_000, what: 'a listener' });
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  return dialog;
}

async function sendOne(dialog: Dialog): Promise<void> {
  await dialog.say('MAIL FROM:<a@example.net>', 250);
  await dialog.say('RCPT TO:<b@peer.test>', 250);
  await dialog.say('DATA', 354);
  await dialog.say('From: a@example.net\r\n\r\nhello\r\n.', 250);
}

test('a node whose log is on a full disk takes and delivers mail, and ends when it is asked to', async () => {
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({ sink: sink.port, config: 'log: { level: trace }' });
  await using program = startInto(node, '> /dev/full');
  for (let n = 1; n <= 5; n++) {
    await using dialog = await connect(node.port);
    await sendOne(dialog);
    await waitFor(() => sink.messages.length === n, { what: `message ${n}` });
  }
  program.signal('SIGTERM');
  assert.equal(await program.ended(), 0, program.output);
});

test('a node whose log nobody reads takes and delivers mail, says how many lines are lost, and ends when it is asked to', async () => {
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({ sink: sink.port, config: 'log: { level: trace }' });
  const pipe = join(node.folder, 'pipe');
  await promisify(execFile)('mkfifo', [pipe]);
  await using reader = await open(pipe, constants.O_RDWR);
  await using program = startInto(node, '> pipe');
  {
    await using dialog = await connect(node.port);
    // More than the pipe and the node hold.
    for (let n = 0; n < 30; n++) {
      dialog.send(`NOOP ${'x'.repeat(400)}\r\n`.repeat(100));
      for (let reply = 0; reply < 100; reply++) await dialog.expect(250);
    }
    await sendOne(dialog);
    await waitFor(() => sink.messages.length === 1, { what: 'the message' });
  }
  const lost = await waitFor(
    async () => {
      const { stdout } = await sealpost(['status', '--config', node.configFile], { cwd: node.folder });
      return /^log +(\d+) lines lost/m.exec(stdout)?.[1];
    },
    { timeout: 20_000, what: 'the lines that are lost in the status' },
  );

  let text = '';
  const buffer = Buffer.alloc(65_536);
  while (!text.includes('log lines were dropped')) {
    text += buffer.toString('latin1', 0, (await reader.read(buffer)).bytesRead);
  }
  const [, dropped] = /"dropped":(\d+),"error":"its reader does not keep up"/.exec(text) ?? [];
  assert.ok(Number(dropped) >= Number(lost), `${dropped} dropped, ${lost} shown`);
  // Again nobody reads.
  program.signal('SIGTERM');
  assert.equal(await program.ended(), 0, program.output);
});

test('a socket that nobody reads, as supervisors give for a log, keeps no node from its end', async () => {
  await using node = await SealpostNode.create({ config: 'log: { level: trace }' });
  const child = spawn(process.execPath, [SEALPOST, 'start', '--config', node.configFile], {
    cwd: node.folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  try {
    await using dialog = await connect(node.port);
    for (let n = 0; n < 10; n++) {
      dialog.send(`NOOP ${'x'.repeat(400)}\r\n`.repeat(100));
      for (let reply = 0; reply < 100; reply++) await dialog.expect(250);
    }
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
  } finally {
    child.kill('SIGKILL');
  }
});

test('on a terminal the log is for people, and in colours where they are wanted', async () => {
  for (const [colours, escapes] of [
    ['FORCE_COLOR=1', true],
    ['NO_COLOR=1', false],
  ] as const) {
    await using node = await SealpostNode.create();
    const command = `exec env ${colours} ${process.execPath} ${SEALPOST} start --config ${node.configFile}`;
    // script(1) gives it a terminal.
    await using program = new Program('script', ['-qfec', command, '/dev/null'], { cwd: node.folder });
    const [line = ''] = await program.waitForOutput(/^.*node is up.*$/m, 30_000);
    assert.doesNotMatch(line, /^\{/);
    assert.match(stripVTControlCharacters(line), /^\d\d:\d\d:\d\d\.\d{3} info {2}node is up node=edge-1 services=/);
    assert.equal(line.includes('\u001b['), escapes);
  }
});
