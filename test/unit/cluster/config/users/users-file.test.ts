import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import { SECRET, USERS } from '#test/unit/policy/fixtures.ts';

const user = (rest: string) => `users:\n  - ${rest.replaceAll('\n', '\n    ')}\n`;
const alice = `name: alice\npassword: ${SECRET}`;

/** Each bad file with what the administrator reads: line and words. */
const BAD: [yaml: string, expected: RegExp[], why: string][] = [
  [
    user('name: alice\npassword: hunter2'),
    [/^u:3: users\[0\]\.password: is not an argon2id hash/],
    'a clear-text password',
  ],
  [
    user('name: alice\npassword: 12345'),
    [/^u:3: users\[0\]\.password: is not a password hash/],
    'a number as password',
  ],
  [user('name: alice'), [/^u:2: users\[0\]\.password: is required/], 'no password'],
  [
    user(`${alice}\nadresses: [a@b.test]`),
    [/^u:4: users\[0\]\.adresses: unknown key; did you mean "addresses"/],
    'a misspelled key',
  ],
  [
    user(`${alice}\naddresses: [nobody]`),
    [/^u:4: users\[0\]\.addresses\[0\]: "nobody" is not a mail address/],
    'no domain',
  ],
  [user(`${alice}\naddresses: ["Alice <a@b.test>"]`), [/^u:4: .*is not a mail address/], 'a display name'],
  [
    user(`${alice}\naddresses: ["@", a@b.test, "a@b@c.test"]`),
    [/^u:4: .*addresses\[0\]/, /^u:4: .*addresses\[2\]/],
    'all problems at once',
  ],
  [user(`${alice}\naddresses: [*]`), [/^u:4: .*quoted: write "\*"/], 'a star without quotes'],
  [user(`name: " alice"\npassword: ${SECRET}`), [/^u:2: users\[0\]\.name: .*white space/], 'outer white space'],
  [
    `${user(alice)}${user(alice).replace('users:\n', '').replace('alice', 'ALICE')}`,
    [/^u:4: users\[1\]\.name: there is a user "ALICE" already/],
    'one user twice',
  ],
  ['aliases:\n  a@x.test: [b@x.test]\n  A@X.test: [c@x.test]\n', [/^u:3: .*"A@X\.test" already/], 'one alias twice'],
  ['aliases:\n  a@x.test: [b@x.test]\n  a@x.test: [c@x.test]\n', [/^u:3: this key stands twice/], 'one key twice'],
  ['aliases:\n  a: [b@x.test]\n', [/^u:2: aliases\.a: "a" is not a mail address/], 'an alias without a domain'],
  ['aliases:\n  a@x.test: []\n', [/^u:2: aliases\.a@x\.test: /], 'an alias to nobody'],
  ['aliases:\n  a@x.test: b@x.test\n', [/^u:2: aliases\.a@x\.test: expected a list/], 'an alias without a list'],
  [
    'aliases:\n  a@x.test: [b@x.test]\n  b@x.test: [a@x.test]\n',
    [/^u:2: .*back to itself/, /^u:3: .*back to itself/],
    'a loop',
  ],
  ['users: {}\n', [/^u:1: users: expected a list/], 'a map of users'],
  ['- alice\n', [/^u: expected keys with values/], 'a list'],
  ['users:\n\t- name: x\n', [/^u:2: .*tab/], 'a tab'],
  ['users: []\nusers: []\n', [/^u:2: this key stands twice/], 'two lists'],
  ['roles: {}\n', [/^u:1: roles: unknown key/], 'an unknown section'],
];

for (const [yaml, expected, why] of BAD) {
  test(`refused: ${why}`, () => {
    assert.throws(
      () => parseUsersFile(yaml, 'u'),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'invalid');
        const lines = error.message.split('\n');
        assert.equal(lines.length, expected.length, error.message);
        for (const [i, pattern] of expected.entries()) assert.match(lines[i] ?? '', pattern);
        return true;
      },
    );
  });
}

test('no message repeats a password', () => {
  for (const password of ['hunter2', '12345', '[hunter2]']) {
    assert.throws(
      () => parseUsersFile(user(`name: alice\npassword: ${password}`), 'u'),
      (error: Error) => !/hunter2|12345/.test(error.message),
    );
  }
});

test('a hash that falls apart in braces is not repeated', () => {
  assert.throws(
    () => parseUsersFile(user(`{ name: alice, password: ${SECRET} }`), 'u'),
    (error: Error) => /users\[0\]\.password/.test(error.message) && !error.message.includes('QQCd8VPO'),
  );
});

test('more than a thousand addresses behind one alias are refused, a thousand are not', () => {
  const list = (n: number) => Array.from({ length: n }, (_, i) => `u${i}@x.test`).join(', ');
  assert.throws(() => parseUsersFile(`aliases:\n  a@x.test: [${list(1001)}]\n`, 'u'), /more than 1000/);
  assert.equal(parseUsersFile(`aliases:\n  a@x.test: [${list(1000)}]\n`, 'u').aliases.get('a@x.test')?.length, 1000);
});

test('an empty file, a comment, and empty lists are a directory of nobody', () => {
  for (const yaml of ['', '# nobody yet\n', 'users: []\naliases: {}\n']) {
    assert.deepEqual(parseUsersFile(yaml, 'u'), { users: [], aliases: new Map(), groups: {}, maps: {}, blocked: [] });
  }
});

test('addresses come out in canonical form', () => {
  const { users, aliases } = parseUsersFile(USERS, 'u');
  assert.deepEqual(users[1]?.addresses, ['bob@example.com', 'jürgen@xn--bcher-kva.example']);
  assert.equal(
    parseUsersFile(user(`${alice}\naddresses: ['"alice"@EXAMPLE.com']`), 'u').users[0]?.addresses[0],
    'alice@example.com',
  );
  assert.deepEqual([...aliases.keys()].length, 4);
});
