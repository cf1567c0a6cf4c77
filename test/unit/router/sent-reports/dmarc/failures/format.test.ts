import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FailureMail, failureBody, needsSpfRecord } from '#services/router/sent-reports/dmarc/failures/format.ts';
import { ORIGIN } from '#test/unit/router/fixture.ts';
import { found } from '#test/unit/router/sent-reports/dmarc/found.ts';

const FOUND = found('one.example', { result: 'fail', dkimAligned: false, spfAligned: false });

function mail(more: Partial<FailureMail> = {}, failed: Partial<FailureMail['failed']> = {}): FailureMail {
  return {
    failed: {
      ...{ queueId: 'Q', trace: 'T', origin: ORIGIN, reversePath: 'a@one.example', recipients: ['bob@here.example'] },
      ...{ arrived: Date.UTC(2030, 0, 2, 3, 4, 5), result: 'reject', ...failed },
    },
    ...{ found: FOUND, domain: 'one.example', quoted: Buffer.from('From: <a@one.example>\r\n'), spfRecord: undefined },
    ...{ authservId: 'mx.here.example', hostname: 'mx.here.example', agent: 'Sealpost/1.0' },
    ...more,
  };
}

/** The fields of the second part, unfolded. */
function fields(facts: FailureMail): Map<string, string> {
  const part = failureBody(facts, 'B').toString('latin1').split('--B')[2] ?? '';
  const [, , text = ''] = /^([\s\S]*?)\r\n\r\n([\s\S]*)$/.exec(part) ?? [];
  const lines = text
    .replaceAll(/\r\n[ \t]/g, ' ')
    .split('\r\n')
    .filter((line) => line !== '');
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
}

test('the fields of a failure report', () => {
  assert.deepEqual(Object.fromEntries(fields(mail())), {
    'Feedback-Type': 'auth-failure',
    'User-Agent': 'Sealpost/1.0',
    Version: '1',
    'Auth-Failure': 'dmarc',
    'Authentication-Results':
      'mx.here.example; spf=fail smtp.mailfrom=one.example; dkim=none; arc=none; dmarc=fail (p=reject) header.from=one.example policy.dmarc=reject',
    'Identity-Alignment': 'dkim, spf',
    'Delivery-Result': 'reject',
    'Source-IP': '192.0.2.9',
    'Reported-Domain': 'one.example',
    'Original-Mail-From': '<a@one.example>',
    'Arrival-Date': 'Wed, 02 Jan 2030 03:04:05 +0000',
  });
});

test('a signature of the author that fails, and the record of SPF', () => {
  const dkim = [
    { result: 'fail', domain: 'other.example', selector: 'no', aligned: false } as const,
    { result: 'fail', domain: 'one.example', selector: 's1', aligned: true } as const,
  ];
  assert.equal(needsSpfRecord(FOUND), true);
  assert.equal(needsSpfRecord({ ...FOUND, spf: { ...FOUND.spf, domain: 'other.example' } }), false);
  const got = fields(mail({ found: { ...FOUND, dkim }, spfRecord: 'v=spf1 exp="x\\\r\n -all' }));
  assert.equal(got.get('DKIM-Domain'), 'one.example');
  assert.equal(got.get('DKIM-Identity'), '@one.example');
  assert.equal(got.get('DKIM-Selector'), 's1');
  assert.equal(got.get('SPF-DNS'), 'txt : one.example : "v=spf1 exp=\\"x\\\\?? -all"');
});

test('no value of others ends its field, and none is too long for a line', () => {
  const address = '192.0.2.9\r\nX: y';
  const origin = { client: { ...ORIGIN.client, address } };
  const selector = 's\r\nSelector: x';
  const dkim = [{ result: 'fail', domain: 'one.example', selector, aligned: true } as const];
  const spfRecord = 'x'.repeat(5000);
  const facts = mail({ found: { ...FOUND, dkim }, spfRecord }, { origin, reversePath: 'a\r\nBcc: x@one.example' });
  const got = fields(facts);
  for (const name of ['Source-IP', 'Original-Mail-From', 'DKIM-Selector', 'SPF-DNS', 'X', 'Bcc', 'Selector'])
    assert.equal(got.has(name), false, name);
  const body = failureBody(facts, 'B').toString('latin1');
  assert.ok(body.split('\r\n').every((line) => line.length <= 998 && !/[^\x20-\x7e\t]/.test(line)));
});

test('a reverse-path that carries the address of a recipient does not show it', () => {
  const from = (reversePath: string): string | undefined => fields(mail({}, { reversePath })).get('Original-Mail-From');
  assert.equal(from('bounce+bob=here.example@lists.example'), '<redacted@lists.example>');
  assert.equal(from('bob@here.example'), '<redacted@here.example>');
  assert.equal(from('bounce-1@lists.example'), '<bounce-1@lists.example>');
});

test('a header that is not ASCII is encoded, and one that is missing is said to be', () => {
  const eight = failureBody(mail({ quoted: Buffer.from('Subject: Grüße\r\n') }), 'B').toString('latin1');
  assert.match(eight, /Content-Transfer-Encoding: quoted-printable\r\n\r\nSubject: Gr=C3=BC=C3=9Fe/);
  const none = failureBody(mail({ quoted: Buffer.alloc(0) }), 'B').toString();
  assert.match(none, /Its header is not available/);
  assert.match(none, /Content-Type: text\/rfc822-headers\r\n\r\n\r\n--B--\r\n$/);
});
