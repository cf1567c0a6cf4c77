import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { verifyWithDkimpy } from '#test/kit/dkim/verifiers.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { checkAgainstSchema, VALIDATOR } from '#test/kit/tls-reports/schema.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Zone } from './zone.ts';

/**
 * The whole way of a TLS report: three nodes, each a process of its own, send mail to hosts with and without TLS, the day
 * ends, and each domain that asks gets one report, whose sums are the sessions that its hosts have seen.
 *
 * The wall clock of all nodes is at noon of yesterday while mail goes, and past midnight afterwards.
 */

const CLOCK = fileURLToPath(new URL('../../../kit/moved-clock.ts', import.meta.url));
const DAY = 86_400_000;
const HOSTS = { secure: '127.0.0.71', clear: '127.0.0.72', silent: '127.0.0.73', reader: '127.0.0.74' };

type Policy = { policy: object; summary: object; 'failure-details'?: object[] };

// Below 1024, a port is root's.
const OPTIONS = {
  ...(process.getuid?.() === 0 ? needs('nats-server', 'dkimverify', ...VALIDATOR) : { skip: 'needs port 25' }),
  timeout: 180_000,
};

async function send(port: number, to: string): Promise<void> {
  await using dialog = await Dialog.connect(port, { timeout: 20_000 });
  await dialog.read();
  for (const line of ['EHLO client.here.example', 'MAIL FROM:<a@here.example>', `RCPT TO:<${to}>`])
    assert.equal((await dialog.command(line)).code, 250, line);
  await dialog.say('DATA', 354);
  dialog.send('From: <a@here.example>\r\nSubject: Hi\r\n\r\nHello\r\n');
  const { code, text } = await dialog.command('.');
  assert.equal(code, 250, text);
}

test('three nodes send one signed report to each domain that asks, with the sessions of all', OPTIONS, async () => {
  await using undo = new AsyncDisposableStack();
  const zone = undo.use(await Zone.start());
  const { path: folder } = undo.use(await tempDir('tls-reports'));
  for (const [name, at] of Object.entries(HOSTS)) zone.exchanger(`${name}.example`, at);
  for (const name of ['secure', 'clear'])
    zone.text(`_smtp._tls.${name}.example`, `v=TLSRPTv1; rua=mailto:${name}@reader.example`);
  const certificate = await (await createAuthority()).issue({ names: ['mx.secure.example'] });
  const secure = undo.use(await SmtpSink.start({ host: HOSTS.secure, port: 25, tls: certificate }));
  const clear = undo.use(await SmtpSink.start({ host: HOSTS.clear, port: 25 }));
  // It asks for no report.
  undo.use(await SmtpSink.start({ host: HOSTS.silent, port: 25 }));
  const reader = undo.use(await SmtpSink.start({ host: HOSTS.reader, port: 25 }));

  const now = Date.now();
  const today = now - (now % DAY);
  const clock = join(folder, 'clock');
  const setClock = async (time: number, ...running: SealpostNode[]): Promise<void> => {
    const moved = time - Date.now();
    await writeFile(`${clock}.new`, String(moved));
    await rename(`${clock}.new`, clock);
    const said = new RegExp(`the clock is moved by ${moved} ms`);
    await Promise.all(running.map(({ programs }) => programs.get('all')?.waitForOutput(said)));
  };
  await setClock(today - DAY / 2);
  const environment = { NODE_OPTIONS: `--import=${CLOCK}`, TEST_CLOCK: clock };
  const guarded = undo.use(await startGuardedServer());
  const nek = generateNek('test');
  const config = [
    'relay: { allow: { hosts: [127.0.0.1] } }',
    `dns: { servers: ["${zone.server}"] }`,
    'domains: [{ name: here.example, local: true, keys: { proof: none } }]',
    `delivery: { allow-local: [${Object.values(HOSTS).join(', ')}] }`,
  ].join('\n');
  const create = async (name: string): Promise<SealpostNode> =>
    undo.use(await SealpostNode.create({ name, nek, bus: guarded, environment, config }));
  const nodes = await Promise.all(['edge-1', 'edge-2', 'edge-3'].map(create));
  await Promise.all(nodes.map((node) => node.start()));
  await nodes[0]?.createKey('here.example', 'r1');
  const record = (await nodes[0]?.sealpost('keys', 'export-dns', 'here.example', 'r1', '--value')) ?? '';
  zone.text('r1._domainkey.here.example', record.trim());

  for (const { port } of nodes) for (const name of ['secure', 'clear', 'silent']) await send(port, `b@${name}.example`);
  await send(nodes[0]?.port ?? 0, 'b@secure.example');
  await waitFor(() => secure.messages.length === 4 && clear.messages.length === 3, {
    what: 'all mail',
    timeout: 30_000,
  });
  // Sessions are on disk after a second.
  const outputs = (): string[] => nodes.map(({ programs }) => programs.get('all')?.output ?? '');
  await setClock(today + 10 * 60_000, ...nodes);
  await setClock(today + 4.5 * 3_600_000);
  await waitFor(() => reader.messages.length >= 2, { what: 'the reports', timeout: 60_000 });
  const ends = (): number => outputs().join('\n').split('"all TLS reports of the day are sent"').length - 1;
  await waitFor(() => ends() > 0, { what: 'the end of the run', timeout: 20_000 });
  assert.equal(ends(), 1);
  assert.equal(reader.messages.length, 2);

  const found = new Map<string, Policy[]>();
  for (const [n, { data, from, recipients }] of reader.messages.entries()) {
    assert.equal(from.address, '');
    const file = join(folder, `${n}.eml`);
    await writeFile(file, data);
    assert.deepEqual(await verifyWithDkimpy([file], { 'r1._domainkey.here.example': record.trim() }), [['pass']]);
    const [, part = ''] =
      /application\/tlsrpt\+gzip[\s\S]*?\r\n\r\n([\s\S]*?)\r\n--/.exec(data.toString('latin1')) ?? [];
    const json = gunzipSync(Buffer.from(part, 'base64')).toString();
    assert.equal(await checkAgainstSchema(json), '');
    found.set(recipients[0]?.address ?? '', (JSON.parse(json) as { policies: Policy[] }).policies);
  }
  const policyOf = (name: string) => ({ 'policy-type': 'no-policy-found', 'policy-domain': `${name}.example` });
  const sums = (succeeded: number, failed: number) => ({
    'total-successful-session-count': succeeded,
    'total-failure-session-count': failed,
  });
  assert.deepEqual(found.get('secure@reader.example'), [
    { policy: policyOf('secure'), summary: sums(secure.sessions.length, 0) },
  ]);
  const [{ policy, summary, 'failure-details': details = [] } = assert.fail(), ...more] =
    found.get('clear@reader.example') ?? [];
  assert.deepEqual([policy, summary, more], [policyOf('clear'), sums(0, clear.sessions.length), []]);
  for (const detail of details) {
    const {
      'result-type': type,
      'receiving-mx-hostname': host,
      'receiving-ip': at,
    } = detail as Record<string, unknown>;
    assert.deepEqual([type, host, at], ['starttls-not-supported', 'mx.clear.example', HOSTS.clear]);
  }
  assert.doesNotMatch(guarded.server.output, /Violation/);
});
