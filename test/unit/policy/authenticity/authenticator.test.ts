import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Authenticator } from '#services/policy/authenticity/authenticator.ts';
import { errorCode } from '#shared/errors.ts';
import { splitHeader } from '#shared/mail/header.ts';
import { FakeDns } from '#test/kit/dns/fake-dns.ts';
import { waitFor } from '#test/kit/wait.ts';
import { config } from '#test/unit/policy/fixtures.ts';

/** Messages whose authors' policies a name server is asked for that never answers. */
async function silent() {
  const dns = await FakeDns.start(() => undefined);
  const authenticator = new Authenticator(config({ dns: { servers: [dns.server], timeout: '5s' } }));
  const isAsked = (name: string) => dns.queries.some(({ questions }) => questions[0]?.name === `_dmarc.${name}`);
  const verify = (author: string, address: string) => {
    const text = `From: a@${author}\r\n`;
    const mail = {
      ...{ client: { address, helo: '[192.0.2.1]' }, gateway: undefined, reversePath: '', bodyHashes: [] },
      header: { text, fields: splitHeader(text) },
    };
    return authenticator.verify(mail, { hostname: 'mx1.example.com', now: new Date() });
  };
  return { dns, authenticator, isAsked, verify };
}

test('the questions for policies end with the service', async () => {
  const { dns, authenticator, isAsked, verify } = await silent();
  await using _ = dns;
  const began = performance.now();
  const found = verify('a.test', '192.0.2.1');
  await waitFor(() => isAsked('a.test'), { what: 'the question' });
  authenticator.close();
  assert.equal((await found).dmarc.result, 'temperror');
  assert.ok(performance.now() - began < 4000);
});

test('slow policies of one network make its own mail wait, and nobody else’s', async () => {
  const { dns, authenticator, isAsked, verify } = await silent();
  await using _ = dns;
  const ends = Array.from({ length: 60 }, (_, i) =>
    verify(`a${i}.test`, `192.0.2.${i}`).then(
      ({ dmarc }) => dmarc.result,
      (error: unknown) => errorCode(error),
    ),
  );
  const other = verify('other.test', '198.51.100.1');
  await waitFor(() => isAsked('other.test'), { what: 'the question of the other' });
  authenticator.close();
  const said = await Promise.all(ends);
  assert.deepEqual([said.filter((one) => one === 'busy').length, said.at(-1)], [10, 'busy']);
  assert.equal((await other).dmarc.result, 'temperror');
});
