import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openedBy } from '#cluster/config/rules/relay.ts';
import { errorText } from '#shared/errors.ts';
import { plan } from '#test/kit/haraka/plan.ts';
import { seededRandom } from '#test/kit/random.ts';

/**
 * Whatever stands in the files of a Haraka: the result is a valid configuration (`plan` asserts it), and it opens the relay
 * only where that was asked and accepted.
 */

const PLUGINS = [
  'relay',
  'relay_all',
  'tls',
  'auth/flat_file',
  'aliases',
  'rcpt_to.in_host_list',
  'rcpt_to.routes',
  'dkim',
  'dkim_sign',
  'dns-list',
  'greylist',
  'spf',
  'helo.checks',
  'rspamd',
  'clamd',
  'mail_from.is_resolvable',
  'queue/smtp_forward',
  'queue/lmtp',
  'queue/smtp_proxy',
  'nonsense',
  '../x',
];
const DOMAINS = [
  'example.com',
  'Branch.example',
  '*',
  'a..b',
  'x@example.com',
  '[::1]',
  '__proto__',
  'constructor',
  '',
  'bücher.example',
  '@example.com',
  'localhost',
];
const NETWORKS = ['10.0.0.0/8', '0.0.0.0/0', '::/0', '192.0.2.1', 'nonsense/9', '*', '2001:db8::/32'];
const VALUES = [
  '1',
  '0',
  '-1',
  '99999999999',
  'true',
  'x',
  '',
  'a=b',
  'none',
  '1m, 5m*2',
  '9d*9999',
  '10.0.0.5',
  '10.0.0.5:26',
  '[::1]:25',
  'mail.example.com',
  '"',
  '\u0000',
  '{ "action": "accept", "nexthop": "10.0.0.1:26" }',
  '{"action":1}',
  '/run/x.sock',
  '%s',
];
const KEYS = [
  'host',
  'port',
  'path',
  'auth_type',
  'auth_user',
  'auth_pass',
  'enable_outbound',
  'enable_tls',
  'check_recipient',
  'domain_selector',
  'listen',
  'listen_host',
  'smtps_port',
  'inactivity_timeout',
  'key',
  'cert',
  'no_starttls_ports[]',
  'force_tls_hosts[]',
  'no_tls_hosts[]',
  'acl',
  'all',
  'dest_domains',
  'temp_fail_intervals',
  'connect_timeout',
  'pool_concurrency_max',
  'zones[]',
  'zones',
  'reject',
  'type',
  'black',
  'grey',
  'white',
  'mfrom_fail',
  'bare_ip',
  'clamd_socket',
  'unix_socket',
  'enabled',
  'disabled',
  'domain',
  'selector',
  'bytes',
  'line_length',
  'max_received',
  'hosts[]',
  'greeting[]',
  'postel',
  'timeout',
];
const SECTIONS = [
  'main',
  'relay',
  'domains',
  'routes',
  'users',
  'core',
  'sign',
  'outbound',
  'max',
  'headers',
  'haproxy',
  'message',
  'period',
  'deny',
  'reject',
  'tls',
  'example.com',
  '*',
  'x@example.com',
  'zen.spamhaus.org',
  '__proto__',
];
const INIS = [
  'smtp.ini',
  'connection.ini',
  'tls.ini',
  'relay.ini',
  'relay_dest_domains.ini',
  'smtp_forward.ini',
  'lmtp.ini',
  'smtp_proxy.ini',
  'rcpt_to.routes.ini',
  'outbound.ini',
  'dkim.ini',
  'dkim_sign.ini',
  'dns-list.ini',
  'greylist.ini',
  'spf.ini',
  'helo.checks.ini',
  'rspamd.ini',
  'clamd.ini',
  'mail_from.is_resolvable.ini',
  'auth_flat_file.ini',
];

test('300 folders of rubbish', async () => {
  const random = seededRandom(20);
  const any = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const some = <T>(list: readonly T[], most: number): T[] =>
    Array.from({ length: Math.floor(random() * most) }, () => any(list));
  for (let i = 0; i < 300; i++) {
    const ini = (): string =>
      some(SECTIONS, 5)
        .map(
          (section) =>
            `[${section}]\n${some([...KEYS, ...DOMAINS], 8)
              .map((key) => `${key}=${any([...VALUES, ...DOMAINS])}`)
              .join('\n')}`,
        )
        .join('\n');
    const files: Record<string, string> = {
      // Without tls, whose certificate takes time to make.
      plugins: some(
        PLUGINS.filter((name) => name !== 'tls' || i % 50 === 0),
        14,
      ).join('\n'),
      ...Object.fromEntries(
        some(INIS, 14).map((name) => [
          name,
          `${some(KEYS, 4)
            .map((key) => `${key}=${any(VALUES)}`)
            .join('\n')}\n${ini()}`,
        ]),
      ),
      host_list: some(DOMAINS, 5).join('\n'),
      relay_acl_allow: some(NETWORKS, 4).join('\n'),
      me: any(DOMAINS),
      databytes: any(VALUES),
      haproxy_hosts: any(NETWORKS),
      aliases: JSON.stringify(
        Object.fromEntries(
          some(DOMAINS, 5).map((key) => [
            key,
            {
              action: any(['alias', 'drop', 'x']),
              to: any<unknown>([any(DOMAINS), ['a@b.example', 'c@d.example'], 'a@b.example', 7]),
            },
          ]),
        ),
      ),
      'dkim.private.key': 'k',
    };
    const closed = await plan(files).catch((cause: unknown) => {
      throw new Error(`${errorText(cause)}: ${JSON.stringify(files)}`, { cause });
    });
    assert.equal(openedBy(closed.config.relay), undefined, JSON.stringify(files));
    await plan(files, { openRelay: true });
  }
});
