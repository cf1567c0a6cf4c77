import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DSN_LANGUAGES, type DsnLanguage } from '#cluster/config/schema/reports/dsn.ts';
import { buildDsn } from '#services/router/notices/dsn.ts';
import type { NoticeFacts } from '#services/router/notices/facts.ts';
import type { NoticeKind, StatusChange } from '#services/router/notices/notices.ts';
import type { MessageRecord } from '#services/router/store/records.ts';
import type { EnvelopeRecipient, RecipientStatus } from '#shared/mail/envelope.ts';
import { rfc5322Date } from '#shared/mail/header.ts';
import { reply } from '#shared/mail/reply.ts';
import { commitFields, ORIGIN } from '#test/unit/router/fixture.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

const ORIGINAL = 'Message-ID: <1@sender.example>\r\nSubject: Hi\r\n\r\nThe body\r\n';

type Given = {
  kind?: NoticeKind;
  recipient?: Partial<EnvelopeRecipient>;
  status?: RecipientStatus;
  notice?: StatusChange['notice'];
  record?: Partial<MessageRecord>;
  original?: string | null;
  eightBitHeader?: boolean;
  language?: DsnLanguage;
};

const FAILED: RecipientStatus = {
  state: 'failed',
  outcome: { at: NOW - 1000, host: 'mx.peer.example[192.0.2.1]:25', reply: reply(550, '5.1.1', 'No such user') },
};

function dsn(given: Given = {}): { text: string; head: string; fields: (name: string) => string[] } {
  const original = given.original === null ? undefined : Buffer.from(given.original ?? ORIGINAL, 'utf8');
  const { facts } = commitFields(original ?? Buffer.from(ORIGINAL));
  const record: MessageRecord = {
    reversePath: 'alice@sender.example',
    smtpUtf8: false,
    origin: ORIGIN,
    trace: 'T',
    arrived: NOW - 60_000,
    facts: { ...facts, eightBitHeader: given.eightBitHeader ?? false },
    prepend: '',
    originating: false,
    junk: false,
    chunks: [facts.size],
    recipients: 1,
    held: false,
    delayNoticed: false,
    ...given.record,
  };
  const recipient = { recipient: { address: 'bob@peer.example', ...given.recipient }, busy: true };
  const status = given.status ?? FAILED;
  const noticeFacts: NoticeFacts = {
    kind: given.kind ?? 'failed',
    about: { id: 'QUEUEID', record },
    to: record.reversePath,
    language: given.language ?? 'en',
    changes: [{ recipient: { ...recipient, status }, status, notice: given.notice, silent: false }],
    original,
    hostname: 'mx.sealpost.test',
    now: NOW,
    until: NOW + 86_400_000,
  };
  const { bytes, headerBytes } = buildDsn('NOTICEID', noticeFacts);
  const text = bytes.toString('utf8');
  assert.ok(!/(?<!\r)\n|\r(?!\n)/.test(text), 'every line ends with CRLF');
  const unfolded = text.replace(/\r\n\t/g, ' ');
  return {
    text,
    head: bytes.subarray(0, headerBytes).toString('utf8'),
    fields: (name) => [...unfolded.matchAll(new RegExp(`^${name}: (.*?)\\r$`, 'gm'))].map((m) => m[1] ?? ''),
  };
}

test('a failure report has the header that keeps it from being answered', () => {
  const { head } = dsn();
  assert.match(head, /^From: Mail Delivery System <MAILER-DAEMON@mx\.sealpost\.test>\r$/m);
  assert.match(head, /^To: <alice@sender\.example>\r$/m);
  assert.match(head, /^Auto-Submitted: auto-replied\r$/m);
  assert.match(head, /^Date: Fri, 02 Jan 2026 03:04:05 \+0000\r$/m);
  assert.match(head, /^Message-ID: <NOTICEID@mx\.sealpost\.test>\r$/m);
  assert.match(head, /^References: <1@sender\.example>\r$/m);
  assert.match(head, /^Content-Type: multipart\/report; report-type=delivery-status;\r\n\tboundary="[^"]+"\r$/m);
  assert.ok(head.endsWith('\r\n\r\n'));
});

test('the words of others never break out of their field or line', () => {
  const evil = 'x\r\nBcc: eve@evil.example\r\n\r\nbody \u0000\u0085\u2028 end';
  const { text, head } = dsn({
    recipient: { orcpt: `rfc822;${evil}`, original: evil },
    record: { envid: evil },
    status: { state: 'failed', outcome: { at: NOW, host: evil, reply: { code: 550, text: evil } } },
    original: 'Message-ID: <1@x>\r\n\tBcc: eve\r\nSubject: x\r\n\r\n',
  });
  assert.ok(!/^Bcc:/m.test(text));
  assert.ok(!head.includes('eve'));
  assert.ok(!/[\x00\x85\u2028]/.test(text));
});

for (const [what, given, expected] of [
  ['a peer that contradicts itself', { reply: reply(550, '4.1.1', 'x') }, '5.1.1'],
  ['no enhanced code', { reply: { code: 554, text: 'x' } }, '5.0.0'],
  ['the usual', { reply: reply(550, '5.1.1', 'x') }, '5.1.1'],
] as const) {
  test(`the status code of ${what} is of the class that came true`, () => {
    assert.deepEqual(dsn({ status: { state: 'failed', outcome: { at: NOW, ...given } } }).fields('Status'), [expected]);
  });
}

test('a long answer of a peer is cut, and the notice stays ASCII', () => {
  const text = `5.1.1 ${'word '.repeat(300)}`;
  const { text: notice } = dsn({
    status: { state: 'failed', outcome: { at: NOW, host: 'mx.peer.example', reply: reply(550, '5.1.1', text) } },
  });
  assert.match(notice, /[word ]\.\.\./);
  assert.match(notice, /^[\x00-\x7f]*$/);
});

test('what the fields of a recipient say (RFC 3464 §2.3)', () => {
  const { fields } = dsn({
    recipient: { orcpt: 'rfc822;Bob@Old.example', original: 'info@x' },
    record: { envid: 'ID 7' },
  });
  assert.deepEqual(fields('Reporting-MTA'), ['dns; mx.sealpost.test']);
  assert.deepEqual(fields('Original-Envelope-Id'), ['ID 7']);
  assert.deepEqual(fields('Arrival-Date'), [rfc5322Date(NOW - 60_000)]);
  assert.deepEqual(fields('Original-Recipient'), ['rfc822; Bob@Old.example']);
  assert.deepEqual(fields('Final-Recipient'), ['rfc822; bob@peer.example']);
  assert.deepEqual(fields('Action'), ['failed']);
  assert.deepEqual(fields('Remote-MTA'), ['dns; mx.peer.example']);
  assert.deepEqual(fields('Diagnostic-Code'), ['smtp; 550 5.1.1 No such user']);
  assert.deepEqual(fields('Last-Attempt-Date'), [rfc5322Date(NOW - 1000)]);
  assert.deepEqual(fields('Will-Retry-Until'), []);
});

for (const [host, expected] of [
  ['mx.peer.example[2001:db8::1]:25', ['dns; mx.peer.example']],
  ['relay[127.0.0.1]:2525', ['dns; relay']],
  ['192.0.2.1[192.0.2.1]:25', ['dns; [192.0.2.1]']],
  ['2001:db8::1[2001:db8::1]:25', ['dns; [IPv6:2001:db8::1]']],
  ['maildir', []],
] as const) {
  test(`the remote MTA of ${host} (RFC 3464 §2.3.5)`, () => {
    const outcome = { at: NOW, host, reply: reply(550, '5.1.1', 'no') };
    assert.deepEqual(dsn({ status: { state: 'failed', outcome } }).fields('Remote-MTA'), expected);
  });
}

test('an alias is named where the sender used it', () => {
  const { fields, text } = dsn({ recipient: { original: 'info@ours.example' } });
  assert.deepEqual(fields('Original-Recipient'), ['rfc822; info@ours.example']);
  assert.match(text, /<bob@peer\.example> \(sent to <info@ours\.example>\)/);
});

test('our own words are not passed off as a peer’s', () => {
  const { fields } = dsn({ status: { state: 'failed', outcome: { at: NOW, reply: reply(550, '5.7.5', 'no key') } } });
  assert.deepEqual(fields('Remote-MTA'), []);
  assert.deepEqual(fields('Diagnostic-Code'), ['X-Sealpost; 550 5.7.5 no key']);
});

test('an expired recipient has failed by time, and the last answer is told', () => {
  const { fields, text } = dsn({
    status: { state: 'expired', outcome: { at: NOW, host: 'mx.peer.example', reply: reply(451, '4.2.0', 'busy') } },
  });
  assert.deepEqual([fields('Action'), fields('Status')], [['failed'], ['4.4.7']]);
  assert.match(text, /mx\.peer\.example said: 451 4\.2\.0 busy/);
});

test('a delay report says until when it is tried; a success report whether it was the last stop', () => {
  const deferred: RecipientStatus = {
    state: 'deferred',
    attempts: 3,
    nextAttempt: NOW,
    outcome: { at: NOW, reply: reply(451, '4.2.0', 'busy') },
  };
  const delayed = dsn({ kind: 'delayed', status: deferred });
  assert.deepEqual(delayed.fields('Action'), ['delayed']);
  assert.deepEqual(delayed.fields('Will-Retry-Until'), [rfc5322Date(NOW + 86_400_000)]);
  const delivered: RecipientStatus = {
    state: 'delivered',
    outcome: { at: NOW, host: 'a.example', reply: reply(250, '2.0.0', 'ok') },
  };
  assert.deepEqual(dsn({ kind: 'succeeded', status: delivered, notice: 'relayed' }).fields('Action'), ['relayed']);
  assert.deepEqual(dsn({ kind: 'succeeded', status: delivered, notice: 'final' }).fields('Action'), ['delivered']);
});

test('the original comes back as asked: its header, all of it, or not at all when it cannot be read', () => {
  const part = (text: string): string => text.slice(text.lastIndexOf('Content-Type:'));
  assert.match(
    part(dsn().text),
    /^Content-Type: text\/rfc822-headers\r\n\r\nMessage-ID: [^\n]*\nSubject: Hi\r\n\r\n--/,
  );
  assert.match(
    part(dsn({ record: { ret: 'FULL' } }).text),
    /^Content-Type: message\/rfc822\r\n\r\n[\s\S]*The body\r\n\r\n--/,
  );
  // RFC 3461 §4.3: RET speaks of failures.
  const relayed = dsn({ kind: 'succeeded', record: { ret: 'FULL' }, notice: 'relayed' });
  assert.match(part(relayed.text), /^Content-Type: text\/rfc822-headers/);
  assert.match(part(dsn({ original: null }).text), /^Content-Type: message\/delivery-status/);
});

/** The bytes of a text in quoted-printable. */
const decoded = (text: string): string =>
  Buffer.from(
    text
      .replace(/=\r\n/g, '')
      .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString();

test('addresses beyond ASCII: raw where the sender declared SMTPUTF8, escaped elsewhere (RFC 6533)', () => {
  const recipient = { address: 'bø+b@peer.example', orcpt: 'rfc822;bø@x.example' };
  const international = dsn({ recipient, record: { reversePath: 'ål@sender.example', smtpUtf8: true } });
  assert.match(international.text, /Content-Type: message\/global-delivery-status\r\nContent-Transfer-Encoding: 8bit/);
  assert.deepEqual(international.fields('Final-Recipient'), ['utf-8; bø+b@peer.example']);
  assert.deepEqual(international.fields('Original-Recipient'), ['utf-8; bø@x.example']);
  const plain = dsn({ recipient });
  assert.match(plain.text, /Content-Type: message\/delivery-status\r\n\r\n/);
  assert.deepEqual(plain.fields('Final-Recipient'), ['utf-8; b\\x{F8}\\x{2B}b@peer.example']);
  const status: RecipientStatus = {
    state: 'failed',
    outcome: { at: NOW, host: 'a.example', reply: reply(550, '5.1.1', 'weiß nicht') },
  };
  assert.deepEqual(dsn({ status }).fields('Diagnostic-Code'), ['smtp; 550 5.1.1 wei? nicht']);
});

/** What a client may name as the original recipient, and the address of its report; undefined: it has none. */
const ORIGINALS: [name: string, orcpt: string, expected: string | undefined][] = [
  ['in ASCII', 'rfc822;bob+x=y@x.example', 'rfc822; bob+x=y@x.example'],
  ['of a long address', `rfc822;${'b'.repeat(480)}@x.example`, `rfc822; ${'b'.repeat(480)}@x.example`],
  ['beyond ASCII', 'utf-8;bø@x.example', 'utf-8; b\\x{F8}@x.example'],
  ['in ASCII of type utf-8', 'utf-8;a+b@x.example', 'utf-8; a\\x{2B}b@x.example'],
  ['of a long address beyond ASCII', `utf-8;${'ø'.repeat(480)}@x.example`, undefined],
  ['that ends with white space', `rfc822;bob@x.example${' '.repeat(400)}`, 'rfc822; bob@x.example'],
  ['of white space', `rfc822;${' '.repeat(400)}`, undefined],
  ['without a type', 'bob@x.example', undefined],
];
for (const [name, orcpt, expected] of ORIGINALS) {
  test(`an original recipient ${name} leaves the delivery status plain and its lines short`, () => {
    const { text, fields } = dsn({ recipient: { orcpt } });
    assert.deepEqual(fields('Original-Recipient'), expected === undefined ? [] : [expected]);
    assertPlainStatus(text);
  });
}

/** RFC 3464 §2.1.1: no encoding; every line is a field or continues one. */
function assertPlainStatus(text: string): void {
  const part = /Content-Type: message\/delivery-status\r\n((?:[^\r]+\r\n)*)\r\n(.*?)\r\n--=_/s.exec(text);
  assert.equal(part?.[1], '', 'no Content-Transfer-Encoding');
  for (const line of part[2]?.split('\r\n') ?? []) {
    assert.match(line, /^(?:[A-Z][A-Za-z-]+: ?[\x20-\x7e]*|\t[\x20-\x7e]*[\x21-\x7e]|)$/);
    assert.ok(line.length <= 998, `a line of ${line.length} characters`);
  }
}

test('whatever the envelope and the names of hosts hold, the delivery status is plain and its lines are short', () => {
  const address = `${'+'.repeat(240)}ø@peer.example`;
  const status: RecipientStatus = {
    state: 'failed',
    outcome: { at: NOW, host: 'mx.bücher.example[192.0.2.1]:25', reply: reply(550, '5.1.1', 'ü'.repeat(2000)) },
  };
  const { text, fields } = dsn({ recipient: { address, original: address }, status, record: { envid: 'é' } });
  assertPlainStatus(text);
  assert.match(fields('Final-Recipient')[0] ?? '', /^utf-8; (?:\\x\{2B\})+\.\.\.$/);
  for (const name of ['Original-Recipient', 'Original-Envelope-Id', 'Remote-MTA']) assert.deepEqual(fields(name), []);
  const spaces = ' '.repeat(99);
  const outcome = { at: NOW, host: 'mx.example[192.0.2.1]:25', reply: reply(550, '5.1.1', `no${spaces}`) };
  assertPlainStatus(dsn({ status: { state: 'failed', outcome }, record: { envid: `x${spaces}` } }).text);
});

test('a header in UTF-8 comes back as what it is', () => {
  const original = 'Subject: Grüße\r\n\r\n';
  const declared = dsn({
    original,
    eightBitHeader: true,
    record: { reversePath: 'ål@sender.example', smtpUtf8: true },
  });
  assert.match(
    declared.text,
    /Content-Type: message\/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: Grüße/,
  );
  assert.match(declared.head, /^Content-Transfer-Encoding: 8bit\r$/m);
});

for (const [what, given] of [
  ['a raw header', { original: 'Subject: Grüße\r\n\r\n', eightBitHeader: true }],
  [
    'a raw header of declared mail',
    { original: 'Subject: Grüße\r\n\r\n', eightBitHeader: true, record: { smtpUtf8: true } },
  ],
  ['all of an 8-bit message', { original: 'Subject: a\r\n\r\nGrüße\r\n', record: { ret: 'FULL' } }],
  ['an address', { recipient: { address: 'bø@peer.example' }, record: { smtpUtf8: true } }],
  [
    'the words of a peer',
    { status: { state: 'failed', outcome: { at: NOW, reply: reply(550, '5.1.1', 'für Sie gesperrt') } } },
  ],
  ['a line that is too long', { original: `Subject: ${'x'.repeat(1500)}\r\n\r\n` }],
] as const satisfies readonly (readonly [string, Given])[]) {
  test(`a notice that quotes ${what} is 7-bit, so that no next hop refuses it`, () => {
    const { text } = dsn(given);
    assert.match(text, /^[\x00-\x7f]*$/);
    assert.ok(text.split('\r\n').every((line) => line.length <= 998));
  });
}

test('what a notice quotes in quoted-printable can be read', () => {
  const status: RecipientStatus = {
    state: 'failed',
    outcome: { at: NOW, host: 'a.example', reply: reply(550, '5.1.1', 'für Sie gesperrt') },
  };
  const { text } = dsn({ status, original: 'Subject: Grüße \r\nX: 1 = 1\r\n\r\n', eightBitHeader: true });
  assert.match(text, /charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n/);
  assert.match(decoded(text), /für Sie gesperrt/);
  assert.match(text, /Content-Type: text\/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n/);
  assert.match(decoded(text), /Subject: Grüße \r\nX: 1 = 1\r\n/);
});

test('a long header of a stranger is not quoted beyond 10 KB, and what identifies the message is', () => {
  const noise = Array.from({ length: 3000 }, (_, n) => `X-Noise-${n}: ${'n'.repeat(60)}\r\n`).join('');
  const huge = `X-Huge: ${'\r\n\thuge'.repeat(3000)}\r\n`;
  const { text } = dsn({ original: `${huge}${noise}Message-ID: <1@sender.example>\r\nSubject: Hi\r\n\r\nBody\r\n` });
  assert.ok(text.length < 12 * 1024, `${text.length} bytes`);
  assert.match(text, /Content-Description: Message header, shortened\r\n/);
  assert.match(text, /^Subject: Hi\r$/m);
  assert.match(text, /^Message-ID: <1@sender\.example>\r$/m);
  assert.ok(!text.includes('huge'));
});

for (const level of ['required', 'verified', 'requiretls'] as const) {
  test(`of mail that may travel in TLS only (${level}), a report quotes what says nothing`, () => {
    const original = `Received: from x\r\nFrom: a@x.test\r\n${ORIGINAL}`;
    const { text } = dsn({ original, record: { ret: 'HDRS', tls: { level, by: 'subject' } } });
    assert.match(
      text,
      /^Content-Type: text\/rfc822-headers\r\n\r\nFrom: a@x\.test\r\nMessage-ID: <1@sender\.example>\r\n\r\n--/m,
    );
    assert.doesNotMatch(text, /Subject: Hi|The body|Received/);
  });
}

for (const language of DSN_LANGUAGES) {
  test(`a notice in ${language} is 7-bit, and says the same to programs as one in English`, () => {
    for (const kind of ['failed', 'delayed', 'succeeded'] as const) {
      const given: Given = { kind, notice: 'relayed', recipient: { original: 'info@ours.example' } };
      const { text } = dsn({ ...given, language });
      assert.match(text, /^[\x00-\x7f]*$/);
      assert.ok(text.split('\r\n').every((line) => line.length <= 998));
      assert.match(text, new RegExp(`^Content-Language: ${language}\\r$`, 'm'));
      assertPlainStatus(text);
      assert.equal(statusOf(text), statusOf(dsn(given).text));
    }
  });
}

function statusOf(text: string): string | undefined {
  return /Content-Type: message\/delivery-status\r\n\r\n(.*?)\r\n--=_/s.exec(text)?.[1];
}

test('a text that is mostly beyond ASCII is in base64, one that is mostly ASCII in quoted-printable', () => {
  assert.match(dsn({ language: 'ja' }).text, /charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n/);
  assert.match(dsn({ language: 'de' }).text, /charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n/);
});

test('a failure is explained, with the words of the other server and with what to do; a delay needs nothing', () => {
  const { text } = dsn();
  assert.match(
    text,
    /^Your message to <bob@peer\.example> could not be delivered, and it will\r\nnot be tried again\.\r$/m,
  );
  assert.match(
    text,
    /does not know this address\.\r\n {4}mx\.peer\.example\[192\.0\.2\.1\]:25 said: 550 5\.1\.1 No such user\r\n {4}What to do: Check/,
  );
  const outcome = { at: NOW, host: 'mx.peer.example[192.0.2.1]:25', reply: reply(452, '4.2.2', 'Over quota') };
  const late = dsn({ kind: 'delayed', status: { state: 'deferred', attempts: 2, nextAttempt: NOW, outcome } }).text;
  assert.match(late, /The mailbox of the recipient is full\./);
  assert.doesNotMatch(late, /What to do/);
});
