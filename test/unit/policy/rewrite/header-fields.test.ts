import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replaceAddresses } from '#services/policy/rewrite/header-fields.ts';

const become = (address: string): string =>
  address.toLowerCase() === 'old@x.example'
    ? 'new.address@y.example'
    : address === 'jürgen@x.example'
      ? 'j@y.example'
      : address;

const utf8 = (text: string): string => Buffer.from(text).toString('latin1');

/** A field, and what it becomes; undefined: it is no address list. */
const TABLE: [field: string, expected: string | undefined, why: string][] = [
  ['From: old@x.example\r\n', 'From: new.address@y.example\r\n', 'an address alone'],
  ['from :old@x.example\r\n', 'from :new.address@y.example\r\n', 'the name and its space stay'],
  [
    'From: "Doe, J. <old@x.example>" (old@x.example) <OLD@X.example>\r\n',
    'From: "Doe, J. <old@x.example>" (old@x.example) <new.address@y.example>\r\n',
    'display name and comment stay, whatever they look like',
  ],
  [
    'To: =?utf-8?Q?J=C3=B6rg?= <a@x.example>,\r\n\told@x.example,\r\n Friends: b@x.example,\r\n  old@x.example;\r\n',
    'To: =?utf-8?Q?J=C3=B6rg?= <a@x.example>,\r\n\tnew.address@y.example,\r\n Friends: b@x.example,\r\n  new.address@y.example;\r\n',
    'folds and groups stay',
  ],
  ['From: "old"@x.example\r\n', 'From: new.address@y.example\r\n', 'needless quotes'],
  [
    'From: old (c) @ x . example\r\n',
    'From: new.address@y.example\r\n',
    'obsolete spaces and comments in an address go',
  ],
  ['From: <@relay.example:old@x.example>\r\n', 'From: <@relay.example:new.address@y.example>\r\n', 'a source route'],
  [utf8('From: Jürgen <jürgen@x.example>\r\n'), utf8('From: Jürgen <j@y.example>\r\n'), 'UTF-8'],
  ['From: \xe4 <old@x.example>\r\n', 'From: \xe4 <new.address@y.example>\r\n', 'bytes that are no UTF-8 stay'],
  ['From: old@x.example', 'From: new.address@y.example\r\n', 'the last line of a header without an end'],
  ['From: other@x.example\r\n', 'From: other@x.example\r\n', 'no address of the map'],
  ['To: undisclosed-recipients:;\r\n', 'To: undisclosed-recipients:;\r\n', 'an empty group'],
  ['From: Doe, Ann <old@x.example>\r\n', undefined, 'not an address list'],
  ['From: old@x.example <old@x.example\r\n', undefined, 'a bracket that does not close'],
  ['From: old@x.example\r\nno field\r\n', undefined, 'a line that is no field'],
];

for (const [field, expected, why] of TABLE) {
  test(`${why}: ${JSON.stringify(field).slice(0, 60)}`, () => {
    assert.equal(replaceAddresses({ name: 'from', raw: field }, become)?.raw, expected);
  });
}

test('a field whose addresses stay is the field itself', () => {
  const field = { name: 'to', raw: 'To: a@x.example,\r\n b@x.example\r\n' };
  assert.equal(replaceAddresses(field, become), field);
});

test('a line that grows beyond 998 characters is folded', () => {
  const raw = `To: ${'old@x.example, '.repeat(60)}a@x.example\r\n`;
  const after = replaceAddresses({ name: 'to', raw }, become)?.raw ?? '';
  assert.ok(after.split('\r\n').every((line) => line.length <= 998));
  assert.equal(after.match(/new\.address@y\.example/g)?.length, 60);
  assert.match(after, /^To: new/);
});

test('a thousand addresses take no time to speak of', () => {
  const raw = `To: ${'Somebody Else <old@x.example>,\r\n '.repeat(9000)}a@x.example\r\n`;
  const start = process.cpuUsage();
  assert.match(replaceAddresses({ name: 'to', raw }, become)?.raw ?? '', /new\.address/);
  assert.ok(process.cpuUsage(start).user < 1_000_000);
});
