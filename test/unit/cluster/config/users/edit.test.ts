import assert from 'node:assert/strict';
import { chmod, lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { addUser, listUsers, removeUser, setPassword } from '#cluster/config/users/edit.ts';
import { parsePasswordHash, verifyPassword } from '#cluster/config/users/password.ts';
import { Secret } from '#shared/secret.ts';
import { SECRET } from '#test/unit/policy/fixtures.ts';

const BEFORE = `# Users of the edge. Ask Petra before a change.
users:
  # the boss
  - name: zoe
    password: ${SECRET} # changed in May
    addresses: [zoe@example.com]
  - { name: abe, password: "${SECRET}" }

# Where mail of roles goes.
aliases:
  sales@example.com: [zoe@example.com]
`;

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'sealpost-users-'));
  return { path, file: join(path, 'users.yaml'), [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

async function passwordOf(file: string, name: string): Promise<string> {
  const text = await readFile(file, 'utf8');
  return new RegExp(`name: ${name},?\\s+password: "?(\\$[^\\s"]+)`).exec(text)?.[1] ?? '';
}

test('a new user stands at the end, in lines, and everything else stays as it was', async () => {
  await using at = await folder();
  await writeFile(at.file, BEFORE);
  await addUser(at.file, {
    name: 'carol',
    password: new Secret('pw'),
    addresses: ['carol@example.com', '@lists.example.com'],
  });
  const after = await readFile(at.file, 'utf8');
  const hash = await passwordOf(at.file, 'carol');
  const entry = `  - name: carol\n    password: ${hash}\n    addresses: [ carol@example.com, "@lists.example.com" ]\n`;
  assert.equal(
    after.replaceAll('[ ', '[').replaceAll(' ]', ']'),
    BEFORE.replace('\n\n#', `\n${entry}\n#`).replaceAll('[ ', '[').replaceAll(' ]', ']'),
  );
  const parsed = parsePasswordHash(hash);
  assert.ok(parsed && (await verifyPassword(parsed, Buffer.from('pw'))));
  assert.deepEqual(
    (await listUsers(at.file)).map((u) => u.name),
    ['zoe', 'abe', 'carol'],
  );
});

test('a user may be added with those for whom it may write, and is listed with them', async () => {
  await using at = await folder();
  const user = { name: 'dora', password: new Secret('pw'), addresses: ['dora@example.com'] };
  await addUser(at.file, { ...user, onBehalfOf: ['ceo@example.com', '@board.example.com'] });
  await addUser(at.file, { ...user, name: 'emil' });
  assert.deepEqual(await listUsers(at.file), [
    { name: 'dora', addresses: user.addresses, onBehalfOf: ['ceo@example.com', '@board.example.com'] },
    { name: 'emil', addresses: user.addresses, onBehalfOf: [] },
  ]);
  const text = await readFile(at.file, 'utf8');
  assert.match(text, /^ {4}on-behalf-of: \[ ceo@example\.com, "@board\.example\.com" \]$/m);
  assert.equal(text.match(/on-behalf-of/g)?.length, 1);
});

test('the file is made where there is none, for its owner alone, and no other file stays behind', async () => {
  await using at = await folder();
  await addUser(at.file, { name: 'alice', password: new Secret('pw'), addresses: [] });
  assert.equal((await stat(at.file)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(at.path), ['users.yaml']);
  assert.deepEqual(await listUsers(at.file), [{ name: 'alice', addresses: [], onBehalfOf: [] }]);
});

test('an empty list on one line grows downwards; a file of comments keeps them', async () => {
  await using at = await folder();
  await writeFile(at.file, '# nobody yet\nusers: []\n');
  await addUser(at.file, { name: 'alice', password: new Secret('pw'), addresses: [] });
  assert.match(await readFile(at.file, 'utf8'), /^# nobody yet\nusers:\n {2}- name: alice\n {4}password: \$argon2id/);
  await writeFile(at.file, '# only this\n');
  await addUser(at.file, { name: 'alice', password: new Secret('pw'), addresses: [] });
  assert.match(await readFile(at.file, 'utf8'), /^# only this\n+users:\n {2}- name: alice\n/);
});

test('a new password replaces the hash and nothing else', async () => {
  await using at = await folder();
  await writeFile(at.file, BEFORE);
  await setPassword(at.file, 'ZOE', new Secret('new'));
  const after = await readFile(at.file, 'utf8');
  const hash = await passwordOf(at.file, 'zoe');
  assert.notEqual(hash, SECRET);
  assert.match(after, /password: \$argon2id\S+ # changed in May\n/);
  const parsed = parsePasswordHash(hash);
  assert.ok(parsed && (await verifyPassword(parsed, Buffer.from('new'))));
  assert.equal(await passwordOf(at.file, 'abe'), SECRET);
});

test('a removed user is gone, the others and the aliases stay', async () => {
  await using at = await folder();
  await writeFile(at.file, BEFORE);
  await removeUser(at.file, 'abe');
  const after = await readFile(at.file, 'utf8');
  assert.deepEqual(await listUsers(at.file), [{ name: 'zoe', addresses: ['zoe@example.com'], onBehalfOf: [] }]);
  assert.match(after, /# the boss/);
  assert.match(after, /# Where mail of roles goes\.\naliases:\n {2}sales@example\.com:/);
  await removeUser(at.file, 'zoe');
  assert.deepEqual(await listUsers(at.file), []);
  await addUser(at.file, { name: 'new', password: new Secret('pw'), addresses: [] });
  assert.deepEqual(await listUsers(at.file), [{ name: 'new', addresses: [], onBehalfOf: [] }]);
});

test('mode and symbolic link stay', async () => {
  await using at = await folder();
  const real = join(at.path, 'real.yaml');
  await writeFile(real, BEFORE);
  await chmod(real, 0o640);
  await symlink(real, at.file);
  await removeUser(at.file, 'abe');
  assert.ok((await lstat(at.file)).isSymbolicLink());
  assert.equal((await stat(real)).mode & 0o777, 0o640);
  assert.equal((await listUsers(real)).length, 1);
});

const password = new Secret('pw');
const REFUSED: [act: (file: string) => Promise<unknown>, code: string, message: RegExp][] = [
  [(f) => addUser(f, { name: 'Zoe', password, addresses: [] }), 'exists', /user Zoe is in .* already/],
  [(f) => addUser(f, { name: 'x', password, addresses: ['nonsense'] }), 'invalid', /"nonsense" is not a mail address/],
  [(f) => addUser(f, { name: ' x', password, addresses: [] }), 'invalid', /outer white space/],
  [(f) => addUser(f, { name: 'x', password: new Secret(''), addresses: [] }), 'invalid', /password is empty/],
  [(f) => setPassword(f, 'x', password), 'not-found', /there is no user x in/],
  [(f) => removeUser(f, 'x'), 'not-found', /there is no user x in/],
  [(f) => removeUser(`${f}.gone`, 'x'), 'not-found', /there is no users file/],
  [(f) => listUsers(join(f, '..')), 'unreadable', /cannot be read/],
  [(f) => addUser(`/proc/${f}`, { name: 'x', password, addresses: [] }), 'write-failed', /cannot be written/],
];

for (const [act, code, message] of REFUSED) {
  test(`${code}: ${message.source}`, async () => {
    await using at = await folder();
    await writeFile(at.file, BEFORE);
    await assert.rejects(act(at.file), { code, message });
    assert.equal(await readFile(at.file, 'utf8'), BEFORE);
    assert.deepEqual(await readdir(at.path), ['users.yaml']);
  });
}

test('a file that is not valid is not touched', async () => {
  await using at = await folder();
  const broken = 'users:\n  - name: alice\n';
  await writeFile(at.file, broken);
  await assert.rejects(addUser(at.file, { name: 'x', password, addresses: [] }), {
    code: 'invalid',
    message: /:2: users\[0\]/,
  });
  assert.equal(await readFile(at.file, 'utf8'), broken);
});
