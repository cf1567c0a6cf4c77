import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeText } from '#services/console/reports/mail/outcome.ts';
import { reply } from '#shared/mail/reply.ts';

const taken = { at: 0, host: 'mx.test[192.0.2.1]:25', reply: reply(250, '2.0.0', 'taken') };
const tls = { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' };

test('an outcome says by whom, in which TLS, how that was verified, and whether the mail was converted', () => {
  assert.equal(outcomeText(taken), '250 2.0.0 taken (mx.test[192.0.2.1]:25)');
  assert.equal(outcomeText({ ...taken, tls }), '250 2.0.0 taken (mx.test[192.0.2.1]:25, TLSv1.3)');
  assert.equal(
    outcomeText({ ...taken, tls: { ...tls, verified: 'dane-ee' }, converted: true }),
    '250 2.0.0 taken (mx.test[192.0.2.1]:25, TLSv1.3, verified by DANE-EE, converted to 7 bit)',
  );
});

test('our own words about a host do not name it twice', () => {
  const own = reply(
    454,
    '4.7.5',
    `DANE asks for a verified certificate, but at ${taken.host} it presented no certificate`,
  );
  assert.equal(outcomeText({ at: 0, host: taken.host, reply: own }), `454 4.7.5 ${own.text}`);
});
