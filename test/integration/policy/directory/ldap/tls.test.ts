import assert from 'node:assert/strict';
import test from 'node:test';
import { ADMIN, ADMIN_PASSWORD, BASE, FOLDERS, person, Slapd } from '#test/kit/ldap/slapd.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { STRANGER, said, startPolicy } from '#test/kit/nodes/policy.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

const PEERS = needs('slapd', 'slapadd');
const AWAY = '451 4.3.0 Recipient cannot be checked now, please try again later';
const DAY_MS = 86_400_000;

/** The reply to a recipient that exists, to its log-in, and what the log says. */
async function ask(ldap: Record<string, unknown>) {
  await using under = await startPolicy('127.0.0.1:1', {
    domains: [{ name: 'example.com', local: true }],
    directory: { ldap: { base: BASE, preset: 'openldap', ...ldap } },
  });
  const recipient = { address: 'alice@example.com' };
  const verdict = await under.policy['recipient-check']({ facts: STRANGER, reversePath: '', recipient });
  const request = { facts: STRANGER, mechanism: 'PLAIN', user: 'alice' } as const;
  const logIn = await under.policy['user-authenticate'](request, { bytes: Buffer.from('open sesame') });
  const errors = under.lines().map(({ error }) => String(error));
  return { rcpt: said(verdict), logIn: said(logIn), log: errors.join('\n') };
}

test('LDAP over TLS, and what does not fit', PEERS, async (t) => {
  await using dir = await tempDir();
  await using other = await tempDir();
  const certificate = await writeCertificate(dir.path);
  const { caFile: foreignCa } = await writeCertificate(other.path);
  const ldif = FOLDERS + person({ uid: 'alice', password: 'open sesame' });
  await using slapd = await Slapd.start({ ldif, certificate });
  const secure = { urls: [slapd.secureUrl], ca: certificate.caFile };
  const starting = { urls: [slapd.url], ca: certificate.caFile };
  const account = { 'bind-dn': ADMIN, password: ADMIN_PASSWORD };

  for (const [name, ldap] of Object.entries({ 'from the start': secure, 'by StartTLS': starting })) {
    await t.test(`TLS ${name}`, async () => {
      const answer = await ask({ ...ldap, ...account });
      assert.deepEqual([answer.rcpt, answer.logIn], ['250', '250'], answer.log);
    });
    await t.test(`TLS ${name} with a certificate of a foreign authority`, async () => {
      const answer = await ask({ ...ldap, ...account, ca: foreignCa });
      assert.equal(answer.rcpt, AWAY);
      assert.match(answer.logIn, /^454/);
      assert.match(answer.log, /certificate|issuer/);
    });
  }

  await t.test('a wrong password of bind-dn', async () => {
    const answer = await ask({ ...secure, ...account, password: 'wrong' });
    assert.equal(answer.rcpt, AWAY);
    assert.match(answer.log, /log-in of bind-dn refused: result 49 \(invalid credentials\)/);
  });

  await t.test('a base that is not there', async () => {
    const answer = await ask({ ...secure, ...account, base: `ou=nowhere,${BASE}` });
    assert.equal(answer.rcpt, AWAY);
    assert.match(answer.log, /the base "ou=nowhere,dc=example,dc=com" is not there/);
  });
});

for (const [name, options, log] of [
  ['another name', { names: ['ldap.example.com'] }, /does not match certificate's altnames|not in the cert's list/],
  [
    'a time that is over',
    { notBefore: Date.now() - 9 * DAY_MS, notAfter: Date.now() - DAY_MS },
    /certificate has expired/,
  ],
] as const) {
  test(`a certificate for ${name} is not accepted`, PEERS, async () => {
    await using dir = await tempDir();
    const certificate = await writeCertificate(dir.path, options);
    await using slapd = await Slapd.start({ ldif: FOLDERS + person({ uid: 'alice' }), certificate });
    for (const url of [slapd.secureUrl, slapd.url]) {
      const answer = await ask({ urls: [url], ca: certificate.caFile });
      assert.equal(answer.rcpt, AWAY);
      assert.match(answer.log, log);
    }
  });
}
