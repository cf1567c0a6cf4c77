import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sealMessage } from 'mailauth/lib/arc/index.js';
import { Authenticity } from '#shared/mail/authenticity.ts';
import { authenticationResults, receivedSpf } from '#shared/mail/authenticity-fields.ts';
import { seededRandom } from '#test/kit/random.ts';
import { MESSAGE, RSA, RSA_RECORD, signed, txt, verify, type Zone } from './fixtures.ts';

/** Headers and records that are nearly right: whatever they hold, something well formed is found out. */

const ROUNDS = 400;

const PIECES = [
  ...[
    '\u0000',
    '\u00ff',
    '=',
    ';',
    ':',
    '"',
    '(',
    ')',
    '\\',
    '<',
    '>',
    '@',
    '[',
    ']',
    ' ',
    '\t',
    '\r\n ',
    '\r\n',
    '\r',
    '\n',
  ],
  ...[
    '__proto__',
    'constructor=x;',
    'toString',
    '%',
    '%{',
    '%{i}',
    '=?utf-8?b?AAAA?=',
    'i=1;',
    'i=51;',
    'd=',
    's=',
    'b=',
  ],
  ...[
    '9'.repeat(40),
    '-1',
    '1e9',
    'NaN',
    'a=',
    'h=',
    '\u00e2\u0080\u00ae',
    'xn--',
    'xn--a',
    '..',
    'l=0',
    't=',
    'x=1',
    'c=/',
  ],
];
const RECORDS: Record<string, string> = {
  'TXT s1._domainkey.author.test': RSA_RECORD,
  'TXT author.test':
    'v=spf1 include:%{i}.author.test a:%{l1r-}.author.test mx exists:%{d2}.x.test ptr ip4:192.0.2.0/25 redirect=x.test',
  'TXT _dmarc.author.test':
    'v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; rua=mailto:a@author.test!10m; fo=1:d:s; psd=n; t=y',
};

const seed = Number(process.env['FUZZ_SEED'] ?? 20261129);

test(`${ROUNDS} messages and zones with mistakes (FUZZ_SEED=${seed})`, async () => {
  const random = seededRandom(seed);
  const below = (most: number): number => Math.floor(random() * most);
  const broken = (text: string, most = 6): string => {
    let result = text;
    for (let left = below(most) + 1; left > 0; left--) {
      const at = below(result.length);
      const piece =
        below(4) === 0 ? result.slice(below(result.length)).slice(0, below(60)) : PIECES[below(PIECES.length)];
      result = result.slice(0, at) + piece + result.slice(at + (below(3) === 0 ? below(20) : 0));
    }
    return result;
  };
  const record = (text: string): unknown[] | string => {
    const failures = ['ESERVFAIL', 'ENODATA', 'EBADNAME', [], [[]]];
    return below(8) === 0 ? (failures[below(failures.length)] ?? '') : txt(below(3) === 0 ? broken(text) : text);
  };
  const privateKey = RSA.export({ format: 'pem', type: 'pkcs8' }).toString();
  const seal = { signingDomain: 'author.test', selector: 's1', privateKey, cv: 'none' as const };
  const whole = await signed(MESSAGE);
  const fields = await sealMessage(Buffer.from(whole), { ...seal, authResults: 'mx.author.test; dkim=pass' });
  const header = fields.toString() + whole.slice(0, whole.indexOf('\r\n\r\n'));
  for (let round = 0; round < ROUNDS; round++) {
    const zone: Zone = {
      'MX author.test': [{ exchange: broken('mx.test', 1), priority: 1 }, {}],
      'PTR 7.2.0.192.in-addr.arpa': [broken('a.author.test', 1)],
      'A a.author.test': ['192.0.2.7', 'x'],
    };
    for (const [name, text] of Object.entries(RECORDS)) zone[name] = record(text);
    const message = `${broken(header)}\r\n\r\n${MESSAGE.slice(MESSAGE.indexOf('\r\n\r\n') + 4)}`;
    const helo = below(3) === 0 ? broken('mail.author.test', 2) : 'mail.author.test';
    const reversePath = ['', 'ann@author.test', broken('ann@author.test', 2)][below(3)] ?? '';
    const address = below(9) === 0 ? broken('2001:db8::1', 1) : '192.0.2.7';
    const found = await verify(message, { zone, reversePath, client: { address, helo } });
    Authenticity.parse(found);
    const trace = { client: { address, helo }, reversePath, hostname: 'mx1.local.test' };
    for (const field of [authenticationResults('mx1.local.test', found), receivedSpf(found.spf, trace)]) {
      assert.match(field, /^[A-Za-z-]+: (?:[\t\x20-\x7e]|\r\n\t[\x21-\x7e])*\r\n$/, JSON.stringify({ round, field }));
    }
  }
});
