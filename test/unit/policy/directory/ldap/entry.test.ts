import assert from 'node:assert/strict';
import test from 'node:test';
import { LDAP_PRESETS } from '#cluster/config/ldap.ts';
import { LdapCache } from '#services/policy/directory/ldap/cache.ts';
import { hasLogin, type LdapEntry, readEntry } from '#services/policy/directory/ldap/entry.ts';

/** An entry as a server sends it. */
function read(preset: keyof typeof LDAP_PRESETS, dn: string, attributes: Record<string, string[]>): LdapEntry {
  const values = Object.entries(attributes).map(
    ([name, texts]) => [name.toLowerCase(), (most: number) => texts.slice(0, most).map((t) => Buffer.from(t))] as const,
  );
  const entry = readEntry({ dn, attributes: new Map(values) }, LDAP_PRESETS[preset]);
  assert.ok(entry !== undefined);
  return entry;
}

test('a user of Active Directory has addresses of Exchange, and several names', () => {
  const entry = read('active-directory', 'CN=Alice,DC=corp', {
    objectClass: ['top', 'person', 'user'],
    proxyAddresses: ['smtp:a@example.com', 'SMTP:Alice@Example.com', 'X500:/o=Corp/cn=alice', 'SIP:alice@example.com'],
    mail: ['Alice@example.com'],
    sAMAccountName: ['alice'],
    userPrincipalName: ['alice@corp.example'],
  });
  assert.deepEqual(entry.addresses, ['Alice@example.com', 'a@example.com']);
  assert.deepEqual(entry.logins, ['alice', 'alice@corp.example', 'Alice@example.com']);
  assert.equal(entry.members, undefined);
  assert.ok(hasLogin(entry, 'alice@example.com'));
  assert.ok(!hasLogin(entry, 'a@example.com'));
});

test('a contact of Active Directory is an alias', () => {
  const entry = read('active-directory', 'CN=Partner,DC=corp', { targetAddress: ['SMTP:partner@elsewhere.test'] });
  assert.deepEqual(entry.targets, ['partner@elsewhere.test']);
});

test('a group is one without members too, and by the parts of a list of members', () => {
  assert.deepEqual(read('active-directory', 'CN=G,DC=corp', { objectClass: ['group'] }).members, []);
  const parts = { member: [], 'member;range=0-1499': ['CN=A,DC=corp', 'CN=B,DC=corp'] };
  assert.deepEqual(read('active-directory', 'CN=G,DC=corp', parts).members, ['CN=A,DC=corp', 'CN=B,DC=corp']);
  assert.deepEqual(read('domino', 'CN=G', { objectClass: ['dominoGroup'], member: ['CN=a@b.test'] }).members, [
    'CN=a@b.test',
  ]);
});

test('the name of a user does not depend on the order of values', () => {
  const names = ['jd', 'johnd', 'a.doe'];
  for (const uid of [names, names.toReversed()]) assert.equal(read('openldap', 'uid=jd', { uid }).logins[0], 'a.doe');
});

test('what is remembered is bounded, members of groups included', () => {
  const cache = new LdapCache(100);
  const user = read('openldap', 'uid=a', { uid: ['a'], mail: ['a@example.com'] });
  for (let i = 0; i < 1000; i++) cache.set(`address ${i}`, [user], 60_000);
  const known = Array.from({ length: 1000 }, (_, i) => cache.get(`address ${i}`)).filter((one) => one !== undefined);
  assert.ok(known.length > 20 && known.length <= 34, `${known.length} are known`);
  assert.ok(cache.get('address 999') !== undefined);
  const group = read('openldap', 'cn=g', { member: Array.from({ length: 200 }, (_, i) => `uid=m${i}`) });
  cache.set('address g', [group], 60_000);
  assert.equal(cache.get('address g'), undefined);
  assert.ok(cache.get('address 999') !== undefined);
});

test('an answer is remembered for its time, and not at all for 0s', async () => {
  const cache = new LdapCache(100);
  cache.set('a', [], 0);
  assert.equal(cache.get('a'), undefined);
  cache.set('b', [], 1);
  const end = performance.now() + 5;
  while (performance.now() < end);
  assert.equal(cache.get('b'), undefined);
});
