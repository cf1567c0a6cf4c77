import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import { type DnsAnswer, DnsResolver } from '#shared/dns/resolver.ts';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';

/**
 * Our resolver asks BIND, which recurses and validates with DNSSEC: a signed zone, one without signatures, and a signed
 * one in which a record was changed later.
 */

const RECORDS = `$TTL 60
@ SOA ns.nameserver.test. hostmaster.nameserver.test. 1 3600 600 86400 30
@ NS ns.nameserver.test.
host A 192.0.2.1
host AAAA 2001:db8::1
@ MX 10 host
alias CNAME host
away CNAME host.plain.test.
circle CNAME circle2
circle2 CNAME circle
strings TXT ( ${Array.from({ length: 100 }, (_, n) => `"part ${n},"`).join(' ')} )
long TXT ( ${`"${'x'.repeat(200)}" `.repeat(40)} )
huge TXT ( ${`"${'y'.repeat(250)}" `.repeat(240)} )
`;
const ZONES = ['signed.test', 'plain.test', 'changed.test'];

let dir: TempDir;
let programs: Program[] = [];
let server = '';

/** Signs a zone; the key as a trust anchor has it. */
async function sign(zone: string): Promise<string> {
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { cwd: dir.path, stdio: 'pipe' });
  run('dnssec-keygen', '-q', '-a', 'ECDSAP256SHA256', '-f', 'KSK', zone);
  run('dnssec-signzone', '-q', '-S', '-z', '-o', zone, '-f', zone, zone);
  const key = (await readdir(dir.path)).find((name) => name.startsWith(`K${zone}.`) && name.endsWith('.key')) ?? '';
  const [, fields = '', data = ''] =
    / DNSKEY (\d+ \d+ \d+) (.*)$/m.exec(await readFile(join(dir.path, key), 'utf8')) ?? [];
  return `"${zone}" static-key ${fields} "${data.replaceAll(' ', '')}";`;
}

async function start(name: string, port: number, options: string): Promise<void> {
  const config = `options { directory "${dir.path}"; pid-file none; listen-on port ${port} { 127.0.0.1; };
    listen-on-v6 { none; }; empty-zones-enable no; ${options}`;
  await writeFile(join(dir.path, `${name}.conf`), `${config}\ncontrols { };\n`);
  const program = new Program('named', ['-g', '-n', '1', '-c', join(dir.path, `${name}.conf`)]);
  programs.push(program);
  await program.waitForOutput(/ running$/m);
}

before(async () => {
  dir = await tempDir('dnssec');
  for (const zone of ZONES) await writeFile(join(dir.path, zone), RECORDS);
  const anchors = [await sign('signed.test'), await sign('changed.test')];
  const changed = join(dir.path, 'changed.test');
  await writeFile(changed, (await readFile(changed, 'utf8')).replace('192.0.2.1', '192.0.2.66'));
  const [authority, port] = [await freePort(), await freePort()];
  const zones = ZONES.map((zone) => `zone "${zone}" { type primary; file "${zone}"; };`);
  await start('authority', authority, `recursion no; dnssec-validation no; notify no; }; ${zones.join('\n')}`);
  const forwards = ZONES.map((zone) => {
    return `zone "${zone}" { type forward; forward only; forwarders { 127.0.0.1 port ${authority}; }; };`;
  });
  const rest = `trust-anchors { ${anchors.join('\n')} };\n${forwards.join('\n')}`;
  await start('resolver', port, `recursion yes; dnssec-validation yes; }; ${rest}`);
  server = `127.0.0.1:${port}`;
});
after(async () => {
  await Promise.all(programs.map((program) => program[Symbol.asyncDispose]()));
  programs = [];
  await dir[Symbol.asyncDispose]();
});

/** In short: what was found, whether it is proven, and why nothing is known. */
function brief(answer: DnsAnswer): string {
  if (answer.kind === 'trouble') return answer.cause;
  const what =
    answer.kind === 'found' ? JSON.stringify(answer.records) : answer.exists ? 'no such record' : 'no such name';
  return `${what}${answer.authenticated ? ', proven' : ''}`;
}

const CASES: [name: string, type: 'A' | 'AAAA' | 'MX', expected: string][] = [
  ['host.signed.test', 'A', '["192.0.2.1"], proven'],
  ['host.signed.test', 'AAAA', '["2001:db8::1"], proven'],
  ['signed.test', 'MX', '[{"exchange":"host.signed.test","priority":10}], proven'],
  ['alias.signed.test', 'A', '["192.0.2.1"], proven'],
  ['away.signed.test', 'A', '["192.0.2.1"]'],
  ['gone.signed.test', 'A', 'no such name, proven'],
  ['host.signed.test', 'MX', 'no such record, proven'],
  ['host.plain.test', 'A', '["192.0.2.1"]'],
  ['gone.plain.test', 'A', 'no such name'],
  ['host.changed.test', 'A', 'failed'],
  ['circle.plain.test', 'A', 'failed'],
];

test('a resolver that validates says what DNSSEC proves, and what it refutes', needs('named'), async () => {
  const resolver = new DnsResolver({ servers: [server], timeout: 5000 });
  for (const [name, type, expected] of CASES) {
    assert.equal(brief(await resolver.lookup(name, type)), expected, `${type} ${name}`);
  }
});

test('texts come whole: of 100 strings, of 8 KB, of 60 KB', needs('named'), async () => {
  const resolve = mailauthResolver(new DnsResolver({ servers: [server], timeout: 5000 }), { waitMs: 5000 });
  const strings = Array.from({ length: 100 }, (_, n) => `part ${n},`).join('');
  assert.deepEqual(await resolve('strings.plain.test', 'TXT'), [[strings]]);
  assert.deepEqual(await resolve('long.plain.test', 'TXT'), [['x'.repeat(8000)]]);
  assert.deepEqual(await resolve('huge.plain.test', 'TXT'), [['y'.repeat(60_000)]]);
});
