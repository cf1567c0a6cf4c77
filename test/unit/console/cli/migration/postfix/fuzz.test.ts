// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of Postfix, in which $ begins a name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openedBy } from '#cluster/config/rules/relay.ts';
import { type Given, plan } from '#test/kit/postfix/plan.ts';
import { seededRandom } from '#test/kit/random.ts';

/**
 * Whatever stands in main.cf, master.cf and their tables: the result is a valid configuration (`plan` asserts it), and it
 * opens the relay only where that was asked and accepted.
 */

const NETWORKS = [
  '10.0.0.0/8',
  '!10.1.0.0/16',
  '[::1]/128',
  '192.0.2.7',
  '0.0.0.0/0',
  '[2001:db8::]/32',
  'nonsense/9',
  'hash:/etc/postfix/t',
  '$mynetworks',
  'mail.example.com',
];
const RESTRICTIONS = [
  'permit_mynetworks',
  'permit_sasl_authenticated',
  'permit',
  'reject',
  'defer',
  'reject_unauth_destination',
  'warn_if_reject',
  'check_client_access hash:/etc/postfix/t',
  'check_recipient_access hash:/etc/postfix/t',
  'check_sender_access hash:/etc/postfix/t',
  'hash:/etc/postfix/t',
  'reject_rbl_client zen.example.org=127.0.0.[2..11]',
  'reject_rbl_client',
  'reject_rbl_client a..b',
  'ours',
  'reject_unknown_sender_domain',
  'reject_invalid_helo_hostname',
  'check_policy_service inet:127.0.0.1:10023',
  '{ reject_non_fqdn_sender, permit }',
];
const DOMAINS = [
  'example.com',
  '.example.net',
  'static:all',
  '*',
  'hash:/etc/postfix/t',
  '!bad.example',
  '$mydestination',
  'a b',
  '127.0.0.1',
  'bücher.example',
];
const HOPS = [
  '[smart.example]:587',
  'smart.example',
  '[192.0.2.1]',
  '[::1]:25',
  'x:y:z',
  '',
  '[smart.example',
  'smart.example:99999',
];
const WORDS = [
  'yes',
  'no',
  '0',
  '1',
  '50',
  '100000000',
  '1d',
  '3w',
  '-1',
  'may',
  'encrypt',
  'none',
  'secure',
  '+',
  '_',
  '+-',
  'all',
  'ipv4',
  'loopback-only',
  '127.0.0.1, ::1, 127.0.0.1',
  'é',
  '$myhostname ESMTP',
  '${a?{b}:{c}}',
  '{',
  '"',
];

const PARAMETERS: Record<string, readonly string[]> = {
  mynetworks: NETWORKS,
  ...Object.fromEntries(
    ['client', 'helo', 'sender', 'relay', 'recipient'].map((l) => [`smtpd_${l}_restrictions`, RESTRICTIONS]),
  ),
  ours: RESTRICTIONS,
  relay_domains: DOMAINS,
  mydestination: DOMAINS,
  virtual_mailbox_domains: DOMAINS,
  virtual_alias_domains: DOMAINS,
  relayhost: HOPS,
  virtual_transport: ['lmtp:inet:127.0.0.1:24', 'lmtp:unix:x', 'smtp:[a.example]', 'virtual', ''],
};
const PLAIN = [
  'myhostname',
  'myorigin',
  'inet_interfaces',
  'inet_protocols',
  'smtpd_banner',
  'smtpd_tls_security_level',
  'smtp_tls_security_level',
  'smtpd_sasl_auth_enable',
  'smtp_sasl_auth_enable',
  'smtp_sender_dependent_authentication',
  'smtp_tls_wrappermode',
  'smtpd_tls_wrappermode',
  'recipient_delimiter',
  'message_size_limit',
  'header_size_limit',
  'line_length_limit',
  'smtpd_recipient_limit',
  'smtpd_hard_error_limit',
  'hopcount_limit',
  'smtpd_timeout',
  'maximal_queue_lifetime',
  'minimal_backoff_time',
  'maximal_backoff_time',
  'delay_warning_time',
  'queue_minfree',
  'default_destination_concurrency_limit',
  'smtp_connect_timeout',
  'strict_rfc821_envelopes',
  'proxy_interfaces',
  'postscreen_dnsbl_sites',
  'compatibility_level',
  'mynetworks_style',
];
const TABLES = [
  'transport_maps',
  'sender_dependent_relayhost_maps',
  'sender_dependent_default_transport_maps',
  'virtual_alias_maps',
  'canonical_maps',
  'sender_canonical_maps',
  'smtp_tls_policy_maps',
  'smtp_sasl_password_maps',
  'smtpd_sender_login_maps',
];
const KEYS = [
  'example.com',
  '.example.com',
  'user@example.com',
  '@example.com',
  '*',
  '10.0.0.1',
  '192.0.2',
  '[smart.example]:587',
  'x y',
  '"q q"@example.com',
  'root',
  '0.0.0.0/0',
];
const ACTIONS = [
  'OK',
  'REJECT',
  '550 no',
  '1',
  'DUNNO',
  'smtp:[a.example]:25',
  'lmtp:inet:b.example',
  'discard:',
  'user:secret',
  'other@example.net',
  '@example.net',
  'secure',
  'none',
  'a, b',
  '',
  'x:y',
];
const SERVICES = [
  'smtp inet n - y - - smtpd',
  'smtp inet n - y - 1 postscreen',
  '192.0.2.1:smtp inet n - - - - smtpd',
  '587 inet n - - - - smtpd -o smtpd_sasl_auth_enable=yes',
  'smtps inet n - - - - smtpd -o { smtpd_relay_restrictions = permit_mynetworks, reject }',
  '2525 inet n - - - - smtpd -o smtpd_relay_restrictions=permit',
  '127.0.0.1:10025 inet n - - - - smtpd',
  'pickup unix n - y 60 1 pickup',
  'broken',
  'x inet n - - - - smtpd',
  '99999 inet n - - - - smtpd',
];

test('a hundred made-up configurations become valid ones, and none opens the relay unasked', async () => {
  const next = seededRandom(7);
  const below = (count: number): number => Math.floor(next() * count);
  const pick = (list: readonly string[]): string => list[below(list.length)] ?? '';
  for (let round = 0; round < 100; round++) {
    const lines = ['smtpd_restriction_classes = ours'];
    const some = (list: readonly string[], most: number): string[] =>
      Array.from({ length: below(most + 1) }, () => pick(list));
    for (const [name, values] of Object.entries(PARAMETERS)) {
      if (below(3) > 0) lines.push(`${name} = ${some(values, 4).join(pick([' ', ', ', ',\n  ']))}`);
    }
    for (const name of some(PLAIN, 12)) lines.push(`${name} = ${pick(WORDS)}`);
    for (const name of some(TABLES, 4))
      lines.push(
        `${name} = ${pick(['hash:/etc/postfix/t', 'inline:{ {a.example = smtp:b} }', 'static:x', 'regexp:/r'])}`,
      );
    const table = some(KEYS, 8)
      .map((key) => `${key}\t${pick(ACTIONS)}\n`)
      .join('');
    const given: Given = { tables: { t: table }, ...(below(2) > 0 && { master: some(SERVICES, 5).join('\n') }) };
    const text = lines.join('\n');
    try {
      const { config } = await plan(text, given);
      assert.equal(openedBy(config.relay), undefined, 'opened unasked');
    } catch (error) {
      throw new Error(`round ${round}:\n${text}\n--- t\n${table}\n--- master\n${given.master}`, { cause: error });
    }
  }
});
