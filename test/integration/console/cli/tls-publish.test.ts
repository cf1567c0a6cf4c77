import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { keyDigest } from '#shared/certificate.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { ask } from '#shared/dns/exchange.ts';
import { recordsAt, Type } from '#shared/dns/message.ts';
import { parseServer } from '#shared/dns/server.ts';
import { tlsaText } from '#shared/dns/tlsa.ts';
import type { TlsDnsRecordStatus, WithdrawnTlsDnsRecord } from '#shared/tls/dns-record.ts';
import { sealpost } from '#test/kit/command.ts';
import { ValidatingResolver } from '#test/kit/dns/validating-resolver.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { type Issued, issue } from '#test/kit/tls/issue.ts';
import { waitFor } from '#test/kit/wait.ts';

/** `sealpost tls publish` on a real node, with BIND as the primary of the zone. */

const HOST = 'mx1.example.com';
const TLSA = `_25._tcp.${HOST}`;
const STS = '_mta-sts.example.com';
const RPT = '_smtp._tls.example.com';
const REPORTS = 'v=TLSRPTv1; rua=mailto:tls@example.com;';

type Report = {
  ok: boolean;
  records: (TlsDnsRecordStatus & { error?: string })[];
  withdrawn: (WithdrawnTlsDnsRecord & { error?: string })[];
  problems: string[];
};

/** A node whose name is in a zone that it may update; `resolver`: whom it asks. */
async function startSite(zones: ZoneServers, resolver: string, { zoned = true } = {}) {
  const stack = new AsyncDisposableStack();
  const port = await freePort();
  const yaml = zones.yaml().replace(/"servers":\["[^"]*"\]/, `"servers":["${resolver}"]`);
  const byHand = `dns: ${JSON.stringify({ servers: [resolver], zones: [{ name: 'example.com', servers: zones.servers }] })}`;
  const config = (mode: string, hostname = HOST): string => `
node: { name: edge-1, hostname: ${hostname}, data: ./data }
credentials: { nek: ./nek.key }
listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: starttls }]
tls: { certificate: cert.pem, key: key.pem }
domains: [{ name: example.com, local: true }]
${mode === '' ? '' : `mta-sts: { mode: ${mode}, address: 127.0.0.1, port: 0, tls: none }\ntls-rpt: { rua: ["mailto:tls@example.com"] }`}
routes: [{ to: "*", via: capture }]
${zoned ? yaml : byHand}`;
  const node = stack.use(await SealpostNode.create({ file: config('testing'), port }));
  const file = (name: string): string => join(node.folder, name);
  await writeFile(file('nek.key'), generateNek('test'), { mode: 0o600 });
  const install = async ({ certificate, key }: Pick<Issued, 'certificate' | 'key'>): Promise<void> => {
    await writeFile(file('key.pem'), key, { mode: 0o600 });
    await writeFile(file('cert.pem'), certificate);
  };
  const first = await issue(HOST, { names: [HOST] });
  await install(first);
  await node.start();
  const run = (...args: string[]) =>
    sealpost(['tls', 'publish', ...args, '--config', node.configFile], { cwd: node.folder });
  const report = async (...args: string[]): Promise<Report> => {
    const { stdout, stderr } = await run('--json', ...args);
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout) as Report;
  };
  /** What `tls check` finds wrong with DNS. */
  const check = async (): Promise<string[]> => {
    const { stdout } = await sealpost(['tls', 'check', '--json', '--config', node.configFile], { cwd: node.folder });
    const { findings } = JSON.parse(stdout) as { findings: { check: string; severity: string; about: string }[] };
    return findings.flatMap((one) =>
      /^(dns|sts)-/.test(one.check) ? [`${one.severity} ${one.check} ${one.about}`] : [],
    );
  };
  /** Without a mode nothing is published but TLSA records. */
  const setMode = (mode: string, hostname?: string) => writeFile(node.configFile, config(mode, hostname));
  return {
    node,
    port,
    file,
    first,
    install,
    run,
    report,
    check,
    setMode,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const tlsaOf = ({ der }: Issued): string => `3 1 1 ${keyDigest(der)}`;

/** The TLSA records that a server has, and whether DNSSEC proves them. */
async function tlsaAt(server: string): Promise<{ values: string[]; proven: boolean }> {
  const options = { timeoutMs: 3000, recursion: true };
  const response = await ask(parseServer(server), { name: TLSA, type: Type.TLSA }, options);
  const values = recordsAt(response, TLSA, Type.TLSA).map(({ rdata }) => tlsaText(rdata));
  return { values: values.toSorted(), proven: response.authenticated };
}

/** What OpenSSL says of the certificate of a listener by these records. A capital Q would be a command to itself. */
async function openssl(port: number, records: readonly string[]): Promise<string> {
  const args = ['s_client', '-starttls', 'smtp', '-connect', `127.0.0.1:${port}`, '-ign_eof'];
  const domain = ['-dane_tlsa_domain', HOST];
  const data = records.flatMap((record) => ['-dane_tlsa_rrdata', record]);
  const running = promisify(execFile)('openssl', [...args, ...domain, ...data]);
  running.child.stdin?.end('quit\r\n');
  const { stdout, stderr } = await running.catch((error: { stdout: string; stderr: string }) => error);
  return stdout + stderr;
}

test('records in a signed zone, from none to the change of the certificate', {
  ...needs('named', 'nsupdate', 'unbound', 'openssl'),
  timeout: 180_000,
}, async () => {
  await using zones = await ZoneServers.start({ 'example.com': 'mx1 A 127.0.0.1\n@ MX 10 mx1' }, { signed: true });
  const [primary = '', secondary = ''] = zones.servers;
  await using unbound = await ValidatingResolver.before(
    primary,
    new Map([['example.com', await zones.dnskey('example.com')]]),
  );
  await using site = await startSite(zones, unbound.server);
  const { first, run, report } = site;

  const dry = await run('--dry-run');
  assert.equal(dry.code, 0, dry.stderr);
  assert.ok(dry.stdout.includes(`  ${TLSA}. 3600 IN TLSA ${tlsaOf(first)}\n`), dry.stdout);
  assert.match(dry.stdout, /^ {2}_mta-sts\.example\.com\. 3600 IN TXT \( "v=STSv1; id=[0-9a-f]{32};" \)$/m);
  assert.deepEqual([await zones.txt(0, STS), (await tlsaAt(primary)).values], [[], []]);
  const noAddress = 'warning sts-file mta-sts.example.com';
  assert.deepEqual(await site.check(), [
    `warning sts-record ${STS}`,
    noAddress,
    `warning dns-tls-rpt ${RPT}`,
    `note dns-tlsa ${HOST}`,
  ]);

  for (const time of ['first', 'second']) {
    const { ok, records, problems } = await report();
    assert.deepEqual([ok, problems], [true, []], time);
    assert.deepEqual(
      records.map(({ name, state, by }) => [name, state, by]),
      [TLSA, STS, RPT].map((name) => [name, 'published', 'update']),
      time,
    );
  }
  assert.deepEqual(await tlsaAt(unbound.server), { values: [tlsaOf(first)], proven: true });
  assert.deepEqual((await tlsaAt(secondary)).values, [tlsaOf(first)]);
  await waitFor(async () => (await site.check()).join() === noAddress, { timeout: 20_000, what: 'the end of caches' });
  assert.deepEqual(await zones.txt(1, RPT), [REPORTS]);
  const [policy = ''] = await zones.txt(1, STS);
  assert.match(await openssl(site.port, [tlsaOf(first)]), /Verification: OK[\s\S]*DANE TLSA 3 1 1 .*matched/);

  const next = await issue(HOST, { names: [HOST] });
  await writeFile(site.file('next.pem'), next.certificate);
  const both = [tlsaOf(first), tlsaOf(next)].toSorted();
  const added = await run('--next', 'next.pem');
  assert.equal(added.code, 0, added.stderr);
  assert.match(added.stdout, /wait with the next certificate until \d{4}-/);
  assert.deepEqual((await tlsaAt(secondary)).values, both);
  assert.match((await run()).stdout, /wait with the next certificate until/);
  assert.deepEqual((await tlsaAt(primary)).values, both);
  assert.match(await openssl(site.port, both), /Verification: OK/);
  assert.match(await openssl(site.port, [tlsaOf(next)]), /Verification error/);

  await site.install(next);
  await waitFor(async () => (await openssl(site.port, [tlsaOf(next)])).includes('Verification: OK'), {
    timeout: 30_000,
    what: 'the next certificate',
  });
  // The resolver may have the records without the next one in its cache still.
  const besides = [noAddress, `note dns-tlsa ${HOST}`].join();
  await waitFor(async () => (await site.check()).join() === besides, { timeout: 20_000, what: 'the end of caches' });
  assert.deepEqual((await report()).ok, true);
  for (const server of zones.servers) assert.deepEqual((await tlsaAt(server)).values, [tlsaOf(next)]);

  await site.setMode('enforce');
  await waitFor(async () => (await report()).ok && (await zones.txt(1, STS)).join() !== policy, {
    timeout: 60_000,
    what: 'the record of the changed policy',
  });
  assert.equal((await zones.txt(1, STS)).length, 1);
});

test('records that others made stay, and are named', { ...needs('named', 'nsupdate'), timeout: 120_000 }, async () => {
  const theirs = { sts: 'v=STSv1; id=20200101', rpt: REPORTS.slice(0, -1), tlsa: `3 1 2 ${'ab'.repeat(64)}` };
  const records = [
    'mx1 A 127.0.0.1',
    `_mta-sts TXT "${theirs.sts}"`,
    `_smtp._tls TXT "${theirs.rpt}"`,
    `_25._tcp.mx1 TLSA ${theirs.tlsa}`,
  ].join('\n');
  await using zones = await ZoneServers.start({ 'example.com': records }, { signed: true });
  const key = await zones.dnskey('example.com');
  await using unbound = await ValidatingResolver.before(zones.servers[0] ?? '', new Map([['example.com', key]]));
  await using site = await startSite(zones, unbound.server);
  const { code, stdout } = await site.run();
  assert.equal(code, 1);
  assert.match(stdout, /not ours, left as it is: _25\._tcp\.mx1\.example\.com\. 3600 IN TLSA 3 1 2 abab/);
  assert.match(
    stdout,
    /^mta-sts of example\.com: .*already has another TXT record, which was not changed: "v=STSv1; id=20200101"; remove it, or let --replace put ours in its place$/m,
  );
  // The same but for a semicolon at its end.
  assert.match(stdout, /^_smtp\._tls\.example\.com TXT: every name server has it$/m);
  assert.deepEqual(await zones.txt(0, RPT), [theirs.rpt]);
  assert.deepEqual((await tlsaAt(zones.servers[1] ?? '')).values, [tlsaOf(site.first), theirs.tlsa].toSorted());

  assert.equal((await site.report('--replace')).ok, true);
  assert.deepEqual((await tlsaAt(zones.servers[1] ?? '')).values, [tlsaOf(site.first)]);
  assert.match((await zones.txt(1, STS)).join(), /^v=STSv1; id=[0-9a-f]{32};$/);
});

test('without DNSSEC there is no TLSA record; only domains of ours', needs('named', 'nsupdate'), async () => {
  await using zones = await ZoneServers.start({ 'example.com': 'mx1 A 127.0.0.1' }, { secondaries: 0 });
  const [primary = ''] = zones.servers;
  await using site = await startSite(zones, primary);
  const { code, stdout } = await site.run('example.com');
  assert.equal(code, 0, stdout);
  assert.match(
    stdout,
    /^_25\._tcp\.mx1\.example\.com TLSA: not published: the zone example\.com is not signed \(DNSSEC\)/m,
  );
  assert.deepEqual((await tlsaAt(primary)).values, []);
  assert.deepEqual(await zones.txt(0, RPT), [REPORTS]);

  const unknown = await site.run('example.org');
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /example\.org is not a domain whose mail is received here/);

  // The policy names mx1 alone.
  const added = ['mx1.example.com', 'backup.example.net'].map((host) => `add example.com. 3600 MX 10 ${host}.`);
  assert.equal(await zones.nsupdate(['zone example.com', ...added]), '');
  const stray = await site.run('example.com');
  assert.equal(stray.code, 1, stray.stdout);
  assert.match(
    stray.stdout,
    /^problem: the MTA-STS policy of example\.com does not name its MX backup\.example\.net: /m,
  );
});

test('by hand, where the zone cannot be updated: every line to add and to remove', {
  ...needs('named', 'nsupdate', 'unbound'),
  timeout: 120_000,
}, async () => {
  await using zones = await ZoneServers.start({ 'example.com': 'mx1 A 127.0.0.1' }, { signed: true });
  const key = await zones.dnskey('example.com');
  await using unbound = await ValidatingResolver.before(zones.servers[0] ?? '', new Map([['example.com', key]]));
  await using site = await startSite(zones, unbound.server, { zoned: false });
  const { first, run } = site;
  const lines = async (...args: string[]): Promise<{ add: string[]; remove: string[] }> => {
    const { code, stdout } = await run(...args);
    assert.equal(code, 0, stdout);
    const of = (begin: string) =>
      stdout.split('\n').flatMap((line) => (line.startsWith(begin) ? [line.slice(begin.length)] : []));
    return { add: of('  _'), remove: of('  remove: ') };
  };
  const enter = async (command: 'add' | 'delete', all: readonly string[]): Promise<void> => {
    const update = all.map((line) => `${command} ${line.replace(/ \( | \)/g, ' ')}`);
    assert.equal(await zones.nsupdate(['zone example.com', ...update]), '');
  };
  const due = await lines();
  assert.deepEqual([due.add.length, due.remove], [3, []]);
  assert.equal((await zones.txt(0, STS)).length, 0);
  await enter(
    'add',
    due.add.map((line) => `_${line}`),
  );
  const published = () =>
    waitFor(async () => (await lines()).add.length === 0, { timeout: 20_000, what: 'the records' });
  await published();

  const next = await issue(HOST, { names: [HOST] });
  await writeFile(site.file('next.pem'), next.certificate);
  const { add } = await lines('--next', 'next.pem');
  assert.deepEqual(
    add.map((line) => line.split(' IN TLSA ')[1]),
    [tlsaOf(first), tlsaOf(next)],
  );
  await enter(
    'add',
    add.map((line) => `_${line}`),
  );
  await published();
  assert.match((await run()).stdout, /wait with the next certificate until/);

  await site.install(next);
  const obsolete = await waitFor(async () => (await lines()).remove[0], { timeout: 30_000, what: 'the switch' });
  assert.equal(obsolete.split(' IN TLSA ')[1], tlsaOf(first));
  await enter('delete', [obsolete.replace(/ \d+ IN /, ' ')]);
  await published();
  assert.deepEqual((await tlsaAt(zones.servers[1] ?? '')).values, [tlsaOf(next)]);

  await site.setMode('');
  const record = await waitFor(async () => (await lines()).remove[0], { timeout: 30_000, what: 'what is not needed' });
  assert.ok(record.startsWith(RPT), record);
  await enter('delete', [record.replace(/ \d+ IN /, ' ')]);
  const isGone = async () =>
    (await run()).stdout.includes(`${RPT} TXT: not needed any more, and no name server has it`);
  await waitFor(isGone, { timeout: 20_000, what: 'the secondaries' });
  assert.ok(!(await run()).stdout.includes(RPT));
});

test('what is taken out of the configuration is withdrawn, and nothing else', {
  ...needs('named', 'nsupdate', 'unbound'),
  timeout: 120_000,
}, async () => {
  const records = 'mx1 A 127.0.0.1\nmx2 A 127.0.0.1\n_smtp._tls TXT "hello"';
  await using zones = await ZoneServers.start({ 'example.com': records }, { signed: true });
  const key = await zones.dnskey('example.com');
  await using unbound = await ValidatingResolver.before(zones.servers[0] ?? '', new Map([['example.com', key]]));
  await using site = await startSite(zones, unbound.server);
  const { report, run, setMode } = site;
  const states = async () => (await report()).withdrawn.map(({ name, state }) => `${state} ${name}`);
  const withdrawn = (expected: string[]) =>
    waitFor(async () => (await states()).join() === expected.join(), { timeout: 60_000, what: `${expected}` });
  // The record for reports cannot be beside another text, unless that was put there later.
  assert.equal(await zones.nsupdate(['zone example.com', `delete ${RPT}. TXT`]), '');
  await waitFor(async () => (await report()).ok, { timeout: 20_000, what: 'the records' });
  assert.equal(await zones.nsupdate(['zone example.com', `add ${RPT}. 60 TXT "hello"`]), '');
  assert.deepEqual(await states(), []);

  const begin = Date.now();
  await setMode('');
  await waitFor(
    async () => (await run('--dry-run')).stdout.includes(`  remove: ${RPT}. 3600 IN TXT ( "${REPORTS}" )`),
    {
      timeout: 60_000,
      what: 'the change',
    },
  );
  assert.deepEqual(await zones.txt(1, RPT), ['hello', REPORTS].toSorted());
  const { withdrawn: first } = await report();
  assert.deepEqual(
    first.map(({ name, state }) => `${state} ${name}`),
    [`kept ${STS}`, `withdrawn ${RPT}`],
  );
  assert.ok((first[0]?.kept ?? 0) >= begin + 7 * 86_400_000);
  assert.deepEqual(await zones.txt(1, RPT), ['hello']);
  // Until then it stays, and its time does not begin again.
  const again = await report();
  assert.deepEqual(again.withdrawn, [{ ...first[0] }]);
  assert.equal((await zones.txt(1, STS)).length, 1);
  assert.match((await run()).stdout, /^_mta-sts\.example\.com TXT: stays until .*serve mode: none/m);

  await setMode('none');
  await waitFor(async () => (await run()).stdout.includes('the policy is withdrawn (mode: none); senders may have'), {
    timeout: 60_000,
    what: 'mode none',
  });
  await setMode('', 'mx2.example.com');
  await withdrawn([`kept ${STS}`]);
  assert.deepEqual((await tlsaAt(zones.servers[1] ?? '')).values, []);
});
