import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MESSAGE, signed, txt, verify, ZONE, type Zone } from './fixtures.ts';

const SIGNED = await signed(MESSAGE);
const elsewhere = { reversePath: 'x@elsewhere.test' };
const withPolicy = (record: string, zone: Zone = ZONE): Zone => ({ ...zone, 'TXT _dmarc.author.test': txt(record) });

test('a signature of the author passes, and so does SPF for the author', async () => {
  const bySignature = await verify(SIGNED, elsewhere);
  assert.deepEqual(
    [bySignature.dmarc.result, bySignature.dmarc.dkimAligned, bySignature.dmarc.spfAligned],
    ['pass', true, false],
  );
  const bySpf = await verify(MESSAGE);
  assert.deepEqual([bySpf.dmarc.result, bySpf.dmarc.dkimAligned, bySpf.dmarc.spfAligned], ['pass', false, true]);
  const { dmarc } = await verify(MESSAGE, elsewhere);
  assert.deepEqual(
    [dmarc.result, dmarc.policy, dmarc.from, dmarc.disposition],
    ['fail', 'reject', 'author.test', 'none'],
  );
});

test('the record is told as it is published', async () => {
  const record =
    'v=DMARC1; p=quarantine; sp=none; np=reject; adkim=s; aspf=s; t=y; fo=1; rua=mailto:a@author.test!10m; ruf=mailto:f@author.test';
  const { dmarc } = await verify(MESSAGE, { ...elsewhere, zone: withPolicy(record) });
  assert.deepEqual(dmarc.record, {
    ...{ domain: 'author.test', p: 'quarantine', sp: 'none', np: 'reject', adkim: 's', aspf: 's', testing: true },
    ...{ rua: 'mailto:a@author.test!10m', ruf: 'mailto:f@author.test', fo: '1' },
  });
  assert.equal(dmarc.policy, 'none');
});

test('a public suffix gets no failure reports', async () => {
  const rest = 'rua=mailto:a@author.test; ruf=mailto:f@author.test';
  for (const [psd, ruf] of [
    ['y', undefined],
    ['n', 'mailto:f@author.test'],
  ]) {
    const zone = withPolicy(`v=DMARC1; p=none; psd=${psd}; ${rest}`);
    const { dmarc } = await verify(MESSAGE, { ...elsewhere, zone });
    assert.deepEqual([dmarc.record?.rua, dmarc.record?.ruf], ['mailto:a@author.test', ruf], psd);
  }
});

/** Author, records and what DMARC says of an unsigned message from elsewhere. */
const POLICIES: [what: string, from: string, zone: Zone, result: string, policy: string | undefined][] = [
  ['no record', 'ann@author.test', {}, 'none', undefined],
  ['p=none', 'ann@author.test', { 'TXT _dmarc.author.test': txt('v=DMARC1; p=none') }, 'fail', 'none'],
  [
    'a dozen records',
    'ann@author.test',
    { 'TXT _dmarc.author.test': txt(...Array(12).fill('v=DMARC1; p=reject')) },
    'none',
    undefined,
  ],
  [
    'one among other texts',
    'ann@author.test',
    { 'TXT _dmarc.author.test': txt('x', 'v=DMARC1; p=reject', 'v=spf1') },
    'fail',
    'reject',
  ],
  [
    'no policy, and nobody to report to',
    'ann@author.test',
    { 'TXT _dmarc.author.test': txt('v=DMARC1; p=maybe') },
    'none',
    undefined,
  ],
  [
    'no policy, and somebody to report to',
    'ann@author.test',
    { 'TXT _dmarc.author.test': txt('v=DMARC1; p=maybe; rua=mailto:a@author.test') },
    'fail',
    'none',
  ],
  [
    'sp of the domain above',
    'a@b.author.test',
    { 'A b.author.test': ['192.0.2.1'], 'TXT _dmarc.author.test': txt('v=DMARC1; p=reject; sp=quarantine; np=none') },
    'fail',
    'quarantine',
  ],
  [
    'np of a domain that does not exist',
    'a@nobody.author.test',
    { 'TXT _dmarc.author.test': txt('v=DMARC1; p=none; sp=none; np=reject') },
    'fail',
    'reject',
  ],
  ['t=y', 'ann@author.test', { 'TXT _dmarc.author.test': txt('v=DMARC1; p=reject; t=y') }, 'fail', 'quarantine'],
  ['psd=y above', 'a@b.bank.test', { 'TXT _dmarc.bank.test': txt('v=DMARC1; p=reject; psd=y') }, 'fail', 'reject'],
  ['silence of DNS', 'ann@author.test', { 'TXT _dmarc.author.test': 'ESERVFAIL' }, 'temperror', undefined],
  [
    '64 KB',
    'ann@author.test',
    { 'TXT _dmarc.author.test': txt(`v=DMARC1; p=reject; x=${'y'.repeat(65_000)}`) },
    'fail',
    'reject',
  ],
  ['an address literal', 'ann@[192.0.2.7]', {}, 'none', undefined],
  ['a thousand labels', `ann@${'a.'.repeat(100)}test`, {}, 'none', undefined],
];
for (const [what, from, zone, result, policy] of POLICIES) {
  test(`DMARC with ${what}: ${result}${policy === undefined ? '' : `, ${policy}`}`, async () => {
    const { dmarc } = await verify(MESSAGE.replace('ann@author.test', from), { ...elsewhere, zone });
    assert.deepEqual([dmarc.result, dmarc.policy], [result, policy], JSON.stringify(dmarc));
  });
}

test('alignment: another domain of the same organization, unless the record wants the same', async () => {
  const signer = { ...ZONE, 'TXT s1._domainkey.mail.author.test': ZONE['TXT s1._domainkey.author.test'] ?? [] };
  const message = await signed(MESSAGE, { domain: 'mail.author.test' });
  const relaxed = await verify(message, { ...elsewhere, zone: signer });
  assert.deepEqual([relaxed.dmarc.result, relaxed.dkim[0]?.aligned], ['pass', true]);
  const strict = await verify(message, { ...elsewhere, zone: withPolicy('v=DMARC1; p=reject; adkim=s', signer) });
  assert.deepEqual([strict.dmarc.result, strict.dkim[0]?.result, strict.dkim[0]?.aligned], ['fail', 'pass', false]);
});

test('a signature of a stranger does not count for the author', async () => {
  const zone = { ...ZONE, 'TXT s1._domainkey.notauthor.test': ZONE['TXT s1._domainkey.author.test'] ?? [] };
  const { dkim, dmarc } = await verify(await signed(MESSAGE, { domain: 'notauthor.test' }), { ...elsewhere, zone });
  assert.deepEqual([dkim[0]?.result, dkim[0]?.aligned, dmarc.result], ['pass', false, 'fail']);
});

test('where DNS does not say whether the author signed, nothing is certain', async () => {
  const unsure = await verify(SIGNED, {
    ...elsewhere,
    zone: { ...ZONE, 'TXT s1._domainkey.author.test': 'ESERVFAIL' },
  });
  assert.deepEqual([unsure.dmarc.result, unsure.dmarc.policy], ['temperror', 'reject']);
  const spf = await verify(MESSAGE, { zone: { ...ZONE, 'TXT author.test': 'ESERVFAIL' } });
  assert.equal(spf.dmarc.result, 'temperror');
  // A stranger whose name servers are silent does not make it so.
  const zone = { ...ZONE, 'TXT elsewhere.test': 'ESERVFAIL', 'TXT s1._domainkey.elsewhere.test': 'ESERVFAIL' };
  const stranger = await verify(await signed(MESSAGE, { domain: 'elsewhere.test' }), { ...elsewhere, zone });
  assert.equal(stranger.dmarc.result, 'fail');
});

/** Where SPF is not asked about the client, what only SPF could tell is not known. */
const UNASKED: [what: string, reversePath: string, message: string, result: string, policy: string | undefined][] = [
  ['of the author', 'ann@author.test', MESSAGE, 'temperror', undefined],
  ['of the author, with a signature that holds', 'ann@author.test', SIGNED, 'pass', 'reject'],
  ['of a stranger', 'x@elsewhere.test', MESSAGE, 'fail', 'reject'],
];
for (const [what, reversePath, message, result, policy] of UNASKED) {
  test(`a reverse-path ${what}, through a gateway or from a host that is exempt from SPF: ${result}`, async () => {
    for (const client of [{ gateway: true }, { spfExempt: true }]) {
      const { dmarc } = await verify(message, { reversePath, ...client });
      assert.deepEqual([dmarc.result, dmarc.policy], [result, policy], JSON.stringify(dmarc));
    }
  });
}

/** Signatures in the name of the author that a stranger made so that no answer can be had. */
const EVASIONS: [what: string, selector: string][] = [
  ['that DNS cannot carry', Array(5).fill('a'.repeat(60)).join('.')],
  ['that does not exist', 'nothing'],
];
for (const [what, selector] of EVASIONS) {
  test(`a key name ${what} makes no failure uncertain`, async () => {
    const message = SIGNED.replace('s=s1;', `s=${selector};`).replace('t=', ' t=');
    assert.notEqual(message, SIGNED);
    const zone: Zone = {
      ...ZONE,
      [`TXT ${selector}._domainkey.author.test`]: selector.length > 200 ? 'EBADNAME' : 'ENOTFOUND',
    };
    const { dkim, dmarc } = await verify(message, { ...elsewhere, zone });
    assert.deepEqual([dkim[0]?.result, dmarc.result], ['permerror', 'fail'], JSON.stringify(dkim));
  });
}

test('a domain that looks like the author’s in other characters is another one', async () => {
  // U+FF41 is a for those who map compatible characters; its A-label is a domain of its own.
  const domain = '\uff41uthor.test';
  const zone: Zone = { ...ZONE, 'TXT s1._domainkey.xn--uthor-3i74c.test': ZONE['TXT s1._domainkey.author.test'] ?? [] };
  const message = SIGNED.replace('d=author.test', `d=${Buffer.from(domain).toString('latin1')}`);
  const asked: string[] = [];
  const { dkim, dmarc } = await verify(message, { ...elsewhere, zone, asked });
  assert.equal(asked.includes('TXT s1._domainkey.author.test'), false);
  assert.match(dkim[0]?.domain ?? '', /^xn--/);
  assert.deepEqual([dkim[0]?.aligned, dmarc.result], [false, 'fail']);
});

test('where too many policies are asked for, the message waits', async () => {
  const busy = verify(MESSAGE, { ...elsewhere, zone: { ...ZONE, 'TXT _dmarc.author.test': 'EBUSY' } });
  await assert.rejects(busy, { code: 'busy' });
});

test('what the SPF record of a stranger asks for leaves DMARC its questions', async () => {
  const terms = Array.from({ length: 10 }, (_, i) => `mx:m${i}.elsewhere.test`);
  const zone: Zone = { ...ZONE, 'TXT elsewhere.test': txt(`v=spf1 ${terms.join(' ')} -all`) };
  for (const i of terms.keys()) {
    const hosts = Array.from({ length: 10 }, (_, n) => `h${n}.m${i}.elsewhere.test`);
    zone[`MX m${i}.elsewhere.test`] = hosts.map((exchange) => ({ exchange, priority: 1 }));
    for (const host of hosts) zone[`A ${host}`] = ['192.0.2.200'];
  }
  const { spf, dmarc } = await verify(MESSAGE, { ...elsewhere, zone });
  assert.notEqual(spf.result, 'pass');
  assert.deepEqual([dmarc.result, dmarc.policy], ['fail', 'reject']);
});

/** Authors that no domain's policy can be asked for. */
const UNCLEAR: [what: string, from: string, reason: RegExp][] = [
  ['no From', 'X-From: ann@author.test', /no From field/],
  ['two', 'From: ann@author.test\r\nFrom: eve@elsewhere.test', /more than one/],
  ['two, the second in capitals', 'From: ann@author.test\r\nFROM: eve@elsewhere.test', /more than one/],
  ['a second behind a fold', 'From: ann@author.test\r\nFrom\r\n : eve@elsewhere.test', /more than one/],
  [
    'authors of two domains',
    'From: ann@author.test, eve@elsewhere.test',
    /authors of author\.test and elsewhere\.test/,
  ],
  ['an address as display name', 'From: ann@author.test <eve@elsewhere.test>', /authors of/],
  ['an encoded address as display name', 'From: a, =?utf-8?q?ann=40author.test?= <eve@elsewhere.test>', /authors of/],
  ['a name alone', 'From: Ann', /no address|different ways/],
  ['nobody', 'From: undisclosed:;', /no address/],
  ['nothing', 'From:', /no address|different ways/],
  ['a line that is not one', 'From: ann@author.test\r\neve@elsewhere.test', /different ways/],
];
for (const [what, from, reason] of UNCLEAR) {
  test(`From with ${what}: no author, so never a pass`, async () => {
    const { dmarc } = await verify(SIGNED.replace('From: Ann <ann@author.test>', from), { zone: ZONE });
    assert.equal(dmarc.result, 'permerror', JSON.stringify(dmarc));
    assert.match(dmarc.reason ?? '', reason);
    assert.equal(dmarc.from, undefined);
  });
}

/** Odd, and clear. */
const CLEAR: [from: string, domain: string][] = [
  ['Ann <ann@author.test>, Bob <bob@Author.TEST.>', 'author.test'],
  ['"eve@elsewhere.test" <ann@author.test>', 'author.test'],
  ['(eve@elsewhere.test) ann@author.test (x)', 'author.test'],
  ['ann @ author.test', 'author.test'],
  ['=?utf-8?q?J=C3=BCrgen?= <ann@author.test>', 'author.test'],
  ['"a@b"@author.test', 'author.test'],
  ['Team: ann@author.test, bob@author.test;', 'author.test'],
  ['Ann <ann@author.test', 'author.test'],
  ['ann@b\u00c3\u00bccher.test', 'xn--bcher-kva.test'],
];
for (const [from, domain] of CLEAR) {
  test(`the author in ${JSON.stringify(from)} is of ${domain}`, async () => {
    const { dmarc } = await verify(MESSAGE.replace('Ann <ann@author.test>', from));
    assert.equal(dmarc.from, domain, JSON.stringify(dmarc));
  });
}
