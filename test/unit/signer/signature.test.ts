import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitHeader } from '#shared/mail/header.ts';
import { bytesOf, LARGE, MESSAGES } from './messages.ts';
import { signatures, testKey, verdicts } from './signing.ts';

const RSA = testKey('example.com', 'r1', 'rsa');
const ED25519 = testKey('example.com', 'e1', 'ed25519');
const BOTH = [RSA, ED25519];
const PASS = { r1: 'pass', e1: 'pass' };

for (const message of [...MESSAGES, LARGE]) {
  test(`both signatures verify: ${message.name}`, async () => {
    const header = await signatures(message, BOTH);
    const all = await verdicts(bytesOf(message, header), BOTH);
    assert.deepEqual({ r1: all['r1'], e1: all['e1'] }, PASS);
  });
}

const plain = {
  name: 'plain',
  header: 'From: alice@example.com\r\nSubject: x\r\nTo: b@example.org\r\n',
  body: 'x\r\n',
};

/** What is done to the message in transit; `fail` where a reader would see something else than was signed. */
const CHANGES: [string, (signed: string) => string, 'pass' | 'fail'][] = [
  ['a second From above', (m) => `From: eve@example.net\r\n${m}`, 'fail'],
  ['a second From below', (m) => m.replace('Subject:', 'From: eve@example.net\r\nSubject:'), 'fail'],
  ['a second Subject', (m) => `Subject: y\r\n${m}`, 'fail'],
  ['a second To', (m) => `To: eve@example.net\r\n${m}`, 'fail'],
  ['a Reply-To that was absent', (m) => `Reply-To: eve@example.net\r\n${m}`, 'fail'],
  ['a Cc that was absent', (m) => `Cc: eve@example.net\r\n${m}`, 'fail'],
  ['a Date that was absent', (m) => `Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n${m}`, 'fail'],
  ['a Message-ID that was absent', (m) => `Message-ID: <x@y>\r\n${m}`, 'fail'],
  ['MIME-Version that was absent', (m) => `MIME-Version: 1.0\r\n${m}`, 'fail'],
  ['a Content-Type that was absent', (m) => `Content-Type: text/html\r\n${m}`, 'fail'],
  ['an encoding that was absent', (m) => `Content-Transfer-Encoding: base64\r\n${m}`, 'fail'],
  ['another From', (m) => m.replace('From: alice', 'From: alicia'), 'fail'],
  ['another body', (m) => m.replace(/x\r\n$/, 'y\r\n'), 'fail'],
  ['another d=', (m) => m.replaceAll('d=example.com', 'd=xample.com'), 'fail'],
  ['another t=', (m) => m.replace(/t=\d/g, 't=9'), 'fail'],
  ['a Received and a Sender', (m) => `Received: from x by y\r\nSender: list@example.net\r\n${m}`, 'pass'],
  ['list fields', (m) => `List-Id: <l.example.net>\r\nList-Unsubscribe: <mailto:x@example.net>\r\n${m}`, 'pass'],
  ['other folds', (m) => m.replace('Subject: x', 'Subject:\r\n   x'), 'pass'],
];

for (const [what, change, expected] of CHANGES) {
  test(`a signed message with ${what}: ${expected}`, async () => {
    const signed = bytesOf(plain, await signatures(plain, BOTH)).toString('latin1');
    const changed = change(signed);
    assert.notEqual(changed, signed);
    const all = await verdicts(Buffer.from(changed, 'latin1'), BOTH);
    for (const selector of ['r1', 'e1']) assert.equal(all[selector] === 'pass', expected === 'pass', selector);
  });
}

test('tags of a signature, in order, on lines of at most 78 characters', async () => {
  const long = 'a-rather-long-label.'.repeat(3);
  const header = await signatures({ ...plain, header: plain.header.replace('@', `@${long}`) }, [
    testKey('example.com', 'selector-2024.eu-west', 'rsa'),
    testKey('example.com', 'e1', 'ed25519'),
  ]);
  const fields = splitHeader(header);
  assert.equal(fields.length, 2);
  for (const field of fields) {
    for (const line of field.raw.split('\r\n')) assert.ok(line.length <= 78, line);
    const tags = field.raw
      .replace(/^DKIM-Signature:/, '')
      .replace(/\s+/g, '')
      .split(';');
    const names = tags.map((t) => t.slice(0, t.indexOf('=')));
    assert.deepEqual(names, ['v', 'a', 'c', 'd', 's', 't', 'h', 'bh', 'b']);
    assert.equal(tags[2], 'c=relaxed/relaxed');
    assert.equal(tags[3], 'd=example.com');
    const age = Date.now() / 1000 - Number(tags[5]?.slice(2));
    assert.ok(age >= 0 && age < 60);
  }
  assert.match(fields[0]?.raw ?? '', /a=rsa-sha256/);
  assert.match(fields[1]?.raw ?? '', /a=ed25519-sha256/);
});

test('h= names From twice and never a trace field; repeated fields as often as they are there', async () => {
  const message = MESSAGES.find((m) => m.name === 'the same field several times') ?? plain;
  const header = await signatures({ ...message, header: `Received: x\r\nReturn-Path: <>\r\n${message.header}` }, [RSA]);
  const names = /h=([^;]*);/.exec(header.replace(/\s+/g, ''))?.[1]?.toLowerCase().split(':') ?? [];
  const count = (name: string) => names.filter((n) => n === name).length;
  assert.deepEqual(
    ['from', 'subject', 'reply-to', 'resent-to', 'list-id', 'sender', 'received', 'return-path', 'dkim-signature'].map(
      count,
    ),
    [2, 3, 1, 3, 1, 0, 0, 0, 0],
  );
});
