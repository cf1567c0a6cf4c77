import assert from 'node:assert/strict';
import { test } from 'node:test';
import { convertToSevenBit } from '#services/router/delivery/seven-bit/conversion.ts';
import { NotConvertible } from '#services/router/delivery/seven-bit/not-convertible.ts';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';

/** A message in lines; `\xfc` stands for that byte, a letter beyond latin1 is not used. */
const message = (...lines: string[]): Buffer => Buffer.from(lines.map((line) => `${line}\r\n`).join(''), 'latin1');
const utf8 = (text: string): string => Buffer.from(text).toString('latin1');

async function convert(source: Buffer, { step = 1000, breaksSignatures = true } = {}): Promise<string> {
  const pieces = function* () {
    for (let at = 0; at < source.length; at += step) yield source.subarray(at, at + step);
  };
  const converted = await convertToSevenBit(pieces, breaksSignatures);
  const body: Uint8Array[] = [];
  for await (const bytes of converted.body()) body.push(bytes);
  const hash = new RelaxedBodyHash();
  hash.update(Buffer.concat(body));
  assert.equal(converted.bodyHash, hash.digest(), 'the hash is that of the body');
  const whole = Buffer.concat([converted.header, ...body]);
  assert.equal(converted.size, whole.length, 'the size is that of the message');
  const text = whole.toString('latin1');
  assert.match(text, /^[\x00-\x7f]*$/);
  assert.ok(converted.header.toString('latin1').endsWith('\r\n\r\n'));
  return text;
}

async function refusal(source: Buffer, options = {}): Promise<string> {
  try {
    await convert(source, options);
  } catch (error) {
    assert.ok(error instanceof NotConvertible, String(error));
    return error.message;
  }
  return 'converted';
}

const lines = (...all: string[]): string => all.map((line) => `${line}\r\n`).join('');

test('a message that is not MIME becomes text/plain in the charset that its bytes are', async () => {
  const words = 'and many words that are ASCII';
  assert.equal(
    await convert(message('Subject: a', '', utf8(`Grüße ${words}`))),
    lines(
      'Subject: a',
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      `Gr=C3=BC=C3=9Fe ${words}`,
    ),
  );
  assert.match(await convert(message('Subject: a', '', `Gr\xfc\xdfe ${words}`)), /charset=unknown-8bit/);
});

test('only the parts with 8-bit content are encoded, and multiparts carry no encoding', async () => {
  const text = await convert(
    message(
      'MIME-Version: 1.0',
      'Content-Type: multipart/mixed; boundary="outer boundary"',
      'Content-Transfer-Encoding: 8bit',
      '',
      'pre\xe4mble',
      '--outer boundary',
      'Content-Type: text/plain; charset=iso-8859-1',
      'Content-Transfer-Encoding: 8bit',
      '',
      'Gr\xfc\xdfe, and a line that ends with a space ',
      '--outer boundary  ',
      'Content-Type: multipart/alternative; boundary=inner',
      'Content-Transfer-Encoding: binary',
      '',
      '--inner',
      '',
      'plain, 1 = 1',
      '--inner',
      'Content-Type: image/x-raw',
      'Content-Transfer-Encoding: 8bit',
      '',
      '\xff\xd8\xff',
      '--inner--',
      '--outer boundary',
      'Content-Type: text/html',
      'Content-Transfer-Encoding: base64',
      '',
      'PGI+',
      '--outer boundary--',
      '\xc4pilogue',
    ),
  );
  assert.equal(
    text,
    lines(
      'MIME-Version: 1.0',
      'Content-Type: multipart/mixed; boundary="outer boundary"',
      'Content-Transfer-Encoding: 7bit',
      '',
      'pre?mble',
      '--outer boundary',
      'Content-Type: text/plain; charset=iso-8859-1',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      'Gr=FC=DFe, and a line that ends with a space=20',
      '--outer boundary  ',
      'Content-Type: multipart/alternative; boundary=inner',
      'Content-Transfer-Encoding: 7bit',
      '',
      '--inner',
      '',
      'plain, 1 = 1',
      '--inner',
      'Content-Type: image/x-raw',
      'Content-Transfer-Encoding: base64',
      '',
      '/9j/',
      '--inner--',
      '--outer boundary',
      'Content-Type: text/html',
      'Content-Transfer-Encoding: base64',
      '',
      'PGI+',
      '--outer boundary--',
      '?pilogue',
    ),
  );
});

test('the message inside a message is converted where it lies: its parts, and its header', async () => {
  const text = await convert(
    message(
      'Content-Type: multipart/digest; boundary=b',
      '',
      '--b',
      '',
      'Subject: \xc4',
      '',
      'ASCII before \xc4',
      '--b',
      'Content-Type: message/rfc822',
      '',
      'Content-Type: text/plain; charset=us-ascii',
      '',
      'as it was',
      '--b--',
    ),
  );
  assert.equal(
    text,
    lines(
      'Content-Type: multipart/digest; boundary=b',
      'MIME-Version: 1.0',
      '',
      '--b',
      '',
      'Subject: =?unknown-8bit?B?xA==?=',
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=unknown-8bit',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      'ASCII before =C4',
      '--b',
      'Content-Type: message/rfc822',
      '',
      'Content-Type: text/plain; charset=us-ascii',
      '',
      'as it was',
      '--b--',
    ),
  );
});

test('a bounce with 8-bit words for programs arrives: they have no encoding, so they are masked', async () => {
  const text = await convert(
    message(
      'Content-Type: multipart/report; report-type=delivery-status; boundary=b',
      '',
      '--b',
      'Content-Type: message/delivery-status',
      '',
      'Diagnostic-Code: smtp; 550 f\xfcr',
      '--b--',
    ),
  );
  assert.match(text, /Diagnostic-Code: smtp; 550 f\?r\r\n/);
});

for (const [raw, expected] of [
  ['Subject: ASCII only ', 'Subject: ASCII only '],
  [utf8('Subject: Re: Grüße aus Köln, Ann'), 'Subject: Re: =?utf-8?B?R3LDvMOfZQ==?= aus =?utf-8?B?S8O2bG4s?= Ann'],
  ['Subject: Gr\xfc\xdfe sch\xf6n', 'Subject: =?unknown-8bit?B?R3L832Ugc2No9m4=?='],
  ['From: "M\xfcller, J." <j@x.test>', 'From: =?unknown-8bit?B?TfxsbGVyLCBKLg==?= <j@x.test>'],
  [utf8('To: Jörg Müller<j@x.test>, b@x.test'), 'To: =?utf-8?B?SsO2cmcgTcO8bGxlcg==?= <j@x.test>, b@x.test'],
  [utf8('Cc: j@x.test (Jörg)'), 'Cc: j@x.test (=?utf-8?B?SsO2cmc=?=)'],
  [utf8('Cc: Büro: j@x.test;'), 'Cc: =?utf-8?B?QsO8cm8=?= : j@x.test;'],
  [
    utf8('Content-Disposition: attachment; size=1; filename="Grüße 1.pdf"'),
    "Content-Disposition: attachment;\r\n\tsize=1;\r\n\tfilename*=utf-8''Gr%C3%BC%C3%9Fe%201.pdf",
  ],
] as const) {
  test(`the field "${Buffer.from(raw, 'latin1')}" in 7 bit`, async () => {
    const text = await convert(message(raw, 'MIME-Version: 1.0', 'Content-Type: text/x', '', '\xc4 in a longer text'));
    assert.equal(text.slice(0, text.indexOf('\r\nMIME')), expected);
  });
}

test('a long subject is cut between characters into words of at most 75', async () => {
  const subject = 'ä€😀'.repeat(60);
  const text = await convert(message(utf8(`Subject: ${subject}`), '', '\xc4'));
  const words = [...text.matchAll(/=\?utf-8\?B\?([^?]*)\?=/g)];
  assert.ok(words.every(([word]) => word.length <= 75));
  assert.equal(words.map(([, base64 = '']) => Buffer.from(base64, 'base64').toString()).join(''), subject);
});

const TWO_PARTS = ['Content-Type: multipart/mixed; boundary=b', '', '--b', '', '\xc4'];
for (const [what, source] of [
  ['a second Content-Type', message('Content-Type: text/plain', 'Content-Type: text/html', '', '\xc4')],
  ['an encoding that it contradicts', message('Content-Transfer-Encoding: base64', '', '\xc4')],
  ['an encoding that nobody knows', message('Content-Transfer-Encoding: x-zip', '', '\xc4')],
  [
    'a multipart with an encoding',
    message('Content-Type: multipart/mixed; boundary=b', 'Content-Transfer-Encoding: base64', '', '--b', '', '\xc4'),
  ],
  ['a multipart without a boundary', message('Content-Type: multipart/mixed', '', '--b', '', '\xc4', '--b--')],
  ['two boundaries', message('Content-Type: multipart/mixed; boundary=b; boundary=c', '', '--b', '', '\xc4')],
  ['a boundary that never comes', message('Content-Type: multipart/mixed; boundary=b', '', '\xc4')],
  // Dovecot takes the first two for delimiters; Python, mailsplit and mailauth do not.
  ['a boundary with text after it', message(...TWO_PARTS, '--b text', '', '\xc4', '--b--')],
  ['the last boundary with text after it', message(...TWO_PARTS, '--b--text', '', '\xc4', '--b--')],
  ['a boundary with more white space than a line holds', message(...TWO_PARTS, `--b${' '.repeat(1000)}`, '--b--')],
  ['a boundary at the beginning of a long line', message(...TWO_PARTS, `--b${'x'.repeat(9000)}`, '--b--')],
  ['a header line that is no field', message('Subject: a', 'no field', '', '\xc4')],
  ['an 8-bit address', message('From: J\xf6rg@x.test', '', '\xc4')],
  ['an 8-bit trace field', message('Received: from \xc4', '', '\xc4')],
  ['a quoted string without an end', message('From: "J\xf6rg <j@x.test>', '', '\xc4')],
  ['a message/partial', message('Content-Type: message/partial', '', '\xc4')],
] as const) {
  test(`a message with ${what} is not converted, because readers could differ`, async () => {
    assert.notEqual(await refusal(source), 'converted');
  });
}

test('a part whose encoding has 8-bit characters beside it does not go out with them', async () => {
  const multipart = ['Content-Type: multipart/mixed; boundary=b', '', '--b'];
  for (const field of [
    ['Content-Transfer-Encoding: 8bit (gr\xfc\xdfe)'],
    ['Content-Transfer-Encoding: 8bit', 'gr\xfc\xdfe'],
  ])
    assert.match(await refusal(message(...multipart, ...field, '', 'text', '--b--')), /content-transfer-encoding/);
});

test('a signature of others is broken only where that is allowed', async () => {
  const signed = message('DKIM-Signature: v=1', 'Subject: a', '', '\xc4');
  const part = ['Content-Type: multipart/signed; boundary=b', '', '--b', '', '\xc4', '--b--'];
  for (const source of [signed, message(...part)]) {
    assert.match(await refusal(source, { breaksSignatures: false }), /signature/);
    assert.equal(await refusal(source, { breaksSignatures: true }), 'converted');
  }
});

test('a boundary that begins like another one is its own', async () => {
  const outer = 'Content-Type: multipart/mixed; boundary=b';
  const inner = ['--b', 'Content-Type: multipart/mixed; boundary=b2', ''];
  const text = await convert(message(outer, '', ...inner, '--b2', '', 'one', '--b2', '', '\xc4', '--b2--', '--b--'));
  assert.match(text, /\r\none\r\n--b2\r\n(?:[A-Z].*\r\n)*\r\nxA==\r\n--b2--\r\n--b--\r\n$/);
});

test('where the bytes are cut changes nothing', async () => {
  const source = message(
    utf8('Subject: Grüße'),
    'Content-Type: multipart/mixed; boundary=b',
    '',
    '--b',
    '',
    utf8('ä  '),
    '',
    '--b',
    'Content-Type: application/x',
    '',
    `\xff${'x'.repeat(9000)}`,
    '--b--',
  );
  const whole = await convert(source, { step: source.length });
  for (const step of [1, 2, 3, 7, 4095, 4097]) assert.equal(await convert(source, { step }), whole);
});

test('lines of any length come out short, and the text is the same', async () => {
  const text = utf8(`${'ä b '.repeat(20_000)}${'c'.repeat(400_000)}`);
  const converted = await convert(message('Subject: a', '', text), { step: 32_768 });
  assert.ok(converted.split('\r\n').every((line) => line.length <= 76));
  const body = converted.slice(converted.indexOf('\r\n\r\n') + 4);
  const decoded = body
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  assert.equal(decoded, `${text}\r\n`);
});

for (const [what, hostile] of [
  ['one word', (size: number) => message(`Subject: \xc4 ${'x'.repeat(size)}`, '', '\xc4')],
  ['quotes that end nothing', (size: number) => message(`From: \xc4 "${'\\"'.repeat(size / 2)}`, '', '\xc4')],
  ['names', (size: number) => message(`From: ${'\xc4,'.repeat(size / 2)}`, '', '\xc4')],
  ['parameters', (size: number) => message(`Content-Type: text/x; ${'a'.repeat(size)}\xc4`, '', '\xc4')],
  [
    'dashes',
    (size: number) =>
      message('Content-Type: multipart/mixed; boundary=b', '', `--${' '.repeat(size)}x`, '--b', '', '\xc4'),
  ],
  [
    'lines of spaces',
    (size: number) =>
      message(
        'Content-Type: multipart/mixed; boundary=b',
        '',
        ...Array<string>(size / 20).fill(`--${' '.repeat(900)}x`),
        '--b',
        '',
        '\xc4',
      ),
  ],
  [
    'delimiters',
    (size: number) =>
      message('Content-Type: multipart/mixed; boundary=b', '', ...Array<string>(size / 100).fill('--b'), '', '\xc4'),
  ],
] as const) {
  test(`${what} of a stranger take time linear in their size`, async () => {
    // Of the processor, which a busy machine does not change.
    const began = process.cpuUsage();
    await refusal(hostile(200_000), { step: 32_768 });
    const { user } = process.cpuUsage(began);
    // Quadratic: ten seconds and more.
    assert.ok(user < 2_000_000, `${user / 1000} ms`);
  });
}
