import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Rcode } from '#shared/dns/message.ts';
import { sealpost } from '#test/kit/command.ts';
import { answerTo, FakeDns } from '#test/kit/dns/fake-dns.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

/** `sealpost tls check`, without a node. */

const DAY_MS = 86_400_000;

type Report = {
  ok: boolean;
  certificates: Record<string, unknown>[];
  findings: { check: string; severity: string; about: string; text: string; help: string }[];
};

/** A folder with a configuration whose certificate is good for thirty days. */
async function openSite(tls = '{ certificate: cert.pem, key: key.pem }') {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir('tls-check'));
  const dns = stack.use(await FakeDns.start((query) => answerTo(query, { rcode: Rcode.NXDOMAIN })));
  const until = Date.now() + 30 * DAY_MS;
  await writeCertificate(folder.path, { names: ['mx.test'], notAfter: until });
  const config = join(folder.path, 'sealpost.yaml');
  const write = (text: string) =>
    writeFile(config, `node: { hostname: mx.test }\ndns: { servers: ["${dns.server}"] }\n${text}`);
  await write(tls === '' ? '' : `tls: ${tls}\n`);
  return {
    until,
    write,
    file: (name: string) => join(folder.path, name),
    openssl: (...args: string[]) => execFileSync('openssl', args, { cwd: folder.path, stdio: 'pipe' }),
    check: (...args: string[]) => sealpost(['tls', 'check', '--config', config, ...args], { cwd: folder.path }),
    async report(...args: string[]): Promise<Report & { code: number | null }> {
      const { code, stdout } = await this.check('--json', ...args);
      return { code, ...(JSON.parse(stdout) as Report) };
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

test('findings for people, with what to do, and the table of the certificates', async () => {
  await using site = await openSite();
  const { code, stdout, stderr } = await site.check();
  assert.equal(code, 1, stderr);
  const [finding = '', empty, head = '', row = ''] = stdout.split('\n');
  assert.match(finding, /^warning: \S+cert\.pem: the chain has a gap: .* issued by Test Authority.*\. To do: add /);
  assert.equal(empty, '');
  assert.match(head, /^FILE +NAMES +ISSUER +VALID UNTIL +KEY$/);
  const day = new Date(site.until).toISOString().slice(0, 10);
  assert.match(row, new RegExp(`^\\S+cert\\.pem +mx\\.test +Test Authority +${day} +P-256$`));
});

test('a warning and an error end with 1, a note does not; --at looks ahead', async () => {
  await using site = await openSite();
  const later = (days: number): string => new Date(site.until + days * DAY_MS).toISOString();
  const soon = await site.report('--at', later(-3));
  assert.deepEqual([soon.code, soon.ok], [1, false]);
  assert.deepEqual(
    soon.findings.map(({ check }) => check),
    ['chain-incomplete', 'certificate-expiring'],
  );
  const gone = await site.report('--at', later(1));
  assert.deepEqual([gone.code, gone.ok], [1, false]);
  const [worst] = gone.findings;
  assert.deepEqual(
    [worst?.severity, worst?.check, worst?.about],
    ['error', 'certificate-expired', site.file('cert.pem')],
  );
  assert.deepEqual(gone.certificates, [
    {
      option: 'tls.certificate',
      file: site.file('cert.pem'),
      subject: 'mx.test',
      names: ['mx.test'],
      issuer: 'Test Authority',
      from: gone.certificates[0]?.['from'],
      until: `${new Date(site.until).toISOString().slice(0, 19)}.000Z`,
      key: 'P-256',
    },
  ]);
  const wrong = await site.check('--at', 'soon');
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /"soon" is not a time/);
});

test('a configuration that is broken elsewhere, or has no certificate', async () => {
  await using site = await openSite('');
  await site.write('listeners: [{ name: in, kind: relay, port: 25 }]\nqueue: 5\n');
  const { code, findings, certificates } = await site.report();
  assert.equal(code, 1);
  assert.deepEqual(certificates, []);
  assert.deepEqual(
    findings.map(({ check, about, text }) => [check, about, text]),
    [['no-certificate', 'tls', 'there is no certificate for the listener in (starttls)']],
  );
});

/** A file that OpenSSL makes, the option that names it, and what the finding says that it is. */
const FORMS: [file: string, option: 'certificate' | 'key', make: string, is: RegExp][] = [
  [
    'all.p12',
    'certificate',
    'pkcs12 -export -in cert.pem -inkey key.pem -passout pass:x -out all.p12',
    /^is a PKCS#12/,
  ],
  ['all.pfx', 'key', 'pkcs12 -export -in cert.pem -inkey key.pem -passout pass:x -out all.pfx', /^is a PKCS#12/],
  ['all.p7b', 'certificate', 'crl2pkcs7 -nocrl -certfile cert.pem -out all.p7b', /^is a PKCS#7/],
  ['der.p7b', 'certificate', 'crl2pkcs7 -nocrl -certfile cert.pem -outform DER -out der.p7b', /^is a PKCS#7/],
  ['cert.cer', 'certificate', 'x509 -in cert.pem -outform DER -out cert.cer', /^is a certificate in DER form/],
  ['key.der', 'key', 'pkey -in key.pem -outform DER -out key.der', /^is a private key in DER form/],
  ['locked.pem', 'key', 'pkey -in key.pem -aes128 -passout pass:x -out locked.pem', /is encrypted/],
];

for (const [file, option, make, is] of FORMS) {
  test(`${file} as ${option}: the command that is told makes a file that can be used`, needs('openssl'), async () => {
    const files = { certificate: 'cert.pem', key: 'key.pem', [option]: file };
    await using site = await openSite(JSON.stringify(files));
    site.openssl(...make.split(' '));
    const { findings } = await site.report();
    const [{ about, text, help } = { about: '', text: '', help: '' }] = findings;
    assert.equal(about, site.file(file));
    assert.match(text, is);
    const [command = '', made = ''] = /^openssl .* -out (\S+)/.exec(help) ?? [];
    const passphrase = / -out \S*(?:p12|pfx|locked)/.test(command) ? ['-passin', 'pass:x'] : [];
    site.openssl(...command.split(' ').slice(1), ...passphrase);
    await site.write(`tls: ${JSON.stringify({ ...files, [option]: made })}\n`);
    const after = await site.report();
    assert.deepEqual(
      after.findings.filter(({ severity }) => severity === 'error'),
      [],
    );
  });
}

test('a curve that hardly any client knows', needs('openssl'), async () => {
  await using site = await openSite();
  site.openssl('ecparam', '-name', 'secp256k1', '-genkey', '-noout', '-out', 'key.pem');
  const request = '-x509 -key key.pem -subj /CN=mx.test -addext subjectAltName=DNS:mx.test -days 30 -out cert.pem';
  site.openssl('req', ...request.split(' '));
  const { findings } = await site.report();
  assert.deepEqual([findings[0]?.check, findings[0]?.severity], ['key-weak', 'error']);
  assert.match(findings[0]?.text ?? '', /on the curve secp256k1, which hardly any client knows$/);
});

test('what DNS has is compared without a node, but not for another time', async () => {
  await using site = await openSite();
  await site.write(
    'tls: { certificate: cert.pem, key: key.pem }\ndomains: [{ name: mx.test, local: true }]\nmta-sts: {}\ntls-rpt: { rua: ["mailto:r@mx.test"] }\n',
  );
  const checks = async (...args: string[]) => (await site.report(...args)).findings.map(({ check }) => check);
  assert.deepEqual(await checks(), ['chain-incomplete', 'sts-record', 'sts-file', 'dns-tls-rpt']);
  assert.deepEqual(await checks('--at', new Date().toISOString()), ['chain-incomplete']);
});
