import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { examineTls, TLS_CHECKS } from '#services/console/reports/tls/checks.ts';
import { gatherTls, type TlsFacts, unread } from '#services/console/reports/tls/facts.ts';
import { PUBLISHED_CHECKS } from '#services/console/reports/tls/published/checks.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { type Issued, issue, type Kind } from '#test/kit/tls/issue.ts';

/** What `sealpost tls check` says of each thing that can be wrong with certificates and keys: real ones, in files. */

const DAY_MS = 86_400_000;
const NOW = Date.now();
const MX = ['mx.example.com'];
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

let folder: TempDir;
/** An authority that counts as public, and one below it. */
let root: Issued;
let middle: Issued;

before(async () => {
  folder = await tempDir('tls-checks');
  root = await issue('Public Root', { ca: true });
  middle = await issue('Public Middle', { ca: true, by: root });
  await mkdir(join(folder.path, 'a-folder'));
  await put('empty.pem', '');
});

after(() => folder[Symbol.asyncDispose]());

const put = (name: string, content: string | Buffer): Promise<void> =>
  writeFile(join(folder.path, name), content, { mode: 0o600 });

type Written = { certificate?: string; key?: string; names?: object[]; bus?: object; config?: object };
type Content = (own: Issued) => string | Buffer;

/**
 * A certificate of the middle authority with its chain in `<name>-cert.pem`, and its key in `<name>-key.pem`, or what
 * `certificate` and `key` make of it.
 */
async function server(name: string, kind: Kind = {}, how: { certificate?: Content; key?: Content } = {}) {
  const own = await issue('mx.example.com', { by: middle, names: MX, ...kind });
  await put(`${name}-cert.pem`, how.certificate?.(own) ?? own.certificate + middle.certificate);
  await put(`${name}-key.pem`, how.key?.(own) ?? own.key);
  return {};
}

/** The facts of a configuration; files that it does not name are `<name>-cert.pem` and `<name>-key.pem`. */
function facts(name: string, { certificate, key, names, bus, config }: Written = {}): Promise<TlsFacts> {
  const at = (file: string): string => join(folder.path, file);
  const files = (pair: Written): object => ({
    certificate: at(pair.certificate ?? `${name}-cert.pem`),
    key: at(pair.key ?? `${name}-key.pem`),
  });
  const written = ConfigSchema.parse({
    node: { hostname: 'mx.example.com' },
    tls: {
      ...files({ ...(certificate && { certificate }), ...(key && { key }) }),
      names: (names ?? []).map((entry) => ({ ...entry, ...files(entry) })),
    },
    ...(bus && { bus: { servers: ['tls://nats:4222'], tls: files(bus) } }),
    ...config,
  });
  return gatherTls(written, NOW, [new X509Certificate(root.certificate)]);
}

/** `cert.pem: error not-pem` */
const verdict = ({ about, severity, check }: ReturnType<typeof examineTls>[number]): string =>
  `${basename(about).replace(/^case\d+-/, '')}: ${severity} ${check}`;

/** What is made, the finding about it, and words of its sentence and of what to do. */
type Case = [what: string, make: (name: string) => Promise<Written>, finding: string, words: RegExp];

const CASES: Case[] = [
  [
    'a file that is not there',
    async (name) => {
      await server(name);
      return { certificate: 'absent.pem' };
    },
    'absent.pem: error file-missing',
    /^does not exist\. put it there, or name the right file in tls\.certificate$/,
  ],
  [
    'a folder in the place of a file',
    async (name) => {
      await server(name);
      return { key: 'a-folder' };
    },
    'a-folder: error file-unreadable',
    /^is a folder\. .*tls\.key/,
  ],
  [
    'a certificate in DER form',
    (name) => server(name, {}, { certificate: ({ der }) => der }),
    'cert.pem: error not-pem',
    /^is a certificate in DER form, and PEM is needed\. openssl x509 -inform DER -in .*-cert\.pem -out .*-cert\.pem\.pem$/,
  ],
  [
    'a key in DER form',
    (name) => server(name, {}, { key: ({ key }) => createPrivateKey(key).export({ format: 'der', type: 'pkcs8' }) }),
    'key.pem: error not-pem',
    /^is a private key in DER form.*openssl pkey -inform DER/,
  ],
  [
    'a file that holds something else',
    async (name) => {
      await server(name);
      return { certificate: 'empty.pem' };
    },
    'empty.pem: error wrong-content',
    /^holds no PEM certificate, but nothing\. name the file that has the line -----BEGIN CERTIFICATE-----$/,
  ],
  [
    'the request in the place of the certificate',
    (name) =>
      server(
        name,
        {},
        { certificate: () => '-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n' },
      ),
    'cert.pem: error wrong-content',
    /but a certificate request\. name the certificate that the authority made of it$/,
  ],
  [
    'a certificate that was cut off',
    (name) =>
      server(name, {}, { certificate: ({ certificate }) => certificate + middle.certificate.replace(/\n.{20}/, '\n') }),
    'cert.pem: error wrong-content',
    /^holds a certificate that is damaged \(number 2 of 2\)\. copy/,
  ],
  [
    'the key named twice',
    async (name) => {
      await server(name);
      return { certificate: `${name}-key.pem` };
    },
    'key.pem: error wrong-content',
    /^holds no PEM certificate, but a private key\./,
  ],
  [
    'key and certificate in the place of each other',
    async (name) => {
      await server(name);
      return { certificate: `${name}-key.pem`, key: `${name}-cert.pem` };
    },
    'key.pem: error names-swapped',
    /^is the private key, and .*-cert\.pem the certificate: tls\.certificate and tls\.key are swapped\. name each/,
  ],
  [
    'a key with a passphrase',
    async (name) => {
      const form = { format: 'pem', type: 'pkcs8', cipher: 'aes128', passphrase: 'x' } as const;
      return server(name, {}, { key: ({ key }) => createPrivateKey(key).export(form) });
    },
    'key.pem: error key-encrypted',
    /^holds a private key that is encrypted.*openssl pkey -in .*-key\.pem -out .*-key\.pem\.plain makes one without$/,
  ],
  [
    'a key that every user of the machine can read',
    async (name) => {
      await server(name);
      await chmod(join(folder.path, `${name}-key.pem`), 0o644);
      return {};
    },
    'key.pem: warning key-readable',
    /^can be read by every user of this machine\. chmod 600 .*-key\.pem/,
  ],
  [
    'a key that its group can read',
    async (name) => {
      await server(name);
      await chmod(join(folder.path, `${name}-key.pem`), 0o640);
      return {};
    },
    'key.pem: note key-readable',
    /^is open to its group \(mode 640\)\. see that nobody else is in that group/,
  ],
  [
    'the key of another certificate',
    async (name) => {
      const other = await issue('other');
      return server(name, {}, { key: () => other.key });
    },
    'key.pem: error key-mismatch',
    /^is not the key of the certificate in .*-cert\.pem\. name the key that the certificate was requested with; without/,
  ],
  [
    'the server behind its authority',
    (name) => server(name, {}, { certificate: ({ certificate }) => middle.certificate + certificate }),
    'cert.pem: error own-not-first',
    /^begins with the certificate of Public Middle, .* number 2: TLS takes .*order: mx\.example\.com, Public Middle$/,
  ],
  [
    'a chain in another order',
    async (name) => {
      const lower = await issue('Lower', { ca: true, by: middle });
      return server(
        name,
        { by: lower },
        { certificate: (own) => own.certificate + middle.certificate + lower.certificate },
      );
    },
    'cert.pem: warning chain-unordered',
    /^its chain is not in order.*in this order: mx\.example\.com, Lower, Public Middle$/,
  ],
  [
    'a chain without the middle, where its place is known',
    (name) =>
      server(name, { issuerUrl: 'http://ca.test/middle.crt' }, { certificate: ({ certificate }) => certificate }),
    'cert.pem: error chain-incomplete',
    /^the chain has a gap: the certificate was issued by Public Middle, .* curl http:\/\/ca\.test\/middle\.crt \| openssl x509 -inform DER >> .*-cert\.pem$/,
  ],
  [
    'a chain without the middle, where it may be an authority of our own',
    (name) => server(name, {}, { certificate: ({ certificate }) => certificate }),
    'cert.pem: warning chain-incomplete',
    /add the certificate of Public Middle at the end, unless it is an authority of yours that all clients have$/,
  ],
  [
    'a chain that ends between two authorities',
    async (name) => {
      const lower = await issue('Lower', { ca: true, by: middle });
      return server(name, { by: lower }, { certificate: (own) => own.certificate + lower.certificate });
    },
    'cert.pem: warning chain-incomplete',
    /^the chain has a gap: the certificate of Lower was issued by Public Middle/,
  ],
  [
    'a certificate that signed itself',
    async (name) => {
      const own = await issue('mx.example.com', { names: MX });
      return server(name, {}, { certificate: () => own.certificate, key: () => own.key });
    },
    'cert.pem: warning self-signed',
    /^is signed by itself: /,
  ],
  [
    'an authority of our own',
    async (name) => {
      const own = await issue('Our Root', { ca: true });
      return server(name, { by: own }, { certificate: ({ certificate }) => certificate + own.certificate });
    },
    'cert.pem: warning chain-private',
    /^leads to Our Root, which is not a public authority/,
  ],
  [
    'the root in the file',
    (name) => server(name, {}, { certificate: (own) => own.certificate + middle.certificate + root.certificate }),
    'cert.pem: note root-superfluous',
    /^has the certificate of the authority Public Root at its end: .*\. remove it from the file$/,
  ],
  [
    'an expired certificate',
    (name) => server(name, { from: NOW - 90 * DAY_MS, until: NOW - 2 * DAY_MS }),
    'cert.pem: error certificate-expired',
    /^the certificate expired on \d{4}-\d\d-\d\d, 2d.* ago\. get a new one from Public Middle; /,
  ],
  [
    'an expired authority in the chain',
    async (name) => {
      const lower = await issue('Lower', { ca: true, by: root, from: NOW - 9 * DAY_MS, until: NOW - DAY_MS });
      return server(name, { by: lower }, { certificate: (own) => own.certificate + lower.certificate });
    },
    'cert.pem: error certificate-expired',
    /^the certificate of Lower in its chain expired on /,
  ],
  [
    'a certificate of tomorrow',
    (name) => server(name, { from: NOW + DAY_MS }),
    'cert.pem: error certificate-early',
    /^the certificate is not valid before \S+Z, in .*clock/,
  ],
  [
    'a certificate that is about to expire',
    (name) => server(name, { until: NOW + 13 * DAY_MS }),
    'cert.pem: warning certificate-expiring',
    /^the certificate expires on \d{4}-\d\d-\d\d, in 1[23]d.*\. get a new one from Public Middle, and see why/,
  ],
  [
    'a short RSA key',
    (name) => server(name, { rsa: 1024 }),
    'cert.pem: error key-weak',
    /^the certificate has an RSA key of 1024 bits, and TLS needs 2048 or more\. make a new key/,
  ],
  [
    'a signature with SHA-1',
    (name) => server(name, { hash: 'SHA-1' }),
    'cert.pem: error signature-weak',
    /^the certificate is signed with SHA-1, which TLS does not take\. have a new/,
  ],
  [
    'a certificate for clients',
    (name) => server(name, { usages: [CLIENT_AUTH] }),
    'cert.pem: error not-for-servers',
    /^is not for servers: its extended key usage does not name serverAuth/,
  ],
  [
    'the certificate of an authority',
    (name) => server(name, { ca: true }),
    'cert.pem: warning authority-as-server',
    /^is a certificate of an authority \(CA:TRUE\)/,
  ],
  [
    'a certificate without names',
    (name) => server(name, { names: [] }),
    'cert.pem: error no-names',
    /^names no host in its subjectAltName/,
  ],
  [
    'a certificate for another host',
    (name) => server(name, { names: ['a.example.com', 'b.example.com'] }),
    'cert.pem: warning hostname-missing',
    /^is not for mx\.example\.com \(node\.hostname\), but for a\.example\.com and b\.example\.com\. /,
  ],
  [
    'a certificate that is not for the host that it is shown to',
    async (name) => {
      await server(name);
      await server(`${name}-sni`);
      const names = [{ hosts: MX.concat('in.test'), certificate: `${name}-sni-cert.pem`, key: `${name}-sni-key.pem` }];
      return { names };
    },
    'sni-cert.pem: error host-missing',
    /^is not for in\.test \(tls\.names\[0\]\.hosts\), but for mx\.example\.com\. .*correct tls\.names\[0\]\.hosts$/,
  ],
  [
    'no certificate for listeners that want one',
    async () => ({ config: { tls: undefined } }),
    'tls: error no-certificate',
    /^there is no certificate for the listener mx \(starttls\)\. add tls: /,
  ],
  [
    'no certificate, and no listener that wants one',
    async () => ({
      config: { tls: undefined, listeners: [{ name: 'mx', kind: 'relay', port: 25, tls: 'none' }] },
    }),
    'tls: note no-certificate',
    /^there is no certificate, and no listener offers TLS/,
  ],
];

for (const [i, [what, make, expected, words]] of CASES.entries()) {
  test(`${what}: ${expected}`, async () => {
    const found = examineTls(await facts(`case${i}`, await make(`case${i}`)));
    assert.deepEqual(found.map(verdict), [expected]);
    const [finding] = found;
    assert.match(`${finding?.text}. ${finding?.help}`, words);
    assert.doesNotMatch(`${finding?.text}${finding?.help}`, /undefined|\.$/);
  });
}

test('every check has a case', () => {
  const cases = new Set(CASES.map(([, , expected]) => expected.split(' ').at(-1)));
  // What OpenSSL refuses and nothing here knows of cannot be made; what DNS has is another test's (published.test.ts).
  const isElsewhere = (check: string): boolean => check === 'certificate-refused' || check in PUBLISHED_CHECKS;
  const others = Object.keys(TLS_CHECKS).filter((check) => !isElsewhere(check));
  assert.deepEqual([...cases].sort(), others.sort());
});

const verdicts = (found: TlsFacts): string[] => examineTls(found).map(verdict);

test('there is nothing to say of what is right', async () => {
  await server('right', { names: ['*.example.com'] });
  assert.deepEqual(examineTls(await facts('right')), []);
});

/** Names of a certificate, a host that clients ask for, and whether it is for that host (RFC 9525 §6.3). */
const NAMES: [names: string[], host: string, isFor: boolean][] = [
  [['mx*.example.com'], 'mx1.example.com', false],
  [['*.example.com'], 'mx.example.com', true],
  [['*.example.com'], 'example.com', false],
  [['*.example.com'], 'a.mx.example.com', false],
  [['mx.*.com'], 'mx.example.com', false],
  [['MX.Example.com'], 'mx.example.com', true],
  [['other.test'], 'common-name.test', false],
];

for (const [i, [names, host, isFor]] of NAMES.entries()) {
  test(`a certificate for ${names} is ${isFor ? '' : 'not '}for ${host}`, async () => {
    const name = `names${i}`;
    const own = await issue('common-name.test', { by: middle, names });
    await server(name, {}, { certificate: () => own.certificate + middle.certificate, key: () => own.key });
    const found = verdicts(await facts(name, { config: { node: { hostname: host } } }));
    assert.deepEqual(found, isFor ? [] : [`${name}-cert.pem: warning hostname-missing`]);
  });
}

test('the certificate of others need not be for node.hostname where another one is for it', async () => {
  await server('others', { names: ['other.test'] });
  await server('own');
  const names = [{ hosts: MX, certificate: 'own-cert.pem', key: 'own-key.pem' }];
  assert.deepEqual(examineTls(await facts('others', { names })), []);
});

test('a key that fits another certificate of the configuration, and the other way round', async () => {
  await server('one');
  await server('two', { names: ['two.test'] });
  const names = [{ hosts: ['two.test'], certificate: 'two-cert.pem', key: 'one-key.pem' }];
  const found = examineTls(await facts('one', { key: 'two-key.pem', names }));
  assert.deepEqual(found.map(verdict), ['two-key.pem: error key-mismatch', 'one-key.pem: error key-mismatch']);
  const [first] = found;
  assert.match(
    first?.text ?? '',
    /one-cert\.pem; it fits \S+two-cert\.pem \(tls\.names\[0\]\.certificate\); the key of that certificate is \S+one-key\.pem \(tls\.names\[0\]\.key\)$/,
  );
  assert.match(first?.help ?? '', /belong together in tls\.certificate and tls\.key$/);
});

test('a certificate that signed itself is renewed by who made it', async () => {
  const own = await issue('mx.example.com', { names: MX, until: NOW - DAY_MS });
  await server('self', {}, { certificate: () => own.certificate, key: () => own.key });
  const [worst] = examineTls(await facts('self'));
  assert.equal(worst?.check, 'certificate-expired');
  assert.match(worst?.help ?? '', /^make a new one; /);
});

test('a file that two options name is told once', async () => {
  await server('twice', { until: NOW + DAY_MS });
  const names = [{ hosts: MX }];
  assert.deepEqual(verdicts(await facts('twice', { names })), ['twice-cert.pem: warning certificate-expiring']);
});

test('the certificate for the bus comes from an authority of ours and names no host, but expires', async () => {
  await server('listener');
  const ours = await issue('Bus', { ca: true });
  for (const [name, until] of [['bus', NOW + 90 * DAY_MS] as const, ['late', NOW - DAY_MS / 2] as const]) {
    const own = await issue('edge-1', { by: ours, usages: [CLIENT_AUTH], until });
    await server(name, {}, { certificate: () => own.certificate, key: () => own.key });
    const bus = { certificate: `${name}-cert.pem`, key: `${name}-key.pem` };
    const expected = name === 'late' ? ['late-cert.pem: error certificate-expired'] : [];
    assert.deepEqual(verdicts(await facts('listener', { bus })), expected);
  }
});

test('an authority that another one signed too is public by either', async () => {
  const former = await issue('Former Root', { ca: true });
  const { certificate: crossed } = await issue(root.name, { ca: true, by: former, keys: root.keys });
  await server('crossed', {}, { certificate: (own) => own.certificate + middle.certificate + crossed });
  assert.deepEqual(verdicts(await facts('crossed')), []);
});

test('what OpenSSL refuses is an error, unless its reason is told already', async () => {
  const refused = 'its reason';
  await server('refused');
  const { pairs, ...rest } = await facts('refused');
  const found = examineTls({ ...rest, pairs: pairs.map((pair) => ({ ...pair, refused })) });
  assert.deepEqual(found.map(verdict), ['refused-cert.pem: error certificate-refused']);
  assert.equal(found[0]?.text, 'cannot be used: its reason');
});

test('a file without permission: for whom, and whose it is', async () => {
  await put('closed.pem', '');
  const error = Object.assign(new Error('permission denied'), { code: 'EACCES' });
  const { kind, text } = await unread('tls.key', join(folder.path, 'closed.pem'), error);
  assert.equal(kind, 'unreadable');
  const uid = process.getuid?.() ?? '?';
  assert.match(
    text,
    new RegExp(`^cannot be read by \\S+ \\(uid ${uid}\\): it belongs to uid ${uid} and has mode 600$`),
  );
  const hidden = await unread('tls.key', join(folder.path, 'closed.pem', 'key.pem'), error);
  assert.match(hidden.text, /: a folder on its path is closed to this user$/);
});
