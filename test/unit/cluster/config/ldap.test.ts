import assert from 'node:assert/strict';
import test from 'node:test';
import { BerWriter, EqualityFilter, OrFilter } from 'ldapts';
import { filterTemplate, LDAP_PRESETS, placesOf } from '#cluster/config/ldap.ts';

const VALUES = ['alice', '*', 'a)(uid=*', '{login}', '$&', 'a\\2ab', '\0', 'Ä', '"a b"@example.com'];

test('whatever stands in a place of a filter is a value (RFC 4515)', () => {
  const template = filterTemplate('(|(mail={address})(proxyAddresses=smtp:{address}))');
  for (const address of VALUES) {
    const filter = template({ address });
    assert.ok(filter instanceof OrFilter);
    const values = filter.filters.map((one) => one instanceof EqualityFilter && one.value);
    assert.deepEqual(values, [address, `smtp:${address}`]);
  }
});

test('a template keeps its form for each kind of filter', () => {
  const all =
    '(&(a={login})(b=x*{login}*z)(c>={login})(d<={login})(e~={login})(f:1.2.3:={login})(!(g={login}))(h=*)(i=\\28))';
  const bytes = (text: string, login: string): string => {
    const writer = new BerWriter();
    filterTemplate(text)({ login }).write(writer);
    return writer.buffer.toString('hex');
  };
  assert.equal(bytes(all, 'bob'), bytes(all.replaceAll('{login}', 'bob'), ''));
});

test('the filters of presets have their places', () => {
  for (const [name, { filters }] of Object.entries(LDAP_PRESETS)) {
    assert.deepEqual([...placesOf(filters.login)], ['login'], name);
    const places = [...placesOf(filters.address)];
    assert.ok(places.includes('address') && places.every((one) => ['address', 'local'].includes(one)), name);
  }
});
