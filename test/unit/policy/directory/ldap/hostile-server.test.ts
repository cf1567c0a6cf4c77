import assert from 'node:assert/strict';
import test from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { done, type FakeAnswer, fakeLdap, found, message, result, tlv } from '#test/kit/ldap/fake-ldap.ts';
import { type PolicyUnderTest, STRANGER, said, startPolicy } from '#test/kit/nodes/policy.ts';

/** What a server can answer, and what comes of it: never a permanent error, never longer than the time limit. */

const TIMEOUT_MS = 600;
const AWAY = '451 4.3.0 Recipient cannot be checked now, please try again later';
const LIST = '451 4.2.4 Mailing list expansion problem';
const UNKNOWN = '550 5.1.1 No such user here';

const start = (url: string, more: Record<string, unknown> = {}): Promise<PolicyUnderTest> =>
  startPolicy('127.0.0.1:1', {
    domains: [{ name: 'example.com', local: true }],
    directory: {
      ldap: {
        ...{ urls: [url], starttls: false, base: 'dc=example', preset: 'openldap', timeout: `${TIMEOUT_MS}ms` },
        ...more,
      },
    },
  });

async function rcpt({ policy }: PolicyUnderTest, address = 'alice@example.com') {
  const verdict = await policy['recipient-check']({ facts: STRANGER, reversePath: '', recipient: { address } });
  const recipients = verdict.action === 'accept' ? verdict.recipients.map((one) => one.address) : [];
  return { said: said(verdict), recipients };
}

const troubles = (under: PolicyUnderTest): string =>
  under
    .lines()
    .map(({ msg, error }) => `${msg}: ${error}`)
    .join('\n');

const search =
  (answer: (id: number) => Buffer | undefined): FakeAnswer =>
  (asked, id) =>
    asked === 'search' ? answer(id) : undefined;

const ALICE = { objectClass: ['person'], mail: ['alice@example.com'] };
const entry = (id: number) => found(id, 'uid=alice,dc=example', ALICE);
/** An entry whose attributes are these bytes. */
const strange = (id: number, attributes: Buffer) =>
  message(id, tlv(0x64, tlv(0x04, 'uid=alice,dc=example'), attributes));
const reference = (id: number) => message(id, tlv(0x73, tlv(0x04, 'ldap://other.example/dc=example')));

type Case = { name: string; answer: FakeAnswer; reply: string; log?: RegExp; more?: Record<string, unknown> };

const CASES: Case[] = [
  { name: 'an honest server', answer: search((id) => Buffer.concat([entry(id), done(id)])), reply: '250' },
  { name: 'silence', answer: search(() => undefined), reply: AWAY, log: /no answer within/ },
  { name: 'silence after an entry', answer: search(entry), reply: AWAY, log: /no answer within/ },
  {
    name: 'an answer to another question',
    answer: search((id) => Buffer.concat([entry(id + 1), done(id + 1)])),
    reply: AWAY,
    log: /no answer within/,
  },
  {
    name: 'another protocol',
    answer: search(() => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')),
    reply: AWAY,
    log: /no LDAP message/,
  },
  {
    name: 'a message of a gigabyte',
    answer: search(() => Buffer.from([0x30, 0x84, 0x40, 0, 0, 0])),
    reply: AWAY,
    log: /too large/,
  },
  {
    name: 'a length without an end',
    answer: search(() => Buffer.from([0x30, 0x80, 0x02, 0x01, 0x02])),
    reply: AWAY,
    log: /length in a message/,
  },
  {
    name: 'a value longer than what holds it',
    // The parser of ldapts never comes back from this one.
    answer: search((id) => {
      const values = Buffer.from([0x31, 0x05, 0x04, 0x7f, 0x61, 0x61, 0x61]);
      return Buffer.concat([strange(id, tlv(0x30, tlv(0x30, tlv(0x04, 'mail'), values))), done(id)]);
    }),
    reply: AWAY,
    log: /length in a message does not fit/,
  },
  {
    name: 'a value that is a number',
    answer: search((id) =>
      Buffer.concat([strange(id, tlv(0x30, tlv(0x30, tlv(0x04, 'mail'), tlv(0x31, tlv(0x02, 'a'))))), done(id)]),
    ),
    reply: AWAY,
    log: /wrong type/,
  },
  {
    name: 'attributes that are none',
    answer: search((id) => strange(id, tlv(0x30, tlv(0x04, 'mail')))),
    reply: AWAY,
    log: /attribute has no values/,
  },
  {
    name: 'a name with control characters',
    answer: search((id) => Buffer.concat([found(id, 'uid=a\r\nb,dc=example', ALICE), done(id)])),
    reply: AWAY,
    log: /name is of no use: "uid=a\?\?b/,
  },
  {
    name: 'a referral',
    answer: search((id) => done(id, 10, '', tlv(0xa3, tlv(0x04, 'ldap://other.example/dc=example')))),
    reply: AWAY,
    log: /referral to ldap:\/\/other\.example\/dc=example, which is not followed/,
  },
  {
    name: 'nothing but the name of another server',
    answer: search((id) => Buffer.concat([reference(id), done(id)])),
    reply: AWAY,
    log: /other\.example.*referrals are not followed/,
  },
  {
    name: 'nothing but the name of another server, which does not matter',
    answer: search((id) => Buffer.concat([reference(id), done(id)])),
    more: { referrals: 'ignore' },
    reply: UNKNOWN,
  },
  {
    name: 'an entry and the name of another server',
    answer: search((id) => Buffer.concat([entry(id), reference(id), done(id)])),
    reply: '250',
  },
  {
    name: 'a part of what it finds',
    answer: search((id) => Buffer.concat([entry(id), done(id, 4)])),
    reply: AWAY,
    log: /only a part/,
  },
  { name: 'nothing of what it finds', answer: search((id) => done(id, 4)), reply: AWAY, log: /only a part/ },
  {
    name: 'more entries than it was asked for',
    answer: search((id) => Buffer.concat([...Array.from({ length: 50 }, () => entry(id)), done(id)])),
    reply: '550 5.1.4 Recipient address is ambiguous',
  },
  { name: 'a server that is busy', answer: search((id) => done(id, 51)), reply: AWAY, log: /result 51 \(busy\)/ },
  {
    name: 'a server that takes its leave',
    answer: search(() => message(0, result(0x78, 52, 'going down'))),
    reply: AWAY,
    log: /it ends the connection: going down/,
  },
  {
    name: 'StartTLS that is refused',
    answer: (asked, id) => (asked === 'extended' ? message(id, result(0x78, 2, 'no TLS here')) : undefined),
    more: { starttls: true },
    reply: AWAY,
    log: /StartTLS refused: .*no TLS here/,
  },
  {
    name: 'a group of 100,000 members',
    answer: search((id) => {
      const member = Array.from({ length: 100_000 }, (_, i) => `uid=user${i},ou=people,dc=example`);
      return Buffer.concat([found(id, 'cn=all,dc=example', { ...ALICE, member }), done(id)]);
    }),
    reply: LIST,
    more: { timeout: '8s' },
  },
  {
    name: 'a group that Active Directory gives a part of',
    answer: search((id) => {
      const some = Array.from({ length: 1500 }, (_, i) => `cn=user${i},dc=example`);
      const attributes = { objectClass: ['group'], member: [], 'member;range=0-1499': some };
      return Buffer.concat([found(id, 'cn=all,dc=example', attributes), done(id)]);
    }),
    reply: LIST,
    more: { timeout: '8s' },
  },
  {
    name: 'a group that has itself as a member by ever other names',
    answer: search((id) =>
      Buffer.concat([
        found(id, `cn=group${id},dc=example`, { ...ALICE, member: [`cn=group${id + 1},dc=example`] }),
        done(id),
      ]),
    ),
    reply: LIST,
    more: { timeout: '8s' },
  },
];

for (const { name, answer, reply, log, more } of CASES) {
  test(`LDAP answers with ${name}`, async () => {
    await using server = await fakeLdap(answer);
    await using under = await start(server.url, more);
    const began = performance.now();
    assert.equal((await rcpt(under)).said, reply);
    const limit = more?.['timeout'] === undefined ? TIMEOUT_MS + 2000 : 10_000;
    assert.ok(performance.now() - began < limit, 'it took longer than its time limit');
    if (log !== undefined) assert.match(troubles(under), log);
  });
}

test('a server that never stops with its answer is cut off, and fills no memory', async () => {
  const many = Buffer.concat(Array.from({ length: 1000 }, () => entry(1)));
  await using server = await fakeLdap((asked, _id, socket) => {
    if (asked !== 'search') return undefined;
    const more = (): void => {
      while (socket.writable && socket.write(many));
    };
    socket.on('drain', more);
    more();
    return undefined;
  });
  await using under = await start(server.url, { timeout: '8s' });
  const before = process.memoryUsage().rss;
  assert.equal((await rcpt(under)).said, AWAY);
  assert.match(troubles(under), /its answer is too large/);
  const grown = (process.memoryUsage().rss - before) / 1024 / 1024;
  assert.ok(grown < 300, `memory has grown by ${Math.round(grown)} MB`);
});

test('values that are no printable text are left out, and the log says where', async () => {
  const mail = ['alice@example.com\r\nx', Buffer.from([0xff, 0xfe]), 'alice@example.com', 'x500:/o=a', 'no address'];
  await using server = await fakeLdap(
    search((id) => Buffer.concat([found(id, 'uid=alice,dc=example', { ...ALICE, mail }), done(id)])),
  );
  await using under = await start(server.url);
  assert.deepEqual((await rcpt(under)).recipients, ['alice@example.com']);
  const line = under.lines().find(({ msg }) => msg?.startsWith('LDAP entry has values'));
  assert.deepEqual([line?.['dn'], line?.['attributes']], ['uid=alice,dc=example', 'mail']);
});

test('a crowd of questions to a silent server ends within the time limit', async () => {
  await using server = await fakeLdap(() => undefined);
  await using under = await start(server.url);
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: 3000 }, (_, i) => rcpt(under, `user${i}@example.com`)));
  // One after the other they would take half an hour.
  const ms = performance.now() - began;
  assert.ok(ms < TIMEOUT_MS + 20_000, `${ms} ms`);
  assert.deepEqual([...new Set(answers.map((answer) => answer.said))], [AWAY]);
  // One that was given up may still be open at the server when the next one comes.
  assert.ok(server.mostOpen() < 20, `${server.mostOpen()} connections were open`);
});

test('without StartTLS no password is sent', async () => {
  await using server = await fakeLdap((asked, id) =>
    asked === 'extended' ? message(id, result(0x78, 2, 'no TLS here')) : undefined,
  );
  const account = { 'bind-dn': 'cn=sealpost', password: 'secret' };
  await using under = await start(server.url, { starttls: true, ...account });
  assert.equal((await rcpt(under)).said, AWAY);
  assert.deepEqual(server.asked, ['extended']);
});

test('a change of the configuration asks another server, with another password, from then on', async () => {
  const honest = search((id) => Buffer.concat([entry(id), done(id)]));
  await using first = await fakeLdap(honest);
  await using second = await fakeLdap(honest);
  const settings = (url: string, password: string) => ({
    domains: [{ name: 'example.com', local: true }],
    directory: {
      ldap: { urls: [url], starttls: false, base: '', preset: 'openldap', 'bind-dn': 'cn=sealpost', password },
    },
  });
  await using under = await startPolicy('127.0.0.1:1', settings(first.url, 'a'));
  const steps = [settings(first.url, 'b'), settings(second.url, 'b'), { ...settings('', ''), directory: {} }];
  const binds = async (): Promise<number[]> => {
    await rcpt(under);
    return [first, second].map(({ asked }) => asked.filter((one) => one === 'bind').length);
  };
  const seen = [await binds()];
  for (const step of steps) {
    under.settings.replace(ConfigSchema.parse(step));
    seen.push(await binds());
  }
  assert.deepEqual(seen, [
    [1, 0],
    [2, 0],
    [2, 1],
    [2, 1],
  ]);
});
