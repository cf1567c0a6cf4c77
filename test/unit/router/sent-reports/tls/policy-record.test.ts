import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readersIn, readersOf } from '#services/router/sent-reports/tls/policy-record.ts';

const mail = (...addresses: string[]) => ({ mail: addresses, urls: [] as string[] });

/** RFC 8460 §3. */
const RECORDS: [record: string, readers: { mail: string[]; urls: string[] } | undefined][] = [
  ['v=TLSRPTv1; rua=mailto:tls@one.example,mailto:tls@ONE.example', mail('tls@one.example')],
  ['v=TLSRPTv1;rua=mailto:reports@example.com', mail('reports@example.com')],
  ['v=TLSRPTv1 ; rua=mailto:a@one.example , mailto:b@one.example ; ', mail('a@one.example', 'b@one.example')],
  [
    'v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt',
    { mail: [], urls: ['https://reporting.example.com/v1/tlsrpt'] },
  ],
  ['v=TLSRPTv1; ext=1; rua=mailto:a%2Bb@one.example; y.z=x', mail('a+b@one.example')],
  // Schemes that are not known, and addresses that are none.
  ['v=TLSRPTv1; rua=http://one.example/,ftp://one.example,mailto:,mailto:a@one.example!10m', mail()],
  ['v=TLSRPTv1; rua=https://user:secret@one.example/', mail()],
  // Not as it should be.
  ['v=TLSRPTv1;', undefined],
  ['v=TLSRPTv1; rua=', undefined],
  ['v=TLSRPTv1; rua=mailto:a@one.example; rua=mailto:b@one.example', undefined],
  ['v=TLSRPTv1; rua mailto:a@one.example', undefined],
  ['v=TLSRPTv1; rua=mailto:a b@one.example', undefined],
  ['v=TLSRPTv1; rua=mailto:a@one.example;; x=1', undefined],
];

test('who wants reports, by a record', () => {
  for (const [record, expected] of RECORDS) {
    const readers = readersIn(record);
    const found = readers && { mail: readers.mail.map(({ address }) => address), urls: readers.urls };
    assert.deepEqual(found, expected, record);
  }
});

test('a domain has exactly one record, or none; trouble of DNS is neither', async () => {
  const asked: string[] = [];
  const ask = (...texts: string[]) =>
    readersOf('one.example', async (name) => {
      asked.push(name);
      return texts.map((text) => [text]);
    });
  const record = 'v=TLSRPTv1; rua=mailto:tls@one.example';
  assert.deepEqual(
    (await ask('v=spf1 -all', record))?.mail.map(({ address }) => address),
    ['tls@one.example'],
  );
  assert.equal(await ask(record, record), undefined);
  assert.equal(
    await ask('v=TLSRPTv1x; rua=mailto:tls@one.example', 'v=tlsrptv1; rua=mailto:tls@one.example'),
    undefined,
  );
  assert.deepEqual(new Set(asked), new Set(['_smtp._tls.one.example']));
  const failing = (code: string) =>
    readersOf('one.example', () => Promise.reject(Object.assign(new Error(code), { code })));
  assert.equal(await failing('ENOTFOUND'), undefined);
  await assert.rejects(failing('ESERVFAIL'), /ESERVFAIL/);
});
