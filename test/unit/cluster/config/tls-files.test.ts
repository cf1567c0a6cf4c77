import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createSelfSigned } from '#cluster/certificate.ts';
import { parseConfig } from '#cluster/config/load.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';

/** What `config check` says of files before the start finds out. */

let folder: TempDir;

before(async () => {
  folder = await tempDir('tls-files');
  const pair = await createSelfSigned({ dns: ['mx.example.com'] }, 30);
  const key = createPrivateKey(pair.key);
  const files = {
    'c.pem': pair.certificate,
    'k.pem': pair.key,
    'c.der': new X509Certificate(pair.certificate).raw,
    'k.der': key.export({ format: 'der', type: 'pkcs8' }),
    'sec1.der': key.export({ format: 'der', type: 'sec1' }),
    'encrypted.pem': key.export({ format: 'pem', type: 'pkcs8', cipher: 'aes128', passphrase: 'x' }),
    'old.pem': key.export({ format: 'pem', type: 'sec1', cipher: 'aes128', passphrase: 'x' }),
    'c1024.pem': CERTIFICATE_1024,
    'k1024.pem': KEY_1024,
    'other.pem': generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }),
    'broken.pem': `${pair.certificate}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`,
    'users.yaml': 'users: []\n',
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder.path, name), content, { mode: 0o600 });
  }
});

after(() => folder[Symbol.asyncDispose]());

const TABLE: [certificate: string, key: string, problem: RegExp | undefined][] = [
  ['c.pem', 'k.pem', undefined],
  ['c.der', 'k.pem', /^tls\.certificate: .*c\.der is a certificate in DER form.*openssl x509 -inform DER/],
  ['c.pem', 'k.der', /^tls\.key: .*k\.der is a private key in DER form.*openssl pkey -inform DER/],
  ['c.pem', 'sec1.der', /^tls\.key: .*in DER form/],
  ['c.pem', 'encrypted.pem', /^tls\.key: .*encrypted\.pem holds a private key that is encrypted.*openssl pkey/],
  ['c.pem', 'old.pem', /^tls\.key: .*old\.pem holds a private key that is encrypted/],
  ['c1024.pem', 'k1024.pem', /^tls\.certificate: .*c1024\.pem cannot be used: its key is too short.*2048/],
  ['c.pem', 'other.pem', /^tls\.key: .*other\.pem is not the key of the certificate/],
  ['broken.pem', 'k.pem', /^tls\.certificate: .*broken\.pem holds a certificate that is damaged \(number 2 of 2\)/],
  [
    'k.pem',
    'c.pem',
    /^tls\.certificate: .*no PEM certificate, but a private key: .*; tls\.key: .*no PEM private key, but a certificate: /,
  ],
];

async function check(text: string) {
  const loaded = await parseConfig(`node: { hostname: mx.example.com }\n${text}\n`, folder.path);
  const problems = loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${path.join('.')}: ${message}`);
  return { problems: problems.join('; '), warnings: loaded.warnings };
}

for (const [certificate, key, problem] of TABLE) {
  test(`${certificate} with ${key}: ${problem ?? 'nothing to say'}`, async () => {
    const { problems } = await check(`tls: { certificate: ${certificate}, key: ${key} }`);
    if (problem === undefined) assert.equal(problems, '');
    else assert.match(problems, problem);
  });
}

test('the certificates of the bus and of a next hop are checked alike', async () => {
  const bus = 'bus: { servers: ["tls://n:4222"], tls: { ca: c.der, certificate: c1024.pem, key: k1024.pem } }';
  const { problems } = await check(bus);
  assert.match(problems, /bus\.tls\.ca: .*DER form.*bus\.tls\.certificate: .*too short/);
});

test('a policy that our own certificate does not suit is told', async () => {
  const warned = async (section: string) => {
    const tls = 'tls: { certificate: c.pem, key: k.pem }';
    const domains = 'domains: [{ name: example.com, local: true }, { name: example.net }]';
    const { warnings } = await check([tls, domains, `mta-sts: ${section}`].join('\n'));
    return warnings.map((text) => /is not for (\S+):/.exec(text)?.[1] ?? text);
  };
  assert.deepEqual(await warned('{ mode: enforce, mx: [mx.example.com] }'), ['mta-sts.example.com']);
  assert.deepEqual(await warned('{ tls: none, address: 127.0.0.1 }'), []);
  // What another machine answers for has its certificate there.
  assert.deepEqual(await warned('{ tls: none, address: 127.0.0.1, mx: [mx2.example.com] }'), []);
  assert.deepEqual(await warned('{ mode: none, mx: [mx.example.com] }'), []);
  const name = 'node: { hostname: mx3.example.com }';
  const { warnings } = await parseConfig(
    `${name}\ntls: { certificate: c.pem, key: k.pem }\nmta-sts: { domains: [example.org], tls: none, address: 127.0.0.1 }`,
    folder.path,
  );
  assert.match(
    warnings.join(),
    /c\.pem is not for mx3\.example\.com: senders that follow the policy of mta-sts refuse it/,
  );
});

test('a users file that others on the machine can read or write is told', async () => {
  const { warnings } = await check('directory: { users: users.yaml }');
  assert.deepEqual(warnings, []);
  await chmod(join(folder.path, 'users.yaml'), 0o646);
  const [warning = '', ...more] = (await check('directory: { users: users.yaml }')).warnings;
  assert.match(warning, /users\.yaml can be read and written by every user .*chmod 600/);
  assert.deepEqual(more, []);
});

test('a server that calls itself localhost before the world is told', async () => {
  const warned = async (text: string) => {
    const { warnings } = await parseConfig(text, folder.path);
    return warnings.some((warning) => warning.includes('node.hostname is not set'));
  };
  const listener = (address: string) =>
    `listeners: [{ name: mx, kind: relay, address: "${address}", port: 25, tls: none }]`;
  assert.equal(await warned('listeners: []'), true);
  assert.equal(await warned('node: { hostname: mx.example.com }'), false);
  const routes = 'routes: [{ to: "*", via: capture }]';
  assert.equal(await warned(`${listener('::')}\n${routes}`), true);
  assert.equal(await warned(`${listener('127.0.0.1')}\n${routes}`), false);
});

const CERTIFICATE_1024 = `-----BEGIN CERTIFICATE-----
MIICCDCCAXGgAwIBAgIUYRJiDwzfNxZFRJUtWlaSdWxEerswDQYJKoZIhvcNAQEL
BQAwFTETMBEGA1UEAwwKc2hvcnQudGVzdDAgFw0yNjExMjkwODU4NDhaGA8yMTI2
MTEwNTA4NTg0OFowFTETMBEGA1UEAwwKc2hvcnQudGVzdDCBnzANBgkqhkiG9w0B
AQEFAAOBjQAwgYkCgYEAyVDBny4hP26aFjyPLBTQy7rAoXY0E5rbHKzHEz/fPORB
ExYh1Uu9T2ePcLHDXMjWhmPI0b2ZwooOBqwj1Qr62g9RbGGW7Grx4nQp53nbTyhe
zAY2Jjsu1xjRCfGyjwFyWE1tIW1QmvBdDlwYa5qToD4XyNR9xlAe7/9lPgXM4v8C
AwEAAaNTMFEwHQYDVR0OBBYEFExkup+BEKYx3/lVbMtXpjVhmeAeMB8GA1UdIwQY
MBaAFExkup+BEKYx3/lVbMtXpjVhmeAeMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZI
hvcNAQELBQADgYEAWS+kFYd8e7AtrSgAHUH5n3Ou2V45POt/MhYsUZmz+ArCp6+k
DhS6d/DoOVNq8NXGrT8ZRyjEhXWMIwpzMtaC8jw8+7U6zYEwZNpAbwAxOP3G7aUG
GBTsfap4sN1EfVyrMcSxpOp17QNnz0N9IX2b1ZJ/cLeZvvBFLS2V5isV2DU=
-----END CERTIFICATE-----
`;

/** A key for this test alone. */
const KEY_1024 = `-----BEGIN PRIVATE KEY-----
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAMlQwZ8uIT9umhY8
jywU0Mu6wKF2NBOa2xysxxM/3zzkQRMWIdVLvU9nj3Cxw1zI1oZjyNG9mcKKDgas
I9UK+toPUWxhluxq8eJ0Ked5208oXswGNiY7LtcY0Qnxso8BclhNbSFtUJrwXQ5c
GGuak6A+F8jUfcZQHu//ZT4FzOL/AgMBAAECgYB0RrWe2EkR1zMeltnnDxrOIU6z
s48+p5nZBR5yytiI1hmUCZt/FCEC5QDfiX0acVIfCzFpm4Zc69pQFksX+SCLnVSe
alMPEA6ASm9luJ8xYEb98WUlgnBZ/Vw0ma6GQS8UnKnnQ+m+tIwtwsKBj2ti02kc
0c1Ztq07velM38T+mQJBAPbbSAykckd2tHQLb1xlY8G1evkHUZPW4MmY1y3ZrRvK
AMUyAcUKi681MGhdX/lxEWRajgogEEjusi9o/PFaRC0CQQDQxaZGzXJxB1qoMf/s
Py/CHyyKzGHce0FfvX9Ua0nRw+w+3oE6eeoD84ogA1OFSsTomswyFs+cwmhNrO6x
RqNbAkEAqyONCM69N5QxOL5wvvK/vRzPG3Sads8i2kCu9WeS3tAlxpCLr4pHGvna
DJCnp+xebV9mV9iw0Y9CUyILMlwtJQJAcKNi7epkp2T/XaX0XWNOAh9NqelRl2KM
x/n2m/Zy0pExgk4MTR9/yff4+wKwakcH7DOwngm+o+Yj3lzCP7VL5wJBAI1Z2OaH
3Qjh0Ot+Cx+1bF2i9QV4ZaF3nKBMeYlhcymkYGQg4ltbP+qfnH9Z2eMTUHTYmL1j
piy5rjeGbSB3lrg=
-----END PRIVATE KEY-----
`;
