import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Finding } from '#services/console/reports/doctor/finding.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { fakeStore, keyStatus } from '#test/kit/dkim/fake-credential-store.ts';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** `sealpost doctor` by the command, against a real node with BIND and against stores that answer as a test says. */

type Report = { ok: boolean; keys: number; nodes: number; findings: (Finding & { check: string })[] };
const reportOf = ({ stdout }: CommandResult): Report => JSON.parse(stdout) as Report;
const checksOf = (result: CommandResult): string[] =>
  reportOf(result).findings.map((f) => `${f.severity} ${f.check} ${f.about}`);

test('a record that is cut off, then right, then gone, as a real node sees it', needs('named'), async () => {
  await using dns = await NameServer.start({ 'example.com': '' });
  await using node = await SealpostNode.create({
    config: [
      'domains: [{ name: example.com, signing: { mode: enforce } }, { name: mail.example.com, signing: { mode: enforce } }]',
      `dns: { zones: [{ name: example.com, servers: ["${dns.server}"] }] }`,
    ].join('\n'),
  });
  await node.start();
  const doctor = (...args: string[]) =>
    sealpost(['doctor', ...args, '--config', node.configFile], { cwd: node.folder });
  const state = async (): Promise<KeyStatus['state']> =>
    (JSON.parse(await node.sealpost('keys', 'show', 'example.com', 's1', '--json')) as KeyStatus).state;

  const empty = await doctor('--json');
  assert.equal(empty.code, 1, empty.stderr);
  assert.deepEqual(checksOf(empty), [
    'error enforce-without-key example.com',
    'error enforce-without-key mail.example.com',
  ]);

  await node.sealpost('keys', 'create', 'example.com', 's1');
  const value = (await node.sealpost('keys', 'export-dns', 'example.com', 's1', '--value')).trim();
  const strings = (text: string): string => (text.match(/.{1,255}/g) ?? []).map((s) => `"${s}"`).join(' ');
  await dns.setZone('example.com', `s1._domainkey TXT ${strings(value.slice(0, 255))}`);
  await waitFor(async () => (await state()) === 'replicated', { timeout: 20_000, what: 's1 to wait for its record' });
  const cut = await doctor('example.com');
  assert.equal(cut.code, 1);
  assert.match(
    cut.stdout,
    /^warning: s1 of example\.com: .* p= is cut off after \d+ of 392 characters.*, seen from edge-1\. To do: replace it/m,
  );

  await dns.setZone('example.com', `s1._domainkey TXT ${strings(value)}`);
  await waitFor(async () => (await state()) === 'active', { timeout: 60_000, what: 's1 to be active' });
  const well = await doctor();
  assert.equal(well.stdout, '1 key on 1 node: nothing to do\n');
  assert.equal(well.code, 0);
  // The parent's key signs for it.
  assert.equal((await doctor('mail.example.com')).stdout, '1 key on 1 node: nothing to do\n');

  await dns.setZone('example.com', '');
  const gone = await doctor('--json');
  assert.equal(gone.code, 1);
  assert.deepEqual(checksOf(gone), ['error record-missing s1 of example.com']);
  await dns.stop();
  assert.deepEqual(checksOf(await doctor('--json')), ['warning dns-unreachable s1 of example.com']);
});

test('mail that left without a signature is counted, with the reason', async () => {
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({ sink: sink.port });
  await node.start();
  await using dialog = await Dialog.connect(node.port);
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  for (let n = 1; n <= 2; n++) {
    await dialog.say('MAIL FROM:<a@example.com>', 250);
    await dialog.say('RCPT TO:<b@peer.test>', 250);
    await dialog.say('DATA', 354);
    await dialog.say('From: a@example.com <b@example.net>\r\n\r\nhello\r\n.', 250);
    await waitFor(() => sink.messages.length === n, { what: `message ${n}` });
  }
  const of = async (...args: string[]) => {
    const report = await sealpost(['doctor', ...args, '--json', '--config', node.configFile], { cwd: node.folder });
    return reportOf(report).findings.filter(({ check }) => check === 'mail-unsigned');
  };
  const [finding, ...more] = await of();
  assert.deepEqual(more, []);
  assert.equal(finding?.about, 'example.com');
  assert.match(finding?.text ?? '', /^2 messages have left without a signature .*addresses of 2 domains$/);
  assert.equal((await of('example.com')).length, 1);
  assert.equal((await of('example.net')).length, 0);
});

test('what a store says is looked at again before it counts, and only what is asked about', async () => {
  let asked = 0;
  const holders = (revision: number) =>
    (['credential-store', 'signer'] as const).map((kind) => ({
      node: 'edge-1',
      kind,
      instance: kind,
      revision: kind === 'signer' ? revision : 7,
      heard: 1,
      clock: 0,
      neks: [],
    }));
  const keys = [keyStatus(), keyStatus({ domain: 'b.example', algorithm: 'rsa-1024' })];
  await using store = await fakeStore({
    // The first answer is from the middle of a change.
    'status-show': () => ({
      node: 'edge-1',
      state: 'following',
      revision: 7,
      keys: 2,
      sealed: true,
      holders: holders(asked++ === 0 ? 6 : 7),
    }),
    'key-list': ({ after }) =>
      after === undefined
        ? { node: 'edge-1', keys: keys.slice(0, 1), next: 'x' }
        : { node: 'edge-1', keys: keys.slice(1) },
    'nek-list': () => ({ neks: [] }),
    'certificate-list': () => ({ node: 'edge-1', certificates: [] }),
    'rotation-show': () => {
      throw new SealpostError('not-found', 'never rotated');
    },
    'key-verify': ({ domain }) => {
      if (domain === 'b.example') throw new SealpostError('not-found', 'it was deleted meanwhile');
      return { key: keyStatus(), views: [], unproven: [] };
    },
  });
  const one = await store.run('doctor', 'Example.COM');
  assert.equal(one.stdout, '1 key on 1 node: nothing to do\n', one.stderr);
  assert.equal(asked, 2);
  assert.deepEqual(
    store.calls.filter((c) => c.operation === 'key-verify').map((c) => c.request),
    [{ domain: 'example.com', selector: 's1' }],
  );
  const all = await store.run('doctor', '--json');
  assert.equal(all.code, 1);
  assert.deepEqual(checksOf(all), ['warning key-weak s1 of b.example', 'warning dns-not-looked s1 of b.example']);
});

test('without a node, and with a configuration that is wrong where it matters', async () => {
  await using folder = await tempDir('doctor');
  const run = () => sealpost(['doctor'], { cwd: folder.path });
  const file = join(folder.path, 'sealpost.yaml');
  await writeFile(file, 'listeners: []\n');
  const away = await run();
  assert.equal(away.code, 3);
  assert.match(away.stderr, /^sealpost: no node answers at /);
  await writeFile(file, 'domains: [{ name: 7 }]\n');
  const broken = await run();
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /the configuration is not valid/);
});
