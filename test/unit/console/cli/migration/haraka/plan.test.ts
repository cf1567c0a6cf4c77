import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { openedBy } from '#cluster/config/rules/relay.ts';
import { parsePasswordHash, verifyPassword } from '#cluster/config/users/password.ts';
import { plan } from '#test/kit/haraka/plan.ts';

/** What the files of Haraka become, one at a time, and what must never come of them. */

const LOCAL = {
  plugins: 'rcpt_to.in_host_list\nqueue/smtp_forward\n',
  host_list: 'example.com\n',
  'smtp_forward.ini': 'host=10.0.0.5\n',
};

test('domains of host_list go to the next hop of smtp_forward, all else by MX', async () => {
  const { config, lines } = await plan({ ...LOCAL, host_list: '# ours\nExample.COM\nnot a domain\n' });
  assert.deepEqual(config.relay.allow.domains, ['example.com']);
  assert.deepEqual(
    config.routes.map(({ to, via }) => `${to} ${via}`),
    ['example.com smtp://10.0.0.5:25', '* mx'],
  );
  assert.equal(lines('not a domain')[0]?.verdict, 'problem');
});

test('a file counts only where its plugin runs', async () => {
  const { config, lines } = await plan({
    plugins: '# relay\nqueue/smtp_forward\n',
    ...{ relay_acl_allow: '10.0.0.0/8\n', host_list: 'example.com\n', 'smtp_forward.ini': 'host=10.0.0.5\n' },
    'dkim.ini': '[sign]\nenabled=true\ndomain=example.com\nselector=s1\n',
    ...{ 'dkim.private.key': 'k', aliases: '{"a":{"action":"drop"}}', 'auth_flat_file.ini': '[users]\nalice=x\n' },
  });
  assert.deepEqual([config.relay.allow.domains, config.relay.allow.hosts, config.domains], [[], [], []]);
  assert.deepEqual([config.rules, config.directory.users], [[], undefined]);
  for (const setting of ['10.0.0.0/8', 'example.com', 'aliases', 'auth_flat_file.ini'])
    assert.match(lines(setting)[0]?.text ?? '', /is not among those that run/, setting);
});

test('sections of smtp_forward.ini are routes, with their log-ins, and domains where check_recipient is on', async () => {
  const { config, files, lines, account } = await plan({
    ...LOCAL,
    'smtp_forward.ini':
      'host=10.0.0.5\nport=2525\nenable_outbound=true\ncheck_recipient=true\n[shop.example]\nhost=10.0.0.6\nauth_type=plain\nauth_user=edge\nauth_pass=a=b c\n[bare.example]\n[away.example]\nenable_outbound=false\n[tls]\nrejectUnauthorized=true\n',
  });
  assert.deepEqual(
    config.routes.map(({ to, via, tls, password }) => [to, via, tls, password === undefined ? '' : 'password']),
    [
      ['shop.example', 'smtp://edge@10.0.0.6:25', 'required', 'password'],
      ['example.com', 'smtp://10.0.0.5:2525', 'opportunistic', ''],
      ['bare.example', 'smtp://10.0.0.5:2525', 'opportunistic', ''],
      ['away.example', 'smtp://10.0.0.5:2525', 'opportunistic', ''],
      ['*', 'smtp://10.0.0.5:2525', 'opportunistic', ''],
    ],
  );
  assert.deepEqual(config.relay.allow.domains, ['example.com', 'shop.example', 'bare.example', 'away.example']);
  assert.deepEqual(
    files.map(({ text }) => text),
    ['a=b c\n'],
  );
  assert.doesNotMatch(JSON.stringify(account), /a=b c/);
  assert.equal(lines('[bare.example]').length, 1);
});

test('by sender: an address and a domain', async () => {
  const { config } = await plan({
    ...LOCAL,
    'smtp_forward.ini':
      'host=10.0.0.5\ndomain_selector=mail_from\n[news@example.com]\nhost=10.0.0.7\n[shop.example]\nhost=10.0.0.8\n',
  });
  assert.deepEqual(
    config.routes.filter(({ from }) => from !== undefined).map(({ to, from, via }) => `${to} ${from} ${via}`),
    ['* news@example.com smtp://10.0.0.7:25', '* shop.example smtp://10.0.0.8:25'],
  );
});

test('LMTP, and a domain whose mail goes nowhere', async () => {
  const lmtp = {
    plugins: 'rcpt_to.in_host_list\nqueue/lmtp\nqueue/smtp_forward\n',
    host_list: 'a.example\nb.example\n',
  };
  const { config, lines } = await plan({
    ...lmtp,
    'lmtp.ini': '[b.example]\npath = /run/lmtp\n',
    'smtp_forward.ini': 'host=10.0.0.5\n',
  });
  assert.deepEqual(
    config.routes.map(({ to, via }) => `${to} ${via}`),
    ['a.example lmtp://127.0.0.1:24', 'b.example lmtp://127.0.0.1:24', '* mx'],
  );
  assert.match(lines('[b.example] path')[0]?.text ?? '', /LMTP over a socket file is not spoken here/);
  assert.match(lines('smtp_forward.ini')[0]?.text ?? '', /queue\/lmtp stands before/);
  const none = await plan({ plugins: 'rcpt_to.in_host_list\n', host_list: 'a.example\n' });
  assert.match(none.lines('a.example')[1]?.text ?? '', /no queue plugin says where its mail goes/);
});

test('who may relay; an open relay is taken over only where that was accepted', async () => {
  const files = {
    plugins: 'relay\n',
    relay_acl_allow: '10.0.0.0/8\n192.0.2.7\nnonsense\n0.0.0.0/0\n',
    'relay.ini': '[relay]\nall=true\n',
  };
  const closed = await plan(files);
  assert.deepEqual(closed.config.relay.allow.hosts, ['10.0.0.0/8', '192.0.2.7']);
  assert.deepEqual([openedBy(closed.config.relay), closed.openings.length], [undefined, 2]);
  assert.equal(closed.lines('nonsense')[0]?.verdict, 'problem');
  const open = await plan(files, { openRelay: true });
  assert.notEqual(openedBy(open.config.relay), undefined);
  const off = await plan({ plugins: 'relay\n', relay_acl_allow: '10.0.0.0/8\n', 'relay.ini': '[relay]\nacl=false\n' });
  assert.deepEqual(off.config.relay.allow.hosts, []);
});

test('destinations: domains that strangers may send to, and forced routes', async () => {
  const rows =
    '[domains]\na.example = { "action": "accept", "nexthop": "10.0.0.5:26" }\nb.example = { "action": "deny" }\nany = { "nexthop": "10.0.0.9" }\nc.example = nonsense\n';
  const { config, lines } = await plan({
    plugins: 'relay\n',
    'relay.ini': '[relay]\ndest_domains=true\n',
    'relay_dest_domains.ini': rows,
  });
  assert.deepEqual([config.relay.allow.domains, config.relay.deny.domains], [['a.example'], ['b.example']]);
  assert.deepEqual(
    config.routes.map(({ to, via }) => `${to} ${via}`),
    ['a.example smtp://10.0.0.5:26', '* smtp://10.0.0.9'],
  );
  assert.equal(lines('[domains] c.example')[0]?.verdict, 'problem');
});

test('users: hashes in place of passwords, which are printed nowhere', async () => {
  const { files, config, account, advice } = await plan({
    plugins: 'tls\nauth/flat_file\nrcpt_to.in_host_list\n',
    ...{ host_list: 'example.com\n', 'smtp.ini': 'listen=[::0]:25,0.0.0.0:587,[::0]:465\n' },
    'auth_flat_file.ini':
      '[core]\nmethods=PLAIN,CRAM-MD5\n[users]\nalice@example.com=pass word=1\nprinter=p4per\nempty=\n',
  });
  const { users } = parse(files[0]?.text ?? '') as { users: { name: string; password: string; addresses: string[] }[] };
  assert.deepEqual(
    users.map(({ name, addresses }) => [name, ...addresses]),
    [
      ['alice@example.com', 'alice@example.com', '@example.com'],
      ['printer', 'printer@example.com', '@example.com'],
    ],
  );
  const hash = parsePasswordHash(users[0]?.password ?? '');
  assert.ok(hash !== undefined && (await verifyPassword(hash, Buffer.from('pass word=1'))));
  assert.doesNotMatch(JSON.stringify([account, advice]), /pass word|p4per/);
  assert.deepEqual(
    config.listeners.map(({ kind, address, port, tls, auth }) => [kind, address, port, tls, auth]),
    [
      ['relay', '::', 25, 'starttls', undefined],
      ['submission', '0.0.0.0', 587, 'starttls', undefined],
      ['submission', '::', 465, 'implicit', undefined],
    ],
  );
});

test('one port for everything keeps its log-ins; without a certificate none is offered', async () => {
  const files = { 'auth_flat_file.ini': '[users]\nalice@example.com=x\n' };
  const secure = await plan({ ...files, plugins: 'tls\nauth/flat_file\n' });
  assert.deepEqual(
    secure.config.listeners.map(({ port, tls, auth }) => [port, tls, auth]),
    [[25, 'starttls', 'tls']],
  );
  const clear = await plan({
    ...files,
    plugins: 'auth/flat_file\n',
    'smtp.ini': 'listen_host=127.0.0.1\nport=2525\nlisten=x:y\n',
  });
  assert.deepEqual(
    clear.config.listeners.map(({ address, port, tls, auth }) => [address, port, tls, auth]),
    [['127.0.0.1', 2525, 'none', undefined]],
  );
  assert.deepEqual(
    clear.lines('listen=x:y').map((l) => l.verdict),
    ['problem'],
  );
});

test('aliases: maps within the domains, rules beyond them, and what vanishes', async () => {
  const { config, lines } = await plan({
    ...LOCAL,
    plugins: `aliases\n${LOCAL.plugins}`,
    aliases: JSON.stringify({
      'sales@example.com': { action: 'alias', to: 'alice@example.com' },
      ...{
        abuse: { action: 'alias', to: 'postmaster' },
        'press@example.com': { action: 'alias', to: ['a@press.example'] },
      },
      ...{ 'no@example.com': { action: 'drop' }, '@away.example': { action: 'alias', to: 'a@press.example' } },
      ...{ 'team@example.com': { action: 'alias', to: ['a@example.com', 'b@example.com'] }, x: { action: 'fly' } },
    }),
  });
  assert.deepEqual(config.rewrite.canonical, [
    {
      map: { 'sales@example.com': 'alice@example.com', 'abuse@example.com': 'postmaster@example.com' },
      of: ['envelope-recipient'],
    },
  ]);
  assert.deepEqual(
    config.rules.map(({ name, when, redirect }) => [name, ...(when.to ?? []), '→', redirect]),
    [
      ['alias-1', 'press@example.com', 'away.example', '→', 'a@press.example'],
      ['dropped', 'no@example.com', '→', 'dropped.invalid'],
    ],
  );
  assert.ok(config.routes.some(({ to, via }) => to === 'dropped.invalid' && via === 'discard'));
  assert.deepEqual([lines('"team')[0]?.verdict, lines('"x"')[0]?.verdict], ['to-do', 'problem']);
  const broken = await plan({ plugins: 'aliases\n', aliases: '{ "a": ' });
  assert.match(broken.lines('aliases').at(-1)?.text ?? '', /is not JSON/);
});

test('keys of DKIM: each domain with a folder, and the one for all others', async () => {
  const files = {
    plugins: 'dkim\nrcpt_to.in_host_list\n',
    host_list: 'example.com\nbranch.example\n',
    'dkim/example.com/selector': 's1\n',
    'dkim/example.com/private': 'k',
  };
  const sign = '[sign]\nenabled=true\nselector=mail\ndomain=corp.example\n';
  const { config, advice } = await plan({ ...files, 'dkim.ini': sign, 'dkim.private.key': 'k' });
  assert.deepEqual(
    config.domains.map((d) => [d.name, d['sign-as']]),
    [
      ['example.com', undefined],
      ['corp.example', undefined],
      ['branch.example', 'corp.example'],
    ],
  );
  assert.match(advice.join('\n'), /sealpost keys import haraka \//);
  const off = await plan(files);
  assert.deepEqual(off.config.domains, []);
  const old = await plan({ ...files, plugins: 'dkim_sign\n', 'dkim_sign.ini': 'disabled=false\n' });
  assert.deepEqual(
    old.config.domains.map(({ name }) => name),
    ['example.com'],
  );
});

test('limits, TLS of next hops, retries, checks and filters', async () => {
  const { config, lines } = await plan({
    plugins: 'tls\ndns-list\nspf\nhelo.checks\ngreylist\nrspamd\nclamd\nmail_from.is_resolvable\n',
    ...{ me: 'mx1.example.com\n', databytes: '1000\n', 'smtp.ini': 'inactivity_timeout=120\n' },
    'connection.ini':
      '[haproxy]\nhosts[]=192.0.2.4\n[headers]\nmax_received=5\n[max]\nline_length=1024\n[main]\npostel=true\n[message]\ngreeting[]=hello\n',
    'tls.ini':
      '[outbound]\nforce_tls_hosts[]=partner.example\nno_tls_hosts[]=old.example\nforce_tls_hosts[]=192.0.2.1\n',
    'outbound.ini': 'temp_fail_intervals=1m, 5m*2, 1h*3\nlocal_mx_ok=true\n',
    'dns-list.ini':
      '[main]\nzones[]=zen.spamhaus.org\nzones[]=list.dnswl.org\nzones[]=soft.example.org\n[soft.example.org]\nreject=false\n',
    ...{
      'spf.ini': '[deny]\nmfrom_fail=true\n',
      'helo.checks.ini': '[reject]\nbare_ip=true\n',
      'greylist.ini': '[period]\nblack=850\n',
    },
    ...{ 'rspamd.ini': 'host=10.0.0.8\n', 'clamd.ini': 'clamd_socket=/run/clamav/clamd.ctl\n' },
  });
  assert.equal(config.node.hostname, 'mx1.example.com');
  assert.deepEqual(
    [config.limits['message-size'], config.limits.hops, config.limits['command-length']],
    [65_536, 10, 1024],
  );
  assert.deepEqual(
    config.listeners.map((l) => [l.proxy.length, l.greeting, l['address-syntax']]),
    [[1, 'hello', 'lenient']],
  );
  assert.deepEqual(
    config.routes.map(({ to, tls }) => `${to} ${tls}`),
    ['partner.example verified', 'old.example off', '* opportunistic'],
  );
  assert.match(lines('[outbound] force_tls_hosts[]=192')[0]?.text ?? '', /set tls: verified of the routes/);
  assert.deepEqual(
    [config.queue.retry.first, config.queue.retry.max, config.queue.expire],
    [60_000, 3_600_000, 11_460_000],
  );
  assert.deepEqual(
    config.checks['dns-lists'].block.map(({ zone }) => zone),
    ['zen.spamhaus.org'],
  );
  assert.deepEqual(
    config.checks['dns-lists'].allow.map(({ zone }) => zone),
    ['list.dnswl.org'],
  );
  assert.deepEqual([config.authenticity.spf['hard-fail'], config.checks.helo.refuse], ['reject', ['bare-address']]);
  assert.deepEqual(
    config.filters.map(({ type, url }) => `${type} ${url}`),
    ['rspamd http://10.0.0.8:11333', 'clamd unix:/run/clamav/clamd.ctl'],
  );
  assert.ok(config.checks['sender-domain'].enabled && config.checks.greylist.enabled);
});

test('each plugin that comes with Haraka has its answer', async () => {
  const names =
    'access aliases asn attachment auth/auth_bridge auth/auth_proxy auth/auth_vpopmaild auth/flat_file block_me bounce clamd data.signatures dcc delay_deny dkim dns-list early_talker fcrdns geoip greylist headers helo.checks karma known-senders limit mail_from.is_resolvable messagesniffer p0f prevent_credential_leaks process_title profile qmail-deliverable queue/deliver queue/discard queue/lmtp queue/qmail-queue queue/quarantine queue/smtp_bridge queue/smtp_forward queue/smtp_proxy queue/test rcpt_to.in_host_list recipient-routes record_envelope_addresses redis relay reseed_rng rspamd spamassassin spf status syslog tarpit tls toobusy uribl watch xclient'.split(
      ' ',
    );
  const { account } = await plan({ plugins: names.join('\n') });
  const unknown = account.filter(({ place, text }) => place.startsWith('plugins:') && text.includes('not known'));
  assert.deepEqual(unknown, []);
  assert.equal(account.filter(({ place }) => place.startsWith('plugins:')).length, names.length);
});

test('secrets of other programs are not printed', async () => {
  const { account } = await plan({
    plugins: 'rspamd\n',
    'rspamd.ini': '[auth]\nvalue=Bearer s3cret\nbasic_pass=s3cret\n[request_headers]\nX-API-Key=s3cret\n',
  });
  assert.doesNotMatch(JSON.stringify(account), /s3cret/);
});

test('a plugin that nobody knows, and a file that no plugin reads, have their lines', async () => {
  const { lines } = await plan({
    plugins: 'company-footer\nharaka-plugin-geoip\n',
    'company-footer.ini': 'x=1\n',
    'lost.ini': 'x=1\n',
  });
  assert.match(lines('company-footer')[0]?.text ?? '', /not known to this import/);
  assert.match(lines('company-footer.ini')[0]?.text ?? '', /not known to this import/);
  assert.equal(lines('haraka-plugin-geoip')[0]?.verdict, 'none');
  assert.match(lines('lost.ini')[0]?.text ?? '', /no plugin that runs/);
});
