// @peculiar/x509 refuses to load without a reflect polyfill.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createHash, webcrypto, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import * as x509 from '@peculiar/x509';
import { usableRecords } from '#services/router/delivery/dane/records.ts';
import { verifyByDane } from '#services/router/delivery/dane/verify.ts';

/** Chains that the public vectors do not have: each is wrong in one thing. */

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
const NOW = Date.now();

type Made = { pem: X509Certificate; keys: webcrypto.CryptoKeyPair; name: string };
type Options = {
  by?: Made;
  ca?: boolean;
  names?: string[];
  notAfter?: number;
  extensions?: x509.Extension[];
};

let serial = 1;

async function make(name: string, options: Options = {}): Promise<Made> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const { by, ca = false, names, notAfter = NOW + DAY_MS, extensions = [] } = options;
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: String(serial++).padStart(2, '0'),
    subject: `CN=${name}`,
    issuer: `CN=${by?.name ?? name}`,
    notBefore: new Date(NOW - 10 * DAY_MS),
    notAfter: new Date(notAfter),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: (by?.keys ?? keys).privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(ca, undefined, true),
      ...(names === undefined
        ? []
        : [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value })))]),
      ...extensions,
    ],
  });
  return { pem: new X509Certificate(made.toString('pem')), keys, name };
}

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest();
const ta = ({ pem }: Made) => ({ usage: 2, selector: 0, matching: 1, data: sha256(pem.raw) });

const root = await make('Root', { ca: true });
const middle = await make('Middle', { by: root, ca: true });
const names = ['mx.test'];

/** The verdict on a chain, with the root as anchor. */
function judge(chain: Made[], records = [ta(root)], reference = ['mx.test', 'd.test']): string {
  const verdict = verifyByDane(
    chain.map(({ pem }) => pem),
    { records: usableRecords(records), names: reference, now: NOW },
  );
  return 'verified' in verdict ? verdict.verified : verdict.refused;
}

const good = await make('Leaf', { by: middle, names });

test('a chain up to the anchor is taken, in any order, and with strangers in it', async () => {
  const stranger = await make('Stranger', { ca: true });
  assert.equal(judge([good, middle, root]), 'dane-ta');
  assert.equal(judge([good, root, stranger, middle]), 'dane-ta');
});

test('a chain with a gap does not reach the anchor', () => {
  assert.equal(judge([good, root]), 'the certificate matches none of its TLSA records');
  assert.equal(judge([good]), 'the certificate matches none of its TLSA records');
});

test('an authority that the host adds to a chain of its own vouches for nothing', async () => {
  const forged = await make('Leaf', { names });
  assert.equal(judge([forged, root]), 'the certificate matches none of its TLSA records');
});

test('an authority of the same name with another key is not the anchor', async () => {
  const twin = await make('Root', { ca: true });
  const leaf = await make('Leaf', { by: twin, names });
  assert.equal(judge([leaf, twin]), 'the certificate matches none of its TLSA records');
  assert.equal(judge([leaf, root]), 'the certificate matches none of its TLSA records');
});

test('the owner of a certificate cannot issue others with it', async () => {
  const leaf = await make('Inner', { by: good, names });
  assert.equal(judge([leaf, good, middle, root]), 'the certificate of CN=Leaf in its chain is not one of an authority');
});

test('with DANE-TA a certificate that has expired is refused, at each place of the chain', async () => {
  const notAfter = NOW - DAY_MS;
  const until = new Date(Math.floor(notAfter / 1000) * 1000).toISOString();
  const expired = await make('Leaf', { by: middle, names, notAfter });
  assert.equal(judge([expired, middle, root]), `the certificate was valid until ${until}`);
  const old = await make('Old', { by: root, ca: true, notAfter });
  const leaf = await make('Leaf', { by: old, names });
  assert.equal(judge([leaf, old, root]), `the certificate of CN=Old in its chain was valid until ${until}`);
});

test('name constraints are not passed over: a certificate with them leads nowhere', async () => {
  const constraint = new x509.Extension('2.5.29.30', true, Buffer.from('3000', 'hex'));
  const limited = await make('Limited', { by: root, ca: true, extensions: [constraint] });
  const leaf = await make('Leaf', { by: limited, names });
  assert.match(judge([leaf, limited, root]), /^the certificate of CN=Limited in its chain has critical extensions/);
});

test('a certificate for clients is not one of a server', async () => {
  const usage = new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]);
  const leaf = await make('Leaf', { by: middle, names, extensions: [usage] });
  assert.equal(judge([leaf, middle, root]), 'the certificate is not for servers');
});

test('with DANE-TA the name counts: wildcards stand for one whole label, the subject only where nothing else does', async () => {
  const cases: [names: string[] | undefined, subject: string, taken: boolean][] = [
    [['other.test'], 'Leaf', true],
    [['*.d.test'], 'Leaf', true],
    [['m*.d.test'], 'Leaf', false],
    [['*.mx.d.test'], 'Leaf', false],
    [['elsewhere.test'], 'mx.d.test', false],
    [undefined, 'mx.d.test', true],
  ];
  for (const [given, subject, taken] of cases) {
    const leaf = await make(subject, { by: middle, ...(given && { names: given }) });
    const expected = taken ? 'dane-ta' : 'the certificate is not for mx.d.test or other.test';
    assert.equal(judge([leaf, middle, root], [ta(root)], ['mx.d.test', 'other.test']), expected, `${given ?? subject}`);
  }
});

test('an anchor that stands whole in the record need not be presented, certificate or key', () => {
  const whole = [{ usage: 2, selector: 0, matching: 0, data: root.pem.raw }];
  assert.equal(judge([good, middle], whole), 'dane-ta');
  const data = root.pem.publicKey.export({ type: 'spki', format: 'der' });
  assert.equal(judge([good, middle], [{ usage: 2, selector: 1, matching: 0, data }]), 'dane-ta');
  assert.equal(
    judge([good], [{ usage: 2, selector: 1, matching: 0, data }]),
    'the certificate matches none of its TLSA records',
  );
});

test('the certificate of the host is not its own authority', async () => {
  const own = await make('mx.test', { names, ca: true });
  assert.equal(judge([own], [ta(own)]), 'the certificate matches none of its TLSA records');
});

test('DANE-EE looks at the certificate of the host alone', () => {
  const ee = { usage: 3, selector: 0, matching: 1, data: sha256(good.pem.raw) };
  assert.equal(judge([good], [ee], ['other.test']), 'dane-ee');
  assert.equal(judge([middle, good], [ee]), 'the certificate matches none of its TLSA records');
  assert.equal(judge([], [ee]), 'it presented no certificate');
});

test('a chain of many certificates that all issue each other costs little', async () => {
  const many: Made[] = [];
  for (let i = 0; i < 40; i++) many.push(await make('Same', { ca: true }));
  const leaf = await make('Same', { names });
  assert.equal(judge([leaf, ...many]), 'the certificate matches none of its TLSA records');
});
