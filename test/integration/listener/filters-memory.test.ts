import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Clamd } from '#test/kit/filters/clamd.ts';
import { Rspamd } from '#test/kit/filters/rspamd.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';

/** Memory that only this process has, in MB. */
async function ownMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

test('a message of 50 MB goes through both filters, and takes less than 100 MB of memory', {
  ...needs('rspamd', 'clamd'),
  timeout: 90_000,
}, async (t) => {
  await using rspamd = await Rspamd.start();
  await using clamd = await Clamd.start();
  const limits = { timeout: '1m', 'max-size': '60MB' };
  const filters = [
    { name: 'spam', type: 'rspamd', url: rspamd.url, ...limits },
    { name: 'virus', type: 'clamd', url: clamd.url, ...limits },
  ];
  const routes = [{ to: '*', via: 'discard' }];
  const sections = { limits: { 'message-size': '60MB' }, routes, filters };
  const config = Object.entries(sections).map(([name, section]) => `${name}: ${JSON.stringify(section)}`);
  await using node = await SealpostNode.create({ config: config.join('\n') });
  const program = await node.start();
  await using dialog = await Dialog.connect(node.port, { timeout: 60_000 });
  await dialog.expect(220);
  for (const line of ['EHLO client.test', 'MAIL FROM:<a@far.test>', 'RCPT TO:<b@far.test>'])
    await dialog.say(line, 250);
  await dialog.say('DATA', 354);
  const before = await ownMemory(program.pid);
  let peak = before;
  const sampling = setInterval(async () => {
    peak = Math.max(peak, await ownMemory(program.pid));
  }, 20).unref();
  const lines = randomBytes(57 * 1024)
    .toString('base64')
    .replace(/.{76}/g, '$&\r\n');
  const mime = 'MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64';
  dialog.send(`From: a@far.test\r\nMessage-ID: <1@far.test>\r\n${mime}\r\n\r\n`);
  for (let sent = 0; sent < 50 * 1024 * 1024; sent += lines.length) dialog.send(lines);
  const { code, text } = await dialog.command('.');
  clearInterval(sampling);
  assert.equal(code, 250, text);
  // The reply may be here before the log.
  await program.waitForOutput(/"filters":\{"spam":"no action, score [^"]+","virus":"clean"\}/);
  const grown = peak - before;
  t.diagnostic(`memory grew by ${grown.toFixed(0)} MB`);
  assert.ok(grown < 100, `memory grew by ${grown.toFixed(0)} MB`);
});
