import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import { Directory, type Entries } from '#services/policy/directory/directory.ts';
import { recipientFacts } from '#services/policy/gathering/recipient.ts';
import { atOnce, checksOf, config, directory, facts, rulesOf } from '#test/unit/policy/fixtures.ts';

/** `authenticity.junk.except`: recipients and groups whose mail is never delivered as junk (DOMINO I6). */

const CREW = ['bob@example.com', 'far@elsewhere.test'];

/** With a group crew@example.com, of whom bob and far are members. */
function users(): Directory {
  const [file] = directory().sources;
  assert.ok(file);
  const group = (name: string) => (name === 'crew' ? { name, members: CREW } : undefined);
  const entries: Entries = {
    ...file,
    alias: (key) => (key === 'bob@example.com' ? undefined : file.alias(key)),
    group,
    groupAt: (key) => (key === 'crew@example.com' ? group('crew') : undefined),
  };
  return new Directory([entries]);
}

/** Of the recipients that an address leads to, those who get no junk. */
function spared(except: string[], address: string): string[] {
  const given = config({
    domains: [{ name: 'example.com', local: true }],
    relay: { allow: { domains: ['elsewhere.test'] } },
    authenticity: { junk: { except } },
  });
  const deps = { ...rulesOf(given), ask: () => users(), checks: checksOf(given), config: given, now: new Date(0) };
  const request = { facts: facts(), reversePath: 'author@example.net', recipient: { address } };
  const verdict = decide('recipient', atOnce(recipientFacts(request, deps)));
  assert.equal(verdict.action, 'accept', verdict.why.join());
  return verdict.recipients.flatMap((r) => (r.neverJunk === true ? r.address : []));
}

const SALES = ['alice@example.com', 'bob@example.com', 'partner@example.net'];

const TABLE: [except: string[], address: string, expected: string[], why: string][] = [
  [[], 'alice@example.com', [], 'nobody is an exception'],
  [['alice@example.com'], 'alice@example.com', ['alice@example.com'], 'an address'],
  [['alice@example.com'], 'ALICE@Example.com', ['alice@example.com'], 'its case does not count'],
  [['alice@example.com'], 'alice+list@example.com', ['alice+list@example.com'], 'nor does a tag'],
  [['alice@example.com'], 'bob@example.com', [], 'another address'],
  [['example.com'], 'bob@example.com', ['bob@example.com'], 'a domain'],
  [['notexample.com'], 'bob@example.com', [], 'a domain that only ends alike'],
  [['*'], 'bob@example.com', ['bob@example.com'], 'everybody'],
  [['sales@example.com'], 'sales@example.com', SALES, 'an alias, for all that it leads to'],
  [['sales@example.com'], 'alice@example.com', [], 'not for mail to them alone'],
  [['alice@example.com'], 'sales@example.com', ['alice@example.com'], 'one of those that an alias leads to'],
  [['crew@example.com'], 'crew@example.com', CREW, 'a group'],
  [['crew@example.com'], 'bob@example.com', ['bob@example.com'], 'a member of a group'],
  [['crew@example.com'], 'bob+list@example.com', ['bob+list@example.com'], 'a member of a group, with a tag'],
  [['crew@example.com'], 'alice@example.com', [], 'who is no member'],
  [['elsewhere.test'], 'far@elsewhere.test', ['far@elsewhere.test'], 'a recipient elsewhere'],
];
for (const [except, address, expected, why] of TABLE) {
  test(`I6 never junk, ${why}: ${address}`, () => assert.deepEqual(spared(except, address), expected));
}
