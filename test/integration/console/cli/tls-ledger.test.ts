import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { generateNek } from '#shared/dkim/nek.ts';
import type { LedgerRow, LedgerTotal } from '#shared/mail/tls-ledger.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { type CommandResult, sealpost } from '#test/kit/command.ts';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { startPostfix } from '#test/kit/smtp/postfix.ts';
import { tempDir } from '#test/kit/temp.ts';
import { issue } from '#test/kit/tls/issue.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * The TLS ledger of two nodes (DOMINO T4): Postfix sends to one and receives from the other, and its log must say the same;
 * swaks shows a client certificate (T10).
 */

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

async function swaks(port: number, ...args: string[]): Promise<void> {
  const all = ['--server', '127.0.0.1', '--port', String(port), '--body', 'Hello', ...args];
  await promisify(execFile)('swaks', all, { timeout: 30_000 });
}

/** A Postfix that takes mail for d.test, and hands other mail to a relay in TLS. */
function postfixSettings(files: { certificateFile: string; keyFile: string }, relay: number): string {
  return `myhostname = mx.d.test
mydestination = d.test
mynetworks = 127.0.0.0/8
local_recipient_maps = inline:{ {x@d.test=x} }
smtpd_data_restrictions = check_sender_access inline:{ {ledger@sender.test=hold} }
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_tls_cert_file = ${files.certificateFile}
smtpd_tls_key_file = ${files.keyFile}
relayhost = [127.0.0.1]:${relay}
smtp_tls_security_level = encrypt
smtp_tls_loglevel = 1
smtp_tls_mandatory_protocols = <=TLSv1.2
`;
}

/** `TLSv1.3 with cipher TLS_…` in a line of the log of Postfix, as the ledger has it. */
function logged(log: string, line: RegExp): { protocol: string; cipher: string } | undefined {
  const found = log.split('\n').find((text) => line.test(text));
  const [, protocol, cipher] = /(TLSv[\d.]+) with cipher (\S+)/.exec(found ?? '') ?? [];
  return protocol === undefined || cipher === undefined ? undefined : { protocol, cipher };
}

const root =
  process.getuid?.() === 0
    ? needs('smtp-sink', 'nats-server', 'swaks', 'python3')
    : { skip: 'Postfix starts as root only' };

test('T4 T10 the TLS ledger of all nodes agrees with the log of Postfix', { ...root, timeout: 240_000 }, async () => {
  await using undo = new AsyncDisposableStack();
  const files = undo.use(await tempDir('ledger'));
  const postfixFolder = undo.use(await tempDir('postfix'));
  const guarded = undo.use(await startGuardedServer());
  const own = await writeCertificate(files.path, { names: ['edge.test'] });
  const authority = await issue('Branch Authority', { ca: true });
  const branch = await issue('branch', { by: authority, usages: [CLIENT_AUTH], names: ['branch.example.com'] });
  const pem = { ca: authority.certificate, cert: branch.certificate, key: branch.key };
  const place = (name: string): string => join(files.path, `client-${name}.pem`);
  for (const [name, text] of Object.entries(pem)) await writeFile(place(name), text, { mode: 0o600 });

  const postfixPort = await freePort();
  const nek = generateNek('test');
  const nodes: SealpostNode[] = [];
  for (const name of ['edge-1', 'edge-2']) {
    const port = await freePort();
    const config = `
tls: { certificate: ${own.certificateFile}, key: ${own.keyFile} }
listeners:
  - { name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: starttls, client-certificates: { ca: ${place('ca')} } }
relay: { allow: { domains: [onward.test], certificates: [branch.example.com] } }
domains: []
routes: [{ to: d.test, via: "smtp://127.0.0.1:${postfixPort}" }, { to: "*", via: capture }]`;
    nodes.push(undo.use(await SealpostNode.create({ name, nek, bus: guarded, port, config })));
  }
  const [first, second] = nodes as [SealpostNode, SealpostNode];
  const postfixFiles = await writeCertificate(postfixFolder.path, { names: ['mx.d.test'] });
  undo.use(await startPostfix(postfixFolder.path, postfixPort, postfixSettings(postfixFiles, first.port)));
  const log = async (): Promise<string> => readFile(join(postfixFolder.path, 'log'), 'utf8').catch(() => '');
  await Promise.all([
    ...nodes.map((node) => node.start()),
    waitFor(async () => (await log()).includes('daemon started'), { what: 'Postfix' }),
  ]);
  const desk = undo.use(await SealpostNode.create({ name: 'desk', bus: guarded }));
  const { user, password } = guarded.login('operator');
  const env = { BUS_USER: user, BUS_PASSWORD: password.reveal() };
  const run = (...args: string[]): Promise<CommandResult> =>
    sealpost(['tls', 'ledger', ...args, '--config', desk.configFile], { cwd: desk.folder, env });

  const hostile = ['--helo', '=cmd|calc', '--from', 'ledger@sender.test'];
  const certificate = ['--tls', '--tls-cert', place('cert'), '--tls-key', place('key')];
  await swaks(second.port, ...certificate, ...hostile, '--to', 'x@d.test');
  await assert.rejects(swaks(second.port, '--tls', ...hostile, '--to', 'x@d.test'), ({ stdout }) =>
    /554 5\.7\.1 Relay rejected/.test(stdout),
  );
  await swaks(postfixPort, '--from', 'b@partner.test', '--to', 'y@onward.test');
  type Ledger = { rows: LedgerRow[]; totals: LedgerTotal[]; silent: string[]; more: boolean };
  const ledger = async (...args: string[]): Promise<Ledger> =>
    JSON.parse((await run('--json', ...args)).stdout) as Ledger;
  await waitFor(
    async () => {
      const { rows } = await ledger();
      return rows.some(({ state }) => state === 'delivered') && rows.some(({ domain }) => domain === 'partner.test');
    },
    { what: 'both messages in the ledger', timeout: 30_000 },
  ).catch(async (error: unknown) => {
    const { stdout, stderr } = await run();
    throw new Error(`${stdout}\n${stderr}\n${await log()}`, { cause: error });
  });

  const { rows, totals } = await ledger();
  const outgoing = rows.find(({ direction, domain }) => direction === 'out' && domain === 'd.test');
  const received = logged(await log(), /smtpd\[\d+\]: .*TLS connection established from /);
  assert.ok(received !== undefined, await log());
  assert.deepEqual({ protocol: outgoing?.protocol, cipher: outgoing?.cipher }, received);
  assert.equal(outgoing?.reached, 'encrypted');
  assert.equal(outgoing?.certificate?.chain, false);
  const incoming = rows.find(({ direction, domain }) => direction === 'in' && domain === 'partner.test');
  const sent = logged(await log(), /smtp\[\d+\]: .*TLS connection established to /);
  assert.ok(sent !== undefined, await log());
  assert.equal(sent.protocol, 'TLSv1.2');
  assert.deepEqual({ protocol: incoming?.protocol, cipher: incoming?.cipher }, sent);
  assert.equal(incoming?.reached, 'encrypted');
  const client = rows.find(({ direction, domain }) => direction === 'in' && domain === 'sender.test');
  assert.deepEqual([client?.reached, client?.certificate?.subject], ['verified', 'branch']);
  const total = totals.find(({ direction, domain }) => direction === 'in' && domain === 'sender.test');
  assert.deepEqual([total?.clear, total?.encrypted, total?.verified], [0, 0, 1]);

  const weak = await ledger('--direction', 'in', '--weaker-than', 'verified');
  assert.deepEqual([...new Set(weak.rows.map(({ domain }) => domain))], ['partner.test']);
  assert.deepEqual((await ledger('--domain', 'd.test', '--since', '1h')).rows.length, 1);

  const csv = (await run('--csv')).stdout;
  const script = 'import csv,json,sys; print(json.dumps(list(csv.DictReader(sys.stdin, strict=True))))';
  const python = promisify(execFile)('python3', ['-c', script]);
  python.child.stdin?.end(csv);
  const parsed = JSON.parse((await python).stdout) as Record<string, string>[];
  assert.deepEqual(
    parsed.map((row) => [row['queue_id'], row['reached'], row['version'], row['cipher'], row['node']]),
    rows.map((row) => [row.queueId, row.reached, row.protocol ?? '', row.cipher ?? '', row.node]),
  );
  assert.equal(parsed.find((row) => row['domain'] === 'sender.test')?.['helo'], "'=cmd|calc");
  const shown = await run();
  assert.match(shown.stdout, /^TIME +DIRECTION +DOMAIN/);
  assert.match(shown.stdout, /in +sender\.test .* verified .* branch: verified/);
  assert.match(shown.stdout, /DIRECTION +DOMAIN +CLEAR +ENCRYPTED +VERIFIED/);
  assert.match((await run('--limit', '1')).stdout, /… and more\n$/);
});
