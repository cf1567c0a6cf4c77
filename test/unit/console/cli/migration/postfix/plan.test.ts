import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import { plan } from '#test/kit/postfix/plan.ts';
import { locate, needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';

/** What parameters of Postfix become, one at a time, and what must never come of them. */

const CLOSED = 'smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nmynetworks = 10.0.0.0/8\n';

test('every parameter that Postfix has gets an answer of this import', needs('postconf'), async () => {
  await using temp = await tempDir('postfix');
  await writeFile(join(temp.path, 'main.cf'), '');
  await writeFile(join(temp.path, 'master.cf'), '');
  const all = execFileSync(locate('postconf') ?? 'postconf', ['-c', temp.path, '-d'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const names = [...all.matchAll(/^([\w.]+) =/gm)].map(([, name = '']) => name);
  assert.ok(names.length > 700);
  const { account } = await plan(all);
  const unknown = account.filter(({ text }) => text.includes('not known'));
  assert.deepEqual(
    unknown.map((l) => l.setting),
    [],
  );
  for (const name of names) {
    assert.ok(
      account.some(({ setting }) => setting.startsWith(`${name} =`) || setting.startsWith(`${name}:`)),
      `${name} has no line`,
    );
  }
});

test('a parameter that nobody knows is a problem, one that others name is not', async () => {
  const { lines } = await plan(`${CLOSED}my_text = a\nsmtp_helo_name = $my_text.example\nfrobnicate = 1\n`);
  assert.equal(lines('my_text')[0]?.verdict, 'default');
  assert.deepEqual([lines('frobnicate')[0]?.verdict, lines('frobnicate')[0]?.place], ['problem', 'main.cf:5']);
});

for (const [what, main, hosts, domains] of [
  ['networks', CLOSED, ['10.0.0.0/8'], []],
  ['the default of smtpd_relay_restrictions', 'mynetworks = 10.0.0.0/8\n', ['10.0.0.0/8'], []],
  [
    'what both lists permit',
    'mynetworks = 10.0.0.0/8\nsmtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination\n',
    [],
    [],
  ],
  [
    'one list alone',
    'mynetworks = 10.0.0.0/8\nsmtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination\n',
    ['10.0.0.0/8'],
    [],
  ],
  [
    'a list without an end beside one with an end',
    `${CLOSED}smtpd_recipient_restrictions = reject_rbl_client zen.example.org\n`,
    ['10.0.0.0/8'],
    [],
  ],
  [
    'warn_if_reject ends nothing',
    `${CLOSED}smtpd_recipient_restrictions = warn_if_reject reject_unauth_destination\n`,
    ['10.0.0.0/8'],
    [],
  ],
  ['relay_domains', `${CLOSED}relay_domains = a.example, .b.example\n`, ['10.0.0.0/8'], ['a.example', 'b.example']],
  [
    'tables of clients and recipients before the end',
    [
      'smtpd_relay_restrictions = check_client_access hash:/etc/postfix/clients,',
      '  check_recipient_access hash:/etc/postfix/recipients, check_sender_access hash:/etc/postfix/clients,',
      '  reject_unauth_destination, check_client_access hash:/etc/postfix/late',
      '',
    ].join('\n'),
    ['192.0.2.1', '198.51.100.0/24'],
    ['partner.example'],
  ],
  [
    'a restriction class',
    'mynetworks = 10.0.0.0/8\nsmtpd_restriction_classes = ours\nours = permit_mynetworks\nsmtpd_relay_restrictions = ours, reject\n',
    ['10.0.0.0/8'],
    [],
  ],
] as [string, string, string[], string[]][]) {
  test(`who may relay: ${what}`, async () => {
    const { config, openings } = await plan(main, {
      tables: {
        clients: '192.0.2.1 OK\n198.51.100 OK\n203.0.113.1 REJECT\n',
        recipients: 'partner.example OK\nuser@other.example OK\n',
        late: '192.0.2.99 OK\n',
      },
    });
    assert.deepEqual(config.relay.allow, { hosts, domains, certificates: [] });
    assert.deepEqual(openings, []);
  });
}

for (const [what, main, found] of [
  [
    'a network of all',
    `smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nmynetworks = 10.0.0.0/8 0.0.0.0/0\n`,
    /mynetworks has 0\.0\.0\.0\/0/,
  ],
  ['two halves of the net', `mynetworks = 0.0.0.0/1 128.0.0.0/1\n`, /0\.0\.0\.0\/1/],
  ['IPv6', 'mynetworks = [::]/0\n', /::\/0/],
  ['permit', 'smtpd_relay_restrictions = permit\n', /keeps strangers from relaying/],
  [
    'no end in either list',
    'smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = reject_rbl_client a.example.org\n',
    /keeps strangers/,
  ],
  ['permit before the end', 'smtpd_relay_restrictions = permit, reject_unauth_destination\n', /keeps strangers/],
  ['every domain', `${CLOSED}relay_domains = static:all\n`, /relay_domains has static:all/],
] as [string, string, RegExp][]) {
  test(`an open relay is taken over only when that is accepted: ${what}`, async () => {
    const closed = await plan(main);
    assert.match(closed.openings.join(), found);
    const strangers = [...closed.config.relay.allow.hosts, ...closed.config.relay.allow.domains];
    assert.ok(
      strangers.every((entry) => entry !== '*' && !/\/[01]$/.test(entry)),
      strangers.join(),
    );
    assert.ok(closed.account.some(({ verdict, text }) => verdict === 'problem' && /not taken/.test(text)));
    const open = await plan(main, { openRelay: true });
    const entries = [...open.config.relay.allow.hosts, ...open.config.relay.allow.domains];
    assert.ok(
      entries.some((entry) => entry === '*' || /\/[01]$/.test(entry)),
      entries.join(),
    );
  });
}

test('a refused host does not relay, whatever network it is in; a number that is a refusal permits nobody', async () => {
  const { config, lines } = await plan(
    [
      'mynetworks = 10.0.0.0/8 192.0.2.7',
      'smtpd_client_restrictions = check_client_access hash:/etc/postfix/clients',
      'smtpd_relay_restrictions = check_client_access hash:/etc/postfix/relays, permit_mynetworks, reject_unauth_destination',
    ].join('\n'),
    {
      tables: {
        clients: '192.0.2.7 REJECT\n10.1 450 later\n',
        relays: '198.51.100.1 550 no\n198.51.100.2 1\n198.51.100.3 my_class\n',
      },
    },
  );
  assert.deepEqual(config.relay.allow.hosts, ['10.0.0.0/8', '198.51.100.2']);
  assert.deepEqual(config.relay.deny.hosts, ['192.0.2.7', '10.1.0.0/16', '198.51.100.1']);
  assert.equal(lines('198.51.100.3')[0]?.verdict, 'none');
});

test('a server for the inside alone opens no domain to strangers', async () => {
  for (const list of ['smtpd_client_restrictions', 'smtpd_recipient_restrictions']) {
    const { config, lines } = await plan(
      [
        'mynetworks = 10.0.0.0/8',
        `${list} = permit_mynetworks, reject`,
        'relay_domains = a.example',
        'virtual_mailbox_domains = b.example',
        'virtual_transport = lmtp:inet:127.0.0.1:24',
        'virtual_alias_domains = c.example',
      ].join('\n'),
    );
    assert.deepEqual(config.relay.allow, { hosts: ['10.0.0.0/8'], domains: [], certificates: [] });
    assert.deepEqual(config.domains, []);
    assert.deepEqual([config.routes[0]?.to, config.routes[0]?.via], ['b.example', 'lmtp://127.0.0.1:24']);
    assert.equal(lines('relay_domains')[0]?.verdict, 'none');
  }
});

test('canonical maps and their classes; postsrsd is SRS here', async () => {
  const { config, lines } = await plan(
    [
      CLOSED,
      'sender_canonical_maps = tcp:localhost:10001, hash:/etc/postfix/t',
      'canonical_maps = hash:/etc/postfix/t',
      'canonical_classes = header_sender, envelope_sender',
      'myorigin = example.com',
    ].join('\n'),
    { tables: { t: 'root admin\n@old.example @new.example\nbroken\n' } },
  );
  const map = { root: 'admin@example.com', '@old.example': '@new.example' };
  assert.deepEqual(
    config.rewrite.canonical.map((entry) => [entry.map, entry.of]),
    [
      [map, ['envelope-sender', 'header-sender']],
      [map, ['header-sender', 'envelope-sender']],
    ],
  );
  assert.match(lines('sender_canonical_maps: tcp')[0]?.text ?? '', /rewrite\.srs/);
  assert.deepEqual(
    lines(/^broken/).map((l) => l.verdict),
    ['problem', 'problem'],
  );
});

test('aliases make a users file that is valid: those that lead in a circle, or stand there twice, are told', async () => {
  const { files, lines } = await plan(
    `${CLOSED}virtual_alias_domains = a.example\nvirtual_alias_maps = hash:/etc/postfix/v\n`,
    {
      tables: {
        v: [
          'one@a.example two@a.example',
          'two@a.example one@a.example',
          'team@a.example x@far.example, y@far.example',
          'TEAM@A.example z@far.example',
          'self@a.example self@a.example',
          'all@a.example team@a.example',
          'bad@a.example not an address at all <>',
          '',
        ].join('\n'),
      },
    },
  );
  const [file] = files;
  assert.equal(file?.path, 'users.yaml');
  const { aliases } = parseUsersFile(file?.text ?? '', 'users.yaml');
  assert.deepEqual(aliases.get('team@a.example'), ['x@far.example', 'y@far.example']);
  assert.deepEqual(aliases.get('all@a.example'), ['team@a.example']);
  assert.ok(!aliases.has('one@a.example') || !aliases.has('two@a.example'));
  assert.ok(lines(/^(?:one|bad)@/).every((l) => l.verdict === 'problem'));
  assert.equal(lines('TEAM@')[0]?.verdict, 'none');
});

test('opendkim.conf: one key for several domains, and what is no domain', async () => {
  const { config, advice, lines } = await plan(CLOSED, {
    opendkim: 'Domain a.example,b.example, /etc/opendkim/more\nSelector s1\nKeyFile /etc/opendkim/s1.private\n',
  });
  assert.deepEqual(
    config.domains.map((d) => [d.name, d['sign-as']]),
    [
      ['a.example', undefined],
      ['b.example', 'a.example'],
    ],
  );
  assert.match(advice.join(), /keys import pem a\.example s1 \/etc\/opendkim\/s1\.private/);
  assert.equal(lines('/etc/opendkim/more')[0]?.verdict, 'problem');
});

test('a name in mynetworks, which means nothing to Postfix, lets nobody relay', async () => {
  const { config, lines } = await plan('mynetworks = 10.0.0.0/8 mail.example.com hash:/etc/postfix/t\n', {
    tables: { t: '192.0.2.1 x\n192.168 x\nexample.net x\n' },
  });
  assert.deepEqual(config.relay.allow.hosts, ['10.0.0.0/8', '192.0.2.1']);
  assert.equal(lines('mynetworks:').filter((l) => l.verdict === 'problem').length, 3);
});

test('a relay domain without its subdomains is told to have them', async () => {
  const { lines } = await plan(`${CLOSED}relay_domains = a.example\nparent_domain_matches_subdomains =\n`);
  assert.equal(lines('parent_domain_matches_subdomains')[0]?.verdict, 'to-do');
});

test('ports that nobody can have twice, and hosts with two passwords', async () => {
  const { config, files, account } = await plan(
    [
      CLOSED,
      'smtp_sasl_auth_enable = yes',
      'smtp_sasl_password_maps = hash:/etc/postfix/sasl',
      'transport_maps = hash:/etc/postfix/transport',
      'inet_interfaces = 127.0.0.1 127.0.0.1 192.0.2.1',
    ].join('\n'),
    {
      master: 'smtp inet n - y - - smtpd\n25 inet n - y - - smtpd\n2525 inet n - y - - smtpd\n',
      tables: {
        sasl: '[a.example]:25 one:p1\n[a.example]:587 two:p2\n',
        transport: 'x.example smtp:[a.example]\ny.example smtp:[a.example]:587\n',
      },
    },
  );
  assert.deepEqual(
    config.listeners.map(({ name, port, address }) => [name, port, address]),
    [
      ['mx', 25, '127.0.0.1'],
      ['mx-2', 25, '192.0.2.1'],
      ['port-2525', 2525, '127.0.0.1'],
      ['port-2525-2', 2525, '192.0.2.1'],
    ],
  );
  assert.ok(account.some(({ text }) => text === 'the port has a listener already'));
  assert.deepEqual(
    files.map(({ path, text }) => [path, text]),
    [
      ['secrets/a.example', 'p1\n'],
      ['secrets/a.example-2', 'p2\n'],
    ],
  );
});

test('a stranger who writes a permitted sender does not relay', async () => {
  const { config, lines } = await plan(
    'smtpd_relay_restrictions = check_sender_access inline:{ {boss@example.com = OK} }, reject_unauth_destination\n',
  );
  assert.deepEqual(config.relay.allow, { hosts: [], domains: [], certificates: [] });
  const [line] = lines('smtpd_relay_restrictions: check_sender_access');
  assert.deepEqual([line?.verdict, /anybody can write any sender/.test(line?.text ?? '')], ['none', true]);
});

test('checks of clients and senders', async () => {
  const { config } = await plan(
    [
      CLOSED,
      'smtpd_helo_restrictions = reject_invalid_helo_hostname',
      'smtpd_sender_restrictions = reject_unknown_sender_domain',
      'smtpd_client_restrictions = check_client_access cidr:/etc/postfix/clients, permit_dnswl_client list.dnswl.org=127.0.[0..255].[1;3],',
      '  reject_rbl_client zen.spamhaus.org=127.0.0.[2..11;99] reject_rbl_client bl.example.org',
      'postscreen_dnsbl_sites = b.example.org*2 white.example.org*-4 zen.spamhaus.org=127.0.0.10*1',
    ].join('\n'),
    { tables: { clients: '192.0.2.0/24 permit\n203.0.113.7 REJECT spam\n' } },
  );
  const { checks } = config;
  assert.deepEqual(checks.helo.refuse, ['syntax', 'bare-address']);
  assert.equal(checks['sender-domain'].enabled, true);
  assert.deepEqual(checks.exempt, ['192.0.2.0/24']);
  assert.deepEqual(
    checks['dns-lists'].block.map(({ zone, answers }) => [zone, ...answers]),
    [
      ['zen.spamhaus.org', '127.0.0.2-11', '127.0.0.99'],
      ['bl.example.org', '127.0.0.2-255'],
      ['b.example.org', '127.0.0.2-255'],
      ['zen.spamhaus.org', '127.0.0.10'],
    ],
  );
  assert.deepEqual(
    checks['dns-lists'].allow.map(({ zone, answers }) => [zone, ...answers]),
    [
      ['list.dnswl.org', '127.0.0-255.1', '127.0.0-255.3'],
      ['white.example.org', '127.0.0.2-255'],
    ],
  );
});

for (const [relayhost, via] of [
  ['[smart.example]', 'smtp://smart.example'],
  ['smart.example:587', 'smtp://smart.example:587'],
  ['[192.0.2.1]:submission', 'smtp://192.0.2.1:587'],
  ['[2001:db8::1]:25', 'smtp://[2001:db8::1]:25'],
  ['[ipv6:2001:db8::1]', 'smtp://[2001:db8::1]'],
]) {
  test(`relayhost ${relayhost}`, async () => {
    const { config, lines } = await plan(`${CLOSED}relayhost = ${relayhost}\n`);
    assert.deepEqual(
      config.routes.map(({ to, via }) => [to, via]),
      [['*', via]],
    );
    assert.equal(/MX records/.test(lines('relayhost')[0]?.text ?? ''), !relayhost?.startsWith('['));
  });
}

test('TLS of next hops', async () => {
  const tls = async (text: string): Promise<string[]> =>
    (await plan(`${CLOSED}${text}`, { tables: { tls: 'bank.example secure\nold.example none\n' } })).config.routes.map(
      (r) => `${r.to} ${r.via} ${r.tls}`,
    );
  assert.deepEqual(await tls(''), ['* mx opportunistic']);
  assert.deepEqual(await tls('smtp_tls_security_level = encrypt\n'), ['* mx required']);
  assert.deepEqual(await tls('smtp_use_tls = yes\n'), ['* mx opportunistic']);
  assert.deepEqual(await tls('smtp_tls_security_level = none\nrelayhost = [a.example]'), ['* smtp://a.example off']);
  assert.deepEqual(await tls('smtp_tls_security_level = encrypt\nsmtp_tls_policy_maps = hash:/etc/postfix/tls\n'), [
    'bank.example mx verified',
    'old.example mx off',
    '* mx required',
  ]);
  // The next hop of all mail is the relayhost: a policy for a domain has no effect there either.
  assert.deepEqual(await tls('relayhost = [a.example]\nsmtp_tls_policy_maps = hash:/etc/postfix/tls\n'), [
    '* smtp://a.example opportunistic',
  ]);
});

test('a password goes into a file of its own, never into the account or the configuration', async () => {
  for (const [spec, tables] of [
    ['hash:/etc/postfix/sasl', { sasl: '[a.example]:587 user@x:se:cret\n' }],
    ['inline:{ {[a.example]:587 = user@x:se:cret} }', {}],
  ] as [string, Record<string, string>][]) {
    const made = await plan(
      `${CLOSED}relayhost = [a.example]:587\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = ${spec}\nldap_bind_pw = se:cret\n`,
      { tables },
    );
    const [route] = made.config.routes;
    assert.deepEqual([route?.via, route?.tls], ['smtp://user@x@a.example:587', 'required']);
    assert.deepEqual(made.files, [{ path: 'secrets/a.example', text: 'se:cret\n' }]);
    assert.ok(!`${JSON.stringify(made.account)}${made.draft.yaml('')}${made.advice.join('')}`.includes('se:cret'));
  }
});

test('limits in the units of Postfix', async () => {
  const { config, lines } = await plan(
    [
      CLOSED,
      'message_size_limit = 10240000',
      'maximal_queue_lifetime = 2',
      'minimal_backoff_time = 300s',
      'maximal_backoff_time = 4000',
      'delay_warning_time = 0h',
      'smtpd_recipient_limit = 50',
      'smtpd_timeout = $' + '{stress?{10}:{300}}s',
      'hopcount_limit = many',
      'smtpd_client_connection_count_limit = 0',
    ].join('\n'),
  );
  assert.equal(config.limits['message-size'], 10_240_000);
  assert.deepEqual(
    [config.queue.expire, config.queue.retry, config.queue['delay-notice']],
    [2 * 86_400_000, { first: 300_000, max: 4_000_000 }, 0],
  );
  assert.deepEqual([config.limits.recipients, config.limits.timeout, config.limits.hops], [100, 300_000, 50]);
  assert.equal(lines('hopcount_limit')[0]?.verdict, 'problem');
  assert.equal(lines('smtpd_client_connection_count_limit')[0]?.verdict, 'none');
});

test('without a certificate that can be used no port for users is opened, and the relay stays without TLS', async () => {
  const made = await plan(
    `${CLOSED}smtpd_tls_cert_file = /none\nsmtpd_tls_security_level = may\nsmtpd_sasl_auth_enable = yes\n`,
    {
      master: [
        'smtp inet n - y - - smtpd',
        'submission inet n - y - - smtpd -o smtpd_tls_security_level=encrypt',
        'smtps inet n - y - - smtpd -o smtpd_tls_wrappermode=yes',
      ].join('\n'),
    },
  );
  assert.deepEqual(
    made.config.listeners.map(({ name, tls, auth }) => [name, tls, auth]),
    [['mx', 'none', undefined]],
  );
  assert.deepEqual(
    made.account.filter((l) => /^master\.cf:\d/.test(l.place) && !l.setting.startsWith('-o')).map((l) => l.verdict),
    ['to-do', 'to-do', 'to-do'],
  );
  assert.equal(made.lines('smtpd_tls_cert_file')[0]?.verdict, 'problem');
});

test('tables that are not there, and kinds that are not read, are problems', async () => {
  const { lines, config } = await plan(
    `${CLOSED}transport_maps = hash:/none/transport, ldap:/etc/postfix/t.cf, regexp:/etc/postfix/r\nrelay_domains = mysql:/etc/x\n`,
  );
  assert.deepEqual(
    lines('transport_maps').map((l) => l.verdict),
    ['problem', 'problem', 'problem'],
  );
  assert.match(lines('relay_domains')[0]?.text ?? '', /database/);
  assert.deepEqual(config.relay.allow.domains, []);
});

test('10 MB of rubbish are read in a moment', async () => {
  const rubbish = `rubbish\x01\0\u{fffd}[31m${'x'.repeat(100)}\n`.repeat(80_000);
  const { config, account } = await plan(`${rubbish}mynetworks = ${'{'.repeat(1_000_000)}\n`);
  assert.deepEqual(config.relay.allow.hosts, []);
  assert.ok(account.length > 80_000);
});
