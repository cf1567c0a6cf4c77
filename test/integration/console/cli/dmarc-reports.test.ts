import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { SourceTotals } from '#services/console/reports/received/dmarc.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { Rcode, Type } from '#shared/dns/message.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Reports that Mail::DMARC writes, from the port on which they arrive to the totals over all nodes. */

const SCRIPT = fileURLToPath(new URL('../../../kit/dmarc/mail-dmarc-report.pl', import.meta.url));
const RECORDS: Record<string, string> = {
  'receiver.example': 'v=spf1 ip4:127.0.0.1 -all',
  '_dmarc.receiver.example': 'v=DMARC1; p=none',
};
const config = (dns: FakeDns): string => `
relay: {}
dns: { servers: ["${dns.server}"] }
domains: [{ name: example.com, local: true, keys: { proof: none } }]
authenticity: { dmarc: { reports: { receive: [dmarc@example.com] } } }
routes: [{ to: "*", via: capture }]`;

async function reportMail(id: string, days: number, ...rows: string[]): Promise<string> {
  const end = Math.floor(Date.now() / 1000) - days * 86_400;
  const { stdout } = await promisify(execFile)('perl', [
    ...[SCRIPT, id, 'example.com', String(end - 86_400), String(end)],
    ...rows,
  ]);
  return stdout.replace(/\r?\n/g, '\r\n').replace(/^\./gm, '..');
}

async function send(port: number, message: string, from = 'noreply@receiver.example'): Promise<void> {
  await using dialog = await Dialog.connect(port, { timeout: 20_000 });
  await dialog.read();
  for (const line of ['EHLO receiver.example', `MAIL FROM:<${from}>`, 'RCPT TO:<dmarc@example.com>'])
    assert.equal((await dialog.command(line)).code, 250, line);
  assert.equal((await dialog.command('DATA')).code, 354);
  dialog.send(message);
  const { code, text } = await dialog.command('\r\n.');
  assert.equal(code, 250, text);
}

test('dmarc reports counts what came to all nodes, each report once', {
  ...needs('nats-server', '/usr/share/perl5/Mail/DMARC.pm'),
  timeout: 120_000,
}, async () => {
  await using dns = await FakeDns.start((query) => {
    const [{ name, type } = { name: '', type: 0 }] = query.questions;
    const record = type === Type.TXT ? RECORDS[name.toLowerCase()] : undefined;
    return answerTo(query, record === undefined ? { rcode: Rcode.NXDOMAIN } : { answers: [txt(name, record)] });
  });
  await using guarded = await startGuardedServer();
  await using undo = new AsyncDisposableStack();
  const nek = generateNek('test');
  const create = async (name: string): Promise<SealpostNode> =>
    undo.use(await SealpostNode.create({ name, nek, bus: guarded, config: config(dns) }));
  const nodes = [await create('edge-1'), await create('edge-2')];
  await Promise.all(nodes.map((node) => node.start()));
  const desk = undo.use(await SealpostNode.create({ name: 'desk', bus: guarded }));
  const { user, password } = guarded.login('operator');
  const env = { BUS_USER: user, BUS_PASSWORD: password.reveal() };
  const run = (...args: string[]): Promise<CommandResult> =>
    sealpost(['dmarc', 'reports', ...args, '--config', desk.configFile], { cwd: desk.folder, env });

  const first = await reportMail('1', 0, '192.0.2.1,5,none,pass,fail', '2001:db8::1,3,reject,fail,fail');
  // A listener that has just started may not have heard of the router of its own node yet.
  const kept = nodes.map((node) => node.programs.get('all')?.waitForOutput(/"DMARC report kept"/, 60_000));
  let done = false;
  void Promise.all(kept).then(() => (done = true));
  await waitFor(
    async () => {
      for (const { port } of nodes) await send(port, first);
      return done;
    },
    { what: 'the report on both nodes', timeout: 60_000 },
  );
  await send(nodes[0]?.port ?? 0, await reportMail('2', 1, '192.0.2.1,7,none,pass,pass'));
  await send(nodes[1]?.port ?? 0, await reportMail('3', 20, '192.0.2.1,11,quarantine,fail,fail'));

  // Anybody can write one.
  await send(nodes[1]?.port ?? 0, await reportMail('4', 2, '2001:db8::1,1,reject,fail,fail'), 'x@other.example');

  type Answer = { reports: { id: string; dmarc: string }[]; sources: SourceTotals[]; silent: string[] };
  const answer = async (...args: string[]): Promise<Answer> => {
    const { code, stdout, stderr } = await run('--json', ...args);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Answer;
  };
  await waitFor(async () => (await answer()).reports.length === 4, { what: 'all four', timeout: 20_000 });
  const sums = ({ sources }: Answer) =>
    sources.map(({ source, messages, passed, reject, quarantine }) => [source, messages, passed, reject, quarantine]);
  const all = await answer('--domain', 'Example.COM');
  assert.deepEqual(sums(all), [
    ['192.0.2.1', 23, 12, 0, 11],
    ['2001:db8::1', 4, 0, 4, 0],
  ]);
  assert.deepEqual(
    all.reports.map(({ id, dmarc }) => `${id} ${dmarc}`),
    ['3 pass', '4 fail', '2 pass', '1 pass'],
  );
  assert.deepEqual(sums(await answer('--since', '7d'))[0], ['192.0.2.1', 12, 12, 0, 0]);
  assert.deepEqual((await answer('--domain', 'example.net')).reports, []);
  const { stdout } = await run();
  assert.match(
    stdout,
    /^4 reports of 1 organisations about example.com\n.*\n1 of them came in mail that does not pass DMARC/,
  );
  assert.match(stdout, /\n192\.0\.2\.1 +23 +12 +12 +7 +12 +11 +0 +example\.com\n/);
  assert.match(stdout, /\nall +27 +12 +12 +7 +12 +11 +4\n$/);
});
