import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashPassword } from '#cluster/config/users/password.ts';
import { Account } from '#services/policy/directory/account.ts';
import { Directory, type Entries } from '#services/policy/directory/directory.ts';
import { directory, SECRET } from '#test/unit/policy/fixtures.ts';

type Given = {
  users?: Record<string, string[]>;
  aliases?: Record<string, string[]>;
  groups?: Record<string, { at?: string; members: string[] }>;
  namesRecipients?: boolean;
};

function entries({ users = {}, aliases = {}, groups = {}, namesRecipients = true }: Given): Entries {
  const group = (name: string) => groups[name] && { name, members: groups[name].members };
  return {
    account: (key) => {
      const addresses = users[key];
      const verify = async () => ({ outcome: 'wrong' as const });
      return addresses && new Account({ name: key, addresses, onBehalfOf: [], verify });
    },
    mailbox: (key) =>
      Object.values(users)
        .flat()
        .find((address) => address === key),
    alias: (key) => aliases[key],
    group,
    groupAt: (key) => Object.keys(groups).flatMap((name) => (groups[name]?.at === key ? [group(name)] : []))[0],
    map: () => undefined,
    namesRecipients,
  };
}

test('mail to a group goes to the members of all groups in it, each once, also where groups name each other', () => {
  const list = new Directory([
    entries({
      users: { alice: ['alice@x.test', 'a@x.test'], bob: ['bob@x.test'], silent: ['@x.test'] },
      aliases: { 'boss@x.test': ['bob@x.test'], 'all@x.test': ['staff@x.test'] },
      groups: {
        staff: { at: 'staff@x.test', members: ['alice', 'crew', 'far@y.test', 'nobody', 'silent'] },
        crew: { at: 'crew@x.test', members: ['boss@x.test', 'staff', 'staff@x.test', 'alice@x.test'] },
      },
    }),
  ]);
  const expected = ['alice@x.test', 'bob@x.test', 'far@y.test'];
  const found = list.resolve('staff@x.test');
  assert.equal(found?.kind, 'group');
  assert.deepEqual(found.addresses, expected);
  assert.deepEqual(list.resolve('staff+tag@x.test')?.addresses, expected);
  assert.deepEqual(list.resolve('all@x.test'), { kind: 'alias', addresses: expected });
});

test('a list without an end, or with too many addresses, is neither delivered nor said to be unknown', () => {
  const many = Array.from({ length: 1001 }, (_, i) => `m${i}@x.test`);
  const list = new Directory([
    entries({
      aliases: { 'a@x.test': ['b@x.test'], 'b@x.test': ['a@x.test'] },
      groups: { many: { at: 'many@x.test', members: many }, empty: { at: 'empty@x.test', members: [] } },
    }),
  ]);
  for (const at of ['a@x.test', 'many@x.test', 'empty@x.test']) assert.equal(list.resolve(at)?.kind, 'endless', at);
});

test('the first source that knows a name answers, and aliases lead from one into the other', () => {
  const second = entries({ users: { alice: ['other@example.com'], carol: ['carol@example.com'] } });
  const both = new Directory([
    directory(`aliases: { c@example.com: [carol@example.com] }\nusers: []`).sources[0] ?? second,
    second,
  ]);
  assert.deepEqual(both.resolve('c@example.com')?.addresses, ['carol@example.com']);
  assert.deepEqual(both.resolve('carol@example.com'), { kind: 'mailbox', addresses: ['carol@example.com'] });
  assert.equal(both.user('alice')?.addresses[0], 'other@example.com');
});

test('A1 nobody becomes by a log-in name of LDAP the user of the users file whose name LDAP has too', () => {
  const own = entries({ users: { alice: ['alice@x.test'] } });
  const verify = async () => ({ outcome: 'wrong' as const });
  const ldap = {
    ...entries({}),
    account: (key: string) =>
      ['alice', 'carol', 'a.smith@x.test', 'carol@x.test'].includes(key)
        ? new Account({ name: key.startsWith('a') ? 'alice' : 'carol', addresses: [], onBehalfOf: [], verify })
        : undefined,
  };
  const both = new Directory([own, ldap]);
  assert.equal(both.user('a.smith@x.test'), undefined);
  assert.deepEqual(both.user('Alice')?.addresses, ['alice@x.test']);
  assert.equal(both.user('carol@x.test')?.name, 'carol');
});

test('groups, maps and app passwords of a users file are used as those of the cluster are', async () => {
  const typed = 'abcd-efgh-ijkl-mnop-qrst-uvwx';
  const list = directory(`
users:
  - name: alice
    password: ${SECRET}
    addresses: [alice@x.test]
    app-passwords: [{ name: phone, tag: abcd, password: "${await hashPassword(typed)}", networks: [192.0.2.0/24] }]
groups:
  staff: { addresses: [staff@x.test], members: [Alice, far@y.test] }
maps:
  canonical: { a@x.test: b@x.test }
`);
  assert.deepEqual(list.resolve('staff@x.test')?.addresses, ['alice@x.test', 'far@y.test']);
  assert.equal(list.map('Canonical')?.get('a@x.test'), 'b@x.test');
  const verify = (password: string, address: string) => list.user('alice')?.verify(Buffer.from(password), address);
  assert.deepEqual(await verify(typed, '192.0.2.1'), { outcome: 'right', appPassword: 'phone' });
  assert.equal((await verify(typed, '198.51.100.1'))?.outcome, 'wrong');
  assert.deepEqual(await verify('secret', '198.51.100.1'), { outcome: 'right' });
});
