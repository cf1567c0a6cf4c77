import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeRequest } from '#cluster/bus/frame.ts';
import type { AddressPlace } from '#cluster/config/schema/rewrite.ts';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import type { AnyDirectory } from '#services/policy/directory/directory.ts';
import { Directory } from '#services/policy/directory/directory.ts';
import { messageFacts } from '#services/policy/gathering/message.ts';
import { recipientFacts } from '#services/policy/gathering/recipient.ts';
import { HostList } from '#services/policy/relay/host-list.ts';
import { CHUNK_BYTES } from '#services/router/contract.ts';
import { atOnce, checksOf, config, directory, facts, rulesOf } from '#test/unit/policy/fixtures.ts';

const CONFIG = config({
  node: { hostname: 'mx1.example.com' },
  relay: { allow: { hosts: ['10.0.0.0/8'] } },
  domains: [{ name: 'example.com', local: true }],
  rewrite: {
    canonical: [
      {
        map: {
          'Root@Host1.example': 'admin@example.com',
          jdoe: 'john.doe@example.com',
          '@old.example': '@example.com',
          '@all.example': 'one@example.com',
          'alice@example.com': 'a.liddell@example.com',
          'moved@example.com': 'moved@elsewhere.test',
        },
      },
    ],
    'domain-aliases': { 'alias.example': 'example.com' },
  },
});

const CONFIG_INPUT = {
  relay: { allow: { hosts: ['10.0.0.0/8'] } },
  domains: [{ name: 'example.com', local: true }],
};
const MAP = { 'alice@example.com': 'a.liddell@example.com' };

const outside = facts();
const printer = facts({ client: { address: '10.1.2.3', name: null, helo: 'x' }, scope: 'internal' });
const alice = facts({ kind: 'submission', user: 'Alice' });

const ADDRESSES: [address: string, expected: string, why: string][] = [
  [
    'root@host1.example',
    'admin@example.com',
    'SMTPTranslateLookupFullThenLocal: the full address; case does not count',
  ],
  ['root+cron@host1.example', 'admin+cron@example.com', 'its tag stays'],
  ['JDoe@example.com', 'john.doe@example.com', 'SMTPTranslateLookupFullThenLocal: then the local part alone'],
  ['jdoe@alias.example', 'john.doe@example.com', 'in another name of a local domain too'],
  ['jdoe@far.test', 'jdoe@far.test', 'but not in a domain that is not local'],
  [
    'jdoe@old.example',
    'jdoe@example.com',
    'SMTPTranslateAddressLookup: an entry with a domain holds for domains that are not local',
  ],
  ['Any.Body@OLD.example', 'Any.Body@example.com', 'a domain'],
  ['any@all.example', 'one@example.com', 'a domain to one address'],
  ['x@sub.old.example', 'x@sub.old.example', 'not what is below the domain'],
  ['alice@old.example', 'alice@example.com', 'what it becomes is not looked up again'],
  ['other@example.com', 'other@example.com', 'no entry'],
];
for (const [address, expected, why] of ADDRESSES) {
  test(`${why}: ${address}`, () => {
    assert.equal(rulesOf(CONFIG).rewriting.canonical(address, 'header-sender', null), expected);
  });
}

test('a map of the directory counts where it is named, and while the directory cannot be read nobody guesses', () => {
  const given = config({ rewrite: { canonical: [{ directory: 'people', of: ['header-sender'] }] } });
  const { rewriting } = rulesOf(given);
  const people = new Map([
    ['X@far.test', 'x@Example.com'],
    ['bad@far.test', 'jürgen@example.com'],
    ['worse@far.test', 'x@example.com\r\nBcc: y@example.com'],
    ['bare@far.test', 'x'],
  ]);
  const source = { ...directory().sources[0], map: (key: string) => (key === 'people' ? people : undefined) };
  const users = new Directory([source as Directory['sources'][number]]);
  const ask = (address: string, place: AddressPlace, from: AnyDirectory) => rewriting.canonical(address, place, from);
  assert.equal(ask('x@far.test', 'header-sender', users), 'x@example.com');
  assert.equal(ask('x@far.test', 'envelope-sender', users), 'x@far.test');
  for (const address of ['bad@far.test', 'worse@far.test', 'bare@far.test']) {
    assert.equal(ask(address, 'header-sender', users), address, 'what is no address in ASCII is not used');
  }
  assert.equal(ask('x@far.test', 'header-sender', directory()), 'x@far.test', 'no such map');
  assert.equal(ask('x@far.test', 'header-sender', undefined), undefined);
});

function recipient(who: SessionFacts, address: string, given = CONFIG, ask: () => AnyDirectory = () => directory()) {
  const deps = { ...rulesOf(given), ask, checks: checksOf(given), config: given, now: new Date(0) };
  const request = { facts: who, reversePath: 'author@example.net', recipient: { address } };
  return decide('recipient', atOnce(recipientFacts(request, deps)));
}

test('every address of a domain alias is the address in the local domain, and known by what RCPT named', () => {
  const known = recipient(outside, 'Alice+x@Alias.Example');
  assert.ok(known.action === 'accept');
  assert.deepEqual(known.recipients, [{ address: 'alice+x@example.com', original: 'Alice+x@alias.example' }]);
  const list = recipient(outside, 'team@alias.example');
  assert.ok(list.action === 'accept' && list.recipients.length === 3);
  for (const [address, code] of [
    ['nobody@alias.example', 550],
    ['x@sub.alias.example', 554],
  ] as const) {
    const verdict = recipient(outside, address);
    assert.ok(verdict.action === 'reject' && verdict.reply.code === code, address);
  }
});

test('a recipient is rewritten before anything looks at it: into a domain of ours, and out of it', () => {
  const into = recipient(outside, 'bob@old.example');
  assert.ok(into.action === 'accept');
  assert.deepEqual(
    into.recipients.map((r) => [r.address, r.original]),
    [
      ['bob@example.com', 'bob@old.example'],
      ['archive@example.net', 'bob@old.example'],
    ],
  );
  const away = recipient(outside, 'moved@example.com');
  assert.ok(away.action === 'accept');
  assert.deepEqual(away.recipients, [{ address: 'moved@elsewhere.test', original: 'moved@example.com' }]);
  const canonical = [{ directory: 'people' }];
  const given = config({ domains: [{ name: 'example.com', local: true }], rewrite: { canonical } });
  const unread = recipient(outside, 'x@far.test', given, () => undefined);
  assert.ok(unread.action === 'defer');
});

test('postmaster without a domain goes where maps send postmaster', () => {
  const canonical = [{ map: { postmaster: 'ops@elsewhere.test' } }];
  const given = config({ ...CONFIG_INPUT, rewrite: { canonical } });
  const verdict = recipient(outside, 'Postmaster', given);
  assert.ok(verdict.action === 'accept', JSON.stringify(verdict));
  assert.deepEqual(
    verdict.recipients.map(({ address }) => address),
    ['ops@elsewhere.test'],
  );
});

test('our own notices about mail with a rewritten reverse-path go to the mailbox that it leads to', () => {
  const notices = (who: SessionFacts, reversePath: string, given = CONFIG) => {
    const deps = {
      ...rulesOf(given),
      ask: () => directory(),
      checks: checksOf(given),
      config: given,
      now: new Date(0),
    };
    const request = { facts: who, reversePath, recipient: { address: 'Al.Ice@example.com' } };
    const verdict = decide('recipient', atOnce(recipientFacts(request, deps)));
    return verdict.action === 'accept' && verdict.recipients.map((r) => r.reportTo);
  };
  assert.deepEqual(notices(alice, 'hostmaster@example.com'), ['alice@example.com'], 'an alias');
  assert.deepEqual(notices(printer, 'AL.ICE@alias.example'), ['Al.Ice@example.com'], 'a mailbox by another name');
  assert.deepEqual(notices(alice, 'alice@example.com'), [undefined], 'the mailbox itself');
  assert.deepEqual(notices(alice, 'unknown@example.com'), [undefined]);
  assert.deepEqual(notices(outside, 'hostmaster@example.com'), [undefined], 'a stranger');
  assert.deepEqual(notices(alice, 'hostmaster@example.com', config(CONFIG_INPUT)), [undefined], 'nothing is rewritten');
});

function sender(who: SessionFacts, reversePath: string, given = CONFIG) {
  const { limits } = given;
  const said = { session: who, reversePath, size: undefined, limits, anonymous: new HostList([]) };
  return decide('sender', { ...said, ...rulesOf(given), directory: directory() });
}

test('A4 a user may send as an address that is the user’s as it is written, or as it is rewritten', () => {
  for (const [reversePath, becomes] of [
    ['alice@example.com', 'a.liddell@example.com'],
    ['alice@old.example', 'alice@example.com'],
    ['alice@alias.example', undefined],
    ['', undefined],
  ] as const) {
    const verdict = sender(alice, reversePath);
    assert.ok(verdict.action === 'accept', reversePath);
    assert.equal(verdict.reversePath, becomes, reversePath);
  }
  for (const reversePath of ['bob@old.example', 'jdoe@example.com', 'bob@alias.example']) {
    assert.equal(sender(alice, reversePath).action, 'reject', reversePath);
  }
});

test('A4 nobody becomes somebody else by an author that is permitted only because it would be rewritten, and is not', () => {
  const canonical = [{ map: { '@x.example': 'alice@example.com' } }];
  const given = config({ ...CONFIG_INPUT, rewrite: { canonical } });
  const said = (text: string) => {
    const verdict = message(alice, `${text}\n\n`, { given });
    return verdict.action === 'accept' ? verdict.header?.split('\r\n', 1)[0] : verdict.reply.enhanced;
  };
  assert.equal(said('From: ceo@x.example'), 'From: alice@example.com');
  for (const text of [
    'From: ceo@x.example\nDKIM-Signature: v=1',
    'From: The Chief [x] <ceo@x.example>',
    'From: alice@example.com\nSender: ceo@x.example\nDKIM-Signature: v=1',
    'From: boss@far.test\nResent-From: ceo@x.example',
  ]) {
    assert.equal(said(text), '5.7.1', text);
  }
});

test('A4 a map of a whole domain of the user gives nobody the addresses of another domain', () => {
  const map = { '@lists.example.com': '@example.com', 'news@lists.example.com': 'alice@example.com' };
  const given = config({ ...CONFIG_INPUT, rewrite: { canonical: [{ map }] } });
  for (const [address, expected] of [
    ['bob@lists.example.com', 'reject'],
    ['alice@lists.example.com', 'accept'],
    ['news@lists.example.com', 'accept'],
  ] as const) {
    assert.equal(sender(alice, address, given).action, expected, address);
    assert.equal(message(alice, `From: ${address}\n\n`, { given }).action, expected, address);
  }
});

test('A4 a map of a domain that a user writes on behalf of gives nobody the authors of another domain', () => {
  // Alice may write for boss@example.com and everybody in help.test.
  const map = { '@help.test': '@example.com', 'desk@help.test': 'alice@example.com', 'boss@example.com': 'x@far.test' };
  const given = config({ ...CONFIG_INPUT, rewrite: { canonical: [{ map }] } });
  const action = (from: string, more = '') =>
    message(alice, `From: ${from}\nSender: alice@example.com\n${more}\n`, { given }).action;
  assert.equal(action('bob@help.test'), 'reject');
  assert.equal(action('boss@help.test'), 'accept', 'it leaves as boss@example.com');
  assert.equal(action('desk@help.test'), 'accept', 'it leaves as an address of her own');
  assert.equal(action('boss@example.com'), 'accept', 'named in full');
  assert.equal(
    action('bob@help.test', 'DKIM-Signature: v=1\n'),
    'accept',
    'signed already, so it leaves as it is written',
  );
});

test('the reverse-path of a trusted host is rewritten, that of a stranger is not', () => {
  assert.equal((sender(printer, 'root@host1.example') as { reversePath?: string }).reversePath, 'admin@example.com');
  assert.deepEqual(Object.keys(sender(outside, 'root@host1.example')), ['action', 'why']);
});

function message(who: SessionFacts, header: string, more: { given?: typeof CONFIG; reversePath?: string } = {}) {
  const { given = CONFIG, reversePath = 'alice@example.com' } = more;
  const mail = { reversePath, recipients: ['x@far.test'], smtpUtf8: false, size: 1000 };
  const deps = { ...rulesOf(given), ask: () => directory(), config: given, now: new Date(0) };
  const request = { facts: who, queueId: '01ABCDEFGHJKMNPQ', ...mail };
  return decide('message', atOnce(messageFacts(request, Buffer.from(header.replaceAll('\n', '\r\n')), deps)));
}

/** What the header becomes. */
function header(who: SessionFacts, text: string, given = CONFIG): string | undefined {
  const verdict = message(who, text, { given });
  assert.ok(verdict.action === 'accept', JSON.stringify(verdict));
  return verdict.header?.replaceAll('\r\n', '\n');
}

const HEADER =
  'Subject: hi\nFrom: Alice <alice@example.com>\nTo: jdoe@example.com,\n bob@example.com\nCc: x@old.example\nX: alice@example.com\n\n';

test('SMTPTranslateAddresses 2: all addresses of originating mail are rewritten, the rest of the header stays as it is', () => {
  assert.equal(
    header(alice, HEADER),
    'Subject: hi\nFrom: Alice <a.liddell@example.com>\nTo: john.doe@example.com,\n bob@example.com\nCc: x@example.com\nX: alice@example.com\n\n',
  );
});

test('SMTPTranslateAddresses 1: only the addresses of senders', () => {
  const given = config({ ...CONFIG_INPUT, rewrite: { canonical: [{ map: MAP, of: ['header-sender'] }] } });
  assert.equal(header(alice, HEADER, given), HEADER.replace('<alice@', '<a.liddell@'));
});

test('SMTPTranslateAddresses 0: without a map no header becomes another', () => {
  assert.equal(header(alice, HEADER, config(CONFIG_INPUT)), undefined);
});

test('SMTPTranslateAddressesPreserve822 keeps each field that was rewritten', () => {
  const rewrite = { canonical: [{ map: MAP, of: ['header-sender'] }], 'keep-original': true };
  assert.match(
    header(alice, HEADER, config({ ...CONFIG_INPUT, rewrite })) ?? '',
    /^From: Alice <a\.liddell@example\.com>\nX-Original-From: Alice <alice@example\.com>\nTo: /m,
  );
});

test('the header of mail from outside is never rewritten, nor one that is signed', () => {
  assert.equal(header(outside, HEADER), undefined);
  assert.equal(header(alice, `DKIM-Signature: v=1\n${HEADER}`), undefined);
  assert.equal(header(printer, `ARC-Message-Signature: i=1\n${HEADER}`), undefined);
  assert.ok(header(printer, HEADER) !== undefined);
});

test('A4 the author may be an address that rewriting makes the user’s', () => {
  assert.match(header(alice, 'From: alice@old.example\n\n') ?? '', /^From: alice@example\.com\n\n$/);
  const foreign = message(alice, 'From: bob@old.example\n\n');
  assert.ok(foreign.action === 'reject' && foreign.reply.code === 550);
});

test('a header without an empty line, and one that is no header, come out whole', () => {
  assert.equal(
    header(alice, 'From: alice@example.com\nTo: jdoe@example.com'),
    'From: a.liddell@example.com\nTo: john.doe@example.com\n',
  );
  assert.equal(
    header(printer, 'not a field\nFrom: jdoe@example.com\n\n'),
    'not a field\nFrom: john.doe@example.com\n\n',
  );
});

const FROM = config({
  ...CONFIG_INPUT,
  rewrite: { 'reverse-path': 'from', canonical: [{ map: MAP, of: ['header-sender'] }] },
});
const PATHS: [who: SessionFacts, header: string, reversePath: string, expected: string | undefined, why: string][] = [
  [printer, 'From: Bob <Bob@EXAMPLE.com>', 'scanner@host1.test', 'Bob@example.com', 'the author'],
  [alice, 'From: alice@example.com', 'al.ice@example.com', 'a.liddell@example.com', 'as rewritten'],
  [printer, 'From: bob@example.com', 'bob@example.com', undefined, 'the same'],
  [printer, 'From: bob@example.com', '', undefined, 'the null reverse-path stays'],
  [printer, 'From: bob@far.test', 'scanner@example.com', undefined, 'an author elsewhere'],
  [printer, 'From: bob@example.com, jim@example.com', 'scanner@example.com', undefined, 'two authors'],
  [
    printer,
    'From: jürgen@example.com',
    'scanner@example.com',
    undefined,
    'one beyond ASCII, of a client without SMTPUTF8',
  ],
  [printer, 'Subject: none', 'scanner@example.com', undefined, 'no author'],
  [outside, 'From: bob@example.com', 'x@far.test', undefined, 'mail from outside'],
];
for (const [who, text, reversePath, expected, why] of PATHS) {
  test(`RouterUseFromAsSMTPOriginator: ${why}`, () => {
    const verdict = message(who, `${text}\n\n`, { given: FROM, reversePath });
    assert.ok(verdict.action === 'accept');
    assert.equal(verdict.reversePath, expected);
  });
}

test('the reverse-path stays as MAIL gives it unless that is configured', () => {
  const verdict = message(printer, 'From: bob@example.com\n\n', { reversePath: 'scanner@host1.test' });
  assert.ok(verdict.action === 'accept' && verdict.reversePath === undefined);
});

test('a header that would be too large for the bus once it is rewritten is refused for good, not again and again', () => {
  const MB = 1024 * 1024;
  const given = config({
    ...CONFIG_INPUT,
    limits: { 'header-size': '384KB' },
    rewrite: { canonical: [{ map: MAP }], 'keep-original': true },
  });
  for (const [character, kilobytes, expected] of [
    ['a', 380, 'accept'],
    ['\xe4', 80, 'accept'],
    ['\xe4', 260, '5.3.4'],
    ['\x01', 40, 'accept'],
    ['\x01', 380, '5.3.4'],
  ] as const) {
    const comment = character.repeat(kilobytes * 1024).replace(/.{500}/g, '$&\n ');
    const text = `From: alice@example.com\nTo: (${comment}) alice@example.com\n\n`;
    const name = `${kilobytes} KB of ${JSON.stringify(character)}`;
    const verdict = message(alice, text, { given });
    assert.equal(verdict.action === 'accept' ? 'accept' : verdict.reply.enhanced, expected, name);
    if (verdict.action !== 'accept') continue;
    assert.ok(verdict.header?.includes('a.liddell@example.com'), name);
    const commit = { timeout: 1, trace: undefined, fields: verdict, bytes: new Uint8Array(CHUNK_BYTES) };
    assert.ok(encodeRequest(commit).length < MB - 64 * 1024, name);
  }
});

test('without NATS a header may be as large as limits.header-size says, rewritten or not', () => {
  const rewrite = { canonical: [{ map: MAP }] };
  const given = config({ ...CONFIG_INPUT, limits: { 'header-size': '4MB' }, rewrite });
  const text = `From: alice@example.com\nX: ${`${'a'.repeat(500)}\n `.repeat(7000)}a\n\n`;
  assert.equal(message(alice, text, { given }).action, 'accept');
});
