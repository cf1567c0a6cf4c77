import assert from 'node:assert/strict';
import test from 'node:test';
import { type LdapMessage, MalformedMessage, MessageReader } from '#services/policy/directory/ldap/messages.ts';
import { done, found, message, result, tlv } from '#test/kit/ldap/fake-ldap.ts';
import { seededRandom } from '#test/kit/random.ts';

const ANSWER = Buffer.concat([
  found(7, 'uid=alice,dc=example', { mail: ['alice@example.com', 'a@example.com'], sn: [], cn: ['Ä'.repeat(100)] }),
  message(7, tlv(0x73, tlv(0x04, 'ldap://other.example'))),
  done(7, 10, 'look there', tlv(0xa3, tlv(0x04, 'ldap://third.example'))),
  message(8, result(0x61, 49, 'no')),
]);

/** Messages with the values of their entries. */
const plain = (messages: LdapMessage[]) =>
  messages.map((one) => {
    if (one.kind !== 'entry') return one;
    const attributes = [...one.entry.attributes].map(([name, values]) => [name, values(9).map(String)]);
    return { ...one, entry: { dn: one.entry.dn, attributes } };
  });

const EXPECTED = [
  {
    id: 7,
    kind: 'entry',
    entry: {
      dn: 'uid=alice,dc=example',
      attributes: [
        ['mail', ['alice@example.com', 'a@example.com']],
        ['sn', []],
        ['cn', ['Ä'.repeat(100)]],
      ],
    },
  },
  { id: 7, kind: 'reference', urls: ['ldap://other.example'] },
  { id: 7, kind: 'found', code: 10, text: 'look there', referral: ['ldap://third.example'] },
  { id: 8, kind: 'bound', code: 49, text: 'no', referral: [] },
];

test('messages are the same in whatever pieces they come', () => {
  for (let size = 1; size <= ANSWER.length; size++) {
    const reader = new MessageReader();
    const read: LdapMessage[] = [];
    for (let at = 0; at < ANSWER.length; at += size) read.push(...reader.read(ANSWER.subarray(at, at + size)));
    assert.deepEqual(plain(read), EXPECTED, `in pieces of ${size} bytes`);
  }
});

test('of an attribute only so many values are read as are wanted', () => {
  const [entry] = new MessageReader().read(
    found(1, 'cn=a', { member: Array.from({ length: 5000 }, (_, i) => `m${i}`) }),
  );
  assert.equal(entry?.kind === 'entry' && entry.entry.attributes.get('member')?.(3).join(), 'm0,m1,m2');
});

test('whatever is damaged in an answer, reading it ends: with messages, or as malformed', () => {
  const random = seededRandom(20_261_129);
  const below = (limit: number) => Math.floor(random() * limit);
  let malformed = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(ANSWER);
    for (let change = 0; change <= below(4); change++) bytes[below(bytes.length)] = below(256);
    try {
      plain(new MessageReader().read(bytes.subarray(0, 1 + below(bytes.length))));
    } catch (error) {
      assert.ok(error instanceof MalformedMessage, String(error));
      malformed++;
    }
  }
  assert.ok(malformed > 1000, `${malformed} of the answers were malformed`);
});
