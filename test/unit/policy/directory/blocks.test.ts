import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import { ClusterEntries } from '#services/policy/directory/cluster-entries.ts';
import { Directory } from '#services/policy/directory/directory.ts';
import { fileEntries } from '#services/policy/directory/file-entries.ts';
import { LdapEntries } from '#services/policy/directory/ldap/entries.ts';
import { verifyNobody } from '#services/policy/directory/passwords.ts';
import { type DirectoryRecord, keyOfRecord } from '#shared/directory/records.ts';

/** Whose block it is, whatever source knows the user. */

function cluster(...records: DirectoryRecord[]): ClusterEntries {
  const entries = new ClusterEntries(() => verifyNobody);
  for (const record of records) entries.put(keyOfRecord(record), JSON.stringify(record));
  return entries;
}

function ldap(...logins: string[]): LdapEntries {
  const entries = new LdapEntries({ isLocal: () => true, ambiguous: 'refuse', verify: () => verifyNobody });
  const entry = { dn: 'cn=alice', logins, addresses: [], targets: [], members: undefined, unusable: [] };
  for (const login of logins) entries.add({ login }, [entry]);
  return entries;
}

const block = (name: string): DirectoryRecord => ({ kind: 'block', name, reason: 'left', since: 1 });

test('a block of any of the names that a user of LDAP logs in by is one of the user', () => {
  for (const name of ['ALICE', 'alice@corp.test']) {
    const directory = new Directory([cluster(block(name)), ldap('alice', 'alice@corp.test')]);
    assert.equal(directory.block('alice')?.reason, 'left', name);
    assert.equal(directory.block('Alice@corp.test')?.reason, 'left', name);
  }
  const other = new Directory([cluster(block('alicia')), ldap('alice', 'alice@corp.test')]);
  assert.equal(other.block('alice'), undefined);
});

test('a users file blocks its users and those of other sources; a block is no recipient', () => {
  const file = fileEntries(parseUsersFile('blocked: { Alice: { reason: left }, bob: {} }', 'users.yaml'));
  const directory = new Directory([file, cluster(), ldap('alice')]);
  assert.equal(directory.block('ALICE')?.reason, 'left');
  assert.ok(directory.block('bob'));
  assert.equal(cluster(block('alice')).namesRecipients, false);
  assert.throws(
    () => parseUsersFile('blocked: { alice: { reason: "two\\nlines" } }', 'users.yaml'),
    /one line of text/,
  );
});

test('a block that cannot be read is one all the same, and makes no other name unknown', () => {
  const entries = cluster();
  assert.ok(entries.put('block!alice', ''));
  assert.ok(entries.put('block!bob', '{"kind":"block","name":"bob","until":"a newer Sealpost"}'));
  assert.match(new Directory([entries]).block('Alice')?.reason ?? '', /cannot be read/);
  assert.ok(entries.block('bob'));
  assert.equal(entries.block('carol'), undefined);
  assert.equal(entries.unreadable.size, 0);
  entries.put('block!alice', undefined);
  assert.equal(entries.block('alice'), undefined);
});
