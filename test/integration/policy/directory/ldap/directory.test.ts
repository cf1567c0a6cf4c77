import assert from 'node:assert/strict';
import test from 'node:test';
import { ADMIN, ADMIN_PASSWORD, BASE, dnOf, FOLDERS, group, groupDn, person, Slapd } from '#test/kit/ldap/slapd.ts';
import { type PolicyUnderTest, STRANGER, said, startPolicy } from '#test/kit/nodes/policy.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

const PEERS = needs('slapd', 'slapadd', 'ldapmodify');

const LDIF =
  FOLDERS +
  person({ uid: 'alice', password: 'open sesame', mail: ['alice@example.com', 'a.smith@example.com'] }) +
  person({ uid: 'bob', password: 'b' }) +
  person({ uid: 'carol', more: 'mailLocalAddress: c@example.com\nmailRoutingAddress: carol@elsewhere.test\n' }) +
  person({ uid: 'twin1', mail: ['twin@example.com'] }) +
  person({ uid: 'twin2', mail: ['twin@example.com'] }) +
  person({ uid: 'admin1', mail: ['postmaster@example.com'] }) +
  person({ uid: 'admin2', mail: ['postmaster@example.com'] }) +
  person({ uid: '(star)*', mail: ['star@example.com'] }) +
  group('team', [dnOf('alice'), groupDn('nested'), dnOf('nobody')]) +
  group('nested', [dnOf('bob'), groupDn('team'), dnOf('carol')]) +
  `dn: cn=list,ou=groups,${BASE}\nobjectClass: nisMailAlias\nobjectClass: inetLocalMailRecipient\ncn: list\nmailLocalAddress: list@example.com\nrfc822MailMember: x@outside.test\nrfc822MailMember: team@example.com\nrfc822MailMember: list@example.com\n\n` +
  group(
    'huge',
    Array.from({ length: 1001 }, (_, i) => dnOf(`member${i}`)),
  );

function settings(slapd: { url: string }, more: Record<string, unknown> = {}) {
  const ldap = {
    urls: [slapd.url],
    starttls: false,
    base: BASE,
    preset: 'openldap',
    'bind-dn': ADMIN,
    password: ADMIN_PASSWORD,
    ...more,
  };
  return { domains: [{ name: 'example.com', local: true }], directory: { ldap } };
}

async function rcpt({ policy }: PolicyUnderTest, address: string) {
  const recipient = { address };
  const verdict = await policy['recipient-check']({ facts: STRANGER, reversePath: 'x@outside.test', recipient });
  const recipients = verdict.action === 'accept' ? verdict.recipients.map((one) => one.address) : [];
  return { said: said(verdict), recipients, why: verdict.why };
}

async function logIn({ policy }: PolicyUnderTest, user: string, password: string | Uint8Array, actAs?: string) {
  const bytes = typeof password === 'string' ? Buffer.from(password) : password;
  return policy['user-authenticate']({ facts: STRANGER, mechanism: 'PLAIN', user, actAs }, { bytes });
}

test('recipients are found in LDAP', PEERS, async (t) => {
  await using slapd = await Slapd.start({ ldif: LDIF });
  await using under = await startPolicy('127.0.0.1:1', settings(slapd));
  const cases: [string, string, string, string[]][] = [
    ['a user by the address', 'Alice@example.com', '250', ['alice@example.com']],
    ['a user by another address', 'a.smith@example.com', '250', ['a.smith@example.com']],
    ['a user with a tag', 'alice+news@example.com', '250', ['alice+news@example.com']],
    ['nobody', 'nobody@example.com', '550 5.1.1 No such user here', []],
    ['an alias', 'c@example.com', '250', ['carol@elsewhere.test']],
    [
      'a group with a group in it, and a circle',
      'team@example.com',
      '250',
      ['alice@example.com', 'bob@example.com', 'carol@elsewhere.test'],
    ],
    [
      'a list of addresses, one of them a group',
      'list@example.com',
      '250',
      ['x@outside.test', 'alice@example.com', 'bob@example.com', 'carol@elsewhere.test'],
    ],
    ['a group with too many members', 'huge@example.com', '451 4.2.4 Mailing list expansion problem', []],
    ['an asterisk is no wildcard', 'al*@example.com', '550 5.1.1 No such user here', []],
    ['a filter is no filter', '"x)(uid=*"@example.com', '550 5.1.1 No such user here', []],
  ];
  for (const [name, address, reply, recipients] of cases) {
    await t.test(name, async () => {
      const found = await rcpt(under, address);
      assert.deepEqual([found.said, found.recipients.toSorted()], [reply, recipients.toSorted()]);
    });
  }

  await t.test('why tells which entry it was', async () => {
    const { why } = await rcpt(under, 'alice@example.com');
    assert.ok(why.includes(`LDAP has alice@example.com: ${dnOf('alice')}`), why.join('\n'));
    const unknown = await rcpt(under, 'nobody@example.com');
    assert.ok(unknown.why.includes('LDAP has no entry for nobody@example.com'), unknown.why.join('\n'));
  });

  await t.test('a recipient of another domain is not looked for', async () => {
    const before = slapd.output.length;
    assert.match((await rcpt(under, 'somebody@outside.test')).said, /^554/);
    assert.doesNotMatch(slapd.output.slice(before), /outside\.test/);
  });

  await t.test('a member without an entry is told', () => {
    const line = under.lines().find(({ msg }) => msg === 'LDAP group has members without an address: they get no mail');
    assert.equal(line?.['first'], dnOf('nobody'));
  });
});

test(
  'SMTPDenyNotUniqueRCPT a recipient that several people are is refused, or all of them get the mail',
  PEERS,
  async () => {
    await using slapd = await Slapd.start({
      ldif:
        LDIF +
        person({ uid: 'smith', mail: ['john.smith@example.com'] }) +
        person({ uid: 'smith2', mail: ['jane.smith@example.com'], more: 'uid: smith\n' }),
    });
    const domino = { preset: 'domino', filters: { login: '(uid={login})' } };
    await using strict = await startPolicy('127.0.0.1:1', settings(slapd, domino));
    const refused = await rcpt(strict, 'smith@example.com');
    assert.equal(refused.said, '550 5.1.4 Recipient address is ambiguous');
    assert.match(refused.why.join('\n'), /uid=smith,.* and uid=smith2,/);
    assert.equal((await rcpt(strict, 'twin@example.com')).said, '550 5.1.4 Recipient address is ambiguous');
    // RFC 5321 §4.5.1: it reaches somebody, whatever the directory says.
    assert.deepEqual((await rcpt(strict, 'postmaster@example.com')).recipients, ['postmaster@example.com']);
    assert.deepEqual((await rcpt(strict, 'alice@example.com')).recipients, ['alice@example.com']);

    await using lax = await startPolicy('127.0.0.1:1', settings(slapd, { ...domino, ambiguous: 'all' }));
    const all = await rcpt(lax, 'smith@example.com');
    assert.deepEqual(all.recipients.toSorted(), ['jane.smith@example.com', 'john.smith@example.com']);
    assert.deepEqual((await rcpt(lax, 'twin@example.com')).recipients, ['twin@example.com']);
  },
);

test('A3 failures of a user of LDAP count together, whichever of the names was given', PEERS, async () => {
  await using slapd = await Slapd.start({ ldif: LDIF });
  await using under = await startPolicy('127.0.0.1:1', settings(slapd));
  const names = ['alice', 'ALICE@example.com', 'a.smith@example.com'];
  for (let i = 0; i < 10; i++) {
    assert.match(said(await logIn(under, names[i % 3] ?? '', 'wrong')), /^535 5\.7\.8/);
  }
  for (const name of names) assert.match(said(await logIn(under, name, 'open sesame')), /^454 4\.7\.0/, name);
  assert.equal((await logIn(under, 'bob', 'b')).action, 'accept');
});

test('a user of LDAP logs in by a bind', PEERS, async (t) => {
  await using slapd = await Slapd.start({ ldif: LDIF });
  await using under = await startPolicy('127.0.0.1:1', settings(slapd));

  await t.test('with the name or an address, and gets the same name', async () => {
    for (const name of ['alice', 'ALICE', 'alice@example.com']) {
      const verdict = await logIn(under, name, 'open sesame');
      assert.equal(verdict.action === 'accept' ? verdict.user : said(verdict), 'alice');
    }
    assert.equal((await logIn(under, 'alice@example.com', 'open sesame', 'a.smith@example.com')).action, 'accept');
  });

  await t.test('a wrong password is refused, and the log has the words of LDAP', async () => {
    assert.match(said(await logIn(under, 'alice', 'wrong')), /^535 5\.7\.8/);
    const line = under.lines().find(({ msg }) => msg === 'Authentication failed');
    assert.match(String(line?.['reason']), /wrong password: LDAP answers result 49 \(invalid credentials\)/);
  });

  await t.test('an empty password is refused, and never sent (RFC 4513 §5.1.2)', async () => {
    const binds = () => [...slapd.output.matchAll(/BIND dn="uid=bob,.*method=128/g)].length;
    assert.match(said(await logIn(under, 'bob', '')), /^535 5\.7\.8/);
    assert.equal((await logIn(under, 'bob', 'b')).action, 'accept');
    await waitFor(() => binds() > 0, { what: 'the right password in the log' });
    assert.equal(binds(), 1);
  });

  await t.test('a password that is no text, an unknown user, spaces around a name, a filter as a name', async () => {
    assert.match(said(await logIn(under, 'bob', Buffer.from([0x62, 0xff]))), /^535/);
    for (const name of ['nobody', ' bob', 'b*', '*)(uid=bob']) {
      assert.match(said(await logIn(under, name, 'b')), /^535/, name);
    }
    assert.equal((await logIn(under, 'bob', 'b')).action, 'accept');
  });

  await t.test('a new password holds immediately, and so does the end of a user', async () => {
    await slapd.modify(`dn: ${dnOf('bob')}\nchangetype: modify\nreplace: userPassword\nuserPassword: new\n`);
    assert.match(said(await logIn(under, 'bob', 'b')), /^535/);
    assert.equal((await logIn(under, 'bob', 'new')).action, 'accept');
    await slapd.modify(`dn: ${dnOf('bob')}\nchangetype: delete\n`);
    assert.match(said(await logIn(under, 'bob', 'new')), /^535/);
  });

  await t.test('the user may send as the addresses of the entry, and as no others', async () => {
    const facts = { ...STRANGER, kind: 'submission', user: 'alice' } as const;
    const from = (reversePath: string) => under.policy['sender-check']({ facts, reversePath });
    assert.equal(said(await from('a.smith@example.com')), '250');
    assert.match(said(await from('bob@example.com')), /^5/);
  });
});

test('A4 a user of LDAP sends with tags, and not as another whose name looks like one', PEERS, async () => {
  await using slapd = await Slapd.start({
    ldif: LDIF + person({ uid: 'alice-b', mail: ['alice-b@example.com'] }),
  });
  await using under = await startPolicy('127.0.0.1:1', { ...settings(slapd), rewrite: { delimiter: '-' } });
  const facts = { ...STRANGER, kind: 'submission', user: 'alice' } as const;
  const transfer = { queueId: '01ABCDEFGHJKMNPQ', recipients: ['x@outside.test'], smtpUtf8: false, size: 100 };
  for (const [reversePath, mail, author] of [
    ['alice-list@example.com', '250', '250'],
    ['alice-b@example.com', '553', '550'],
    ['nobody@outside.test', '553', '550'],
  ] as const) {
    const sender = await under.policy['sender-check']({ facts, reversePath });
    const bytes = Buffer.from(`From: ${reversePath}\r\n\r\n`);
    const message = await under.policy['message-check']({ facts, reversePath, ...transfer }, { bytes });
    assert.deepEqual([said(sender).slice(0, 3), said(message).slice(0, 3)], [mail, author], reversePath);
  }
});

test('while LDAP is away mail and log-ins are deferred, and go on when it is back', PEERS, async () => {
  await using slapd = await Slapd.start({ ldif: LDIF });
  await using under = await startPolicy(
    '127.0.0.1:1',
    settings(slapd, { timeout: '1s', cache: { found: '0s', missing: '0s' } }),
  );
  const state = async () => (await rcpt(under, 'alice@example.com')).said;
  const AWAY = '451 4.3.0 Recipient cannot be checked now, please try again later';
  assert.equal(await state(), '250');

  await slapd.stop();
  assert.equal(await state(), AWAY);
  assert.equal((await rcpt(under, 'nobody@example.com')).said, AWAY);
  assert.match(said(await logIn(under, 'alice', 'open sesame')), /^454 4\.7\.0/);
  await slapd.restart();
  await waitFor(async () => (await state()) === '250', { what: 'LDAP to be asked again', timeout: 15_000 });
  assert.equal((await rcpt(under, 'nobody@example.com')).said, '550 5.1.1 No such user here');

  // Silence is the same, within the time limit.
  await slapd.pause();
  const began = performance.now();
  assert.equal(await state(), AWAY);
  assert.ok(performance.now() - began < 3000, 'it took longer than its time limit');
  slapd.resume();
  await waitFor(async () => (await state()) === '250', { what: 'LDAP to be asked again', timeout: 15_000 });
  const messages = under.lines().map(({ msg }) => msg);
  assert.ok(messages.includes('LDAP server cannot be asked: what only LDAP knows is deferred'), messages.join('\n'));
  assert.ok(messages.includes('LDAP server answers again'), messages.join('\n'));
});

test('the next server is asked when one is away', PEERS, async () => {
  await using first = await Slapd.start({ ldif: LDIF });
  await using second = await Slapd.start({ ldif: LDIF });
  const servers = { urls: [first.url, second.url], timeout: '2s', cache: { found: '0s', missing: '0s' } };
  await using under = await startPolicy('127.0.0.1:1', settings(first, servers));
  assert.equal((await rcpt(under, 'alice@example.com')).said, '250');
  await waitFor(() => /SRCH/.test(first.output), { what: 'the first server to be asked' });
  await first.stop();
  assert.equal((await rcpt(under, 'alice@example.com')).said, '250');
  await waitFor(() => /SRCH/.test(second.output), { what: 'the second server to be asked' });
});
