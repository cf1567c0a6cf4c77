import type { HarakaFolder } from '../../import/haraka/folder.ts';
import { type Answer, already, none, taken, toDo } from '../plan.ts';
import type { State } from './state.ts';

/** The list of plugins, and what Sealpost has in the place of each. */

export async function pluginNames(folder: HarakaFolder): Promise<string[]> {
  return (await folder.lines('plugins')).map(({ text }) => nameOf(text));
}

/** `haraka-plugin-dkim` and `dkim` are the same. */
const nameOf = (text: string): string => text.replace(/^haraka-plugin-/, '');

/** A line for each plugin, in their order. */
export async function plugins(state: State): Promise<void> {
  for (const { place, text } of await state.folder.lines('plugins')) state.tell(place, text, answerTo(nameOf(text)));
}

export function answerTo(name: string): Answer {
  const found = Object.hasOwn(PLUGINS, name) ? PLUGINS[name] : FAMILIES.find(([pattern]) => pattern.test(name))?.[1];
  return (
    found ??
    toDo('is not known to this import: nothing here runs plugins, so see what it does, and what does that here')
  );
}

const LOG = none('the log is JSON lines on standard output; journald, syslog or a collector takes it from there');
const PROCESS = none('about the process of Haraka; "sealpost status" and "sealpost top" show what ours do');
const NO_CONTENT = none('the content of mail is judged by filters: rspamd, clamd, milters');
const SCORES = none(
  'no scores are kept of clients; checks refuse, rates limit, and authentication.limits stop guesses',
);
const LDAP = toDo('directory.ldap asks an LDAP directory for recipients, groups and log-ins');
const ELSEWHERE = toDo(
  'no other server is asked for log-ins or recipients: directory.ldap, or users of the directory (sealpost users)',
);
const NO_QUEUE = none('there is no such next hop: SMTP, LMTP, a Maildir or discard');
const OLD = already('what it did is part of another plugin in newer versions');

const PLUGINS: Readonly<Record<string, Answer>> = {
  tls: taken('tls, and tls of the listeners', 'tls', 'listeners[].tls'),
  relay: taken('who may relay', 'relay.allow'),
  relay_acl: taken('who may relay', 'relay.allow'),
  relay_all: taken('an open relay, where that is accepted', 'relay.allow'),
  relay_force_routing: taken('routes', 'routes'),
  'rcpt_to.in_host_list': taken('domains that mail is accepted for', 'relay.allow.domains'),
  'rcpt_to.host_list_base': already('a part of rcpt_to.in_host_list'),
  'rcpt_to.routes': taken('domains and their next hops', 'relay.allow.domains', 'routes'),
  'recipient-routes': taken('domains and their next hops', 'relay.allow.domains', 'routes'),
  'rcpt_to.ldap': LDAP,
  'rcpt-ldap': LDAP,
  'rcpt_to.qmail_deliverable': ELSEWHERE,
  'qmail-deliverable': ELSEWHERE,
  'rcpt_to.max_count': taken('limits.recipients', 'limits.recipients'),
  'rcpt_to.blocklist': toDo('name the addresses in a rule, or remove them from the directory'),
  'auth/flat_file': taken('users, with hashes in place of their passwords', 'directory.users'),
  'auth/auth_proxy': ELSEWHERE,
  'auth/auth_bridge': ELSEWHERE,
  'auth/auth_vpopmaild': ELSEWHERE,
  'auth/auth_imap': ELSEWHERE,
  'auth-imap': ELSEWHERE,
  'auth/auth_ldap': LDAP,
  'auth-ldap': LDAP,
  'auth-enc-file': toDo('its hashes are of another kind: set each password anew with "sealpost users add"'),
  ldap: LDAP,
  aliases: taken('maps of recipients and rules', 'rewrite.canonical', 'rules'),
  dkim: taken('signatures; those of others are verified anyway', 'domains'),
  dkim_sign: taken('signatures', 'domains'),
  dkim_verify: already('signatures of incoming mail are verified, with ARC and DMARC'),
  opendkim: toDo('"sealpost keys import opendkim" takes its keys; those of others are verified anyway'),
  mailauth: already('SPF, DKIM, ARC and DMARC of incoming mail are checked'),
  'data.dmarc': already('DMARC policies are enforced'),
  spf: already('SPF is checked; what it refuses stands in spf.ini'),
  'mail_from.is_resolvable': taken('sender domains are looked up', 'checks.sender-domain'),
  'dns-list': taken('the lists', 'checks.dns-lists'),
  dnsbl: taken('the lists', 'checks.dns-lists'),
  dnswl: taken('the lists', 'checks.dns-lists.allow'),
  greylist: taken('greylisting', 'checks.greylist'),
  'helo.checks': taken('names in EHLO', 'checks.helo'),
  fcrdns: none('no client is refused for its reverse DNS; reverse DNS names a client in rules of relaying alone'),
  access: toDo('its lists: relay.deny.hosts for clients, rules for senders and recipients'),
  early_talker: already('a client that talks before the greeting gets 421'),
  delay_deny: already('a client or sender is refused at MAIL or RCPT, and users who logged in are exempt'),
  rspamd: taken('asked about every message', 'filters'),
  clamd: taken('asked about every message', 'filters'),
  milter: toDo('filters, of type milter: name where it listens'),
  spamassassin: toDo('filters ask rspamd or a milter such as spamass-milter: { type: milter, url: unix:/… }'),
  avg: NO_CONTENT,
  dcc: NO_CONTENT,
  esets: NO_CONTENT,
  messagesniffer: NO_CONTENT,
  uribl: NO_CONTENT,
  attachment: NO_CONTENT,
  'data.signatures': NO_CONTENT,
  prevent_credential_leaks: NO_CONTENT,
  headers: none('of the header only From is checked, of users, and what could be read in two ways'),
  bounce: none('bounces are mail with the null reverse-path; rewrite.srs knows its own'),
  batv: none('bounces are not tagged; rewrite.srs is for mail that is forwarded'),
  srs: toDo('rewrite.srs: { domain: … } does what it does'),
  'batv-srs': toDo('rewrite.srs: { domain: … } does what it does for forwarded mail'),
  limit: toDo('limits and rates: limits.sessions-per-client, limits.errors, rates.users, rates.senders'),
  rate_limit: toDo('rates.users, rates.senders, rates.destinations'),
  tarpit: none('no client is slowed down but after a failed log-in (authentication.delay)'),
  toobusy: already('a process that is busy answers 421 or 451'),
  max_unrecognized_commands: taken('limits.errors', 'limits.errors'),
  karma: SCORES,
  'known-senders': SCORES,
  p0f: SCORES,
  asn: SCORES,
  geoip: SCORES,
  redis: none('nothing here needs Redis: nodes share their state over NATS'),
  syslog: LOG,
  log: LOG,
  'log-reader': none('"sealpost why" and "sealpost queue find" tell what became of a mail'),
  elasticsearch: LOG,
  'outbound-logger': none('receipts tell what became of each mail; the log has it too'),
  'accounting-files': none('receipts tell what became of each mail; the log has it too'),
  process_title: PROCESS,
  status: PROCESS,
  watch: none('"sealpost transcript" shows sessions while they happen'),
  profile: PROCESS,
  reseed_rng: PROCESS,
  daemonize: PROCESS,
  graph: none('metrics for Prometheus, with a dashboard for Grafana'),
  xclient: none('no client says who it is for another; proxies do, by the PROXY protocol (listeners[].proxy)'),
  record_envelope_addresses: none('no field tells recipients of each other; a journal rule keeps the envelope'),
  block_me: none('nobody writes a block list by mail'),
  vmta: toDo('routes[].source and routes[].ehlo, by recipient, user or sender'),
  note: OLD,
  loop_protect: already('limits.hops'),
  wildduck: toDo('a route to its LMTP server: lmtp://127.0.0.1:2424'),
  dovecot: toDo('a route to its LMTP server; users are in the directory, or in LDAP'),
  'queue/smtp_forward': taken('routes', 'routes'),
  'queue/smtp_proxy': taken('routes; mail is taken over first, and sent on by the queue', 'routes'),
  'queue/lmtp': taken('routes', 'routes'),
  'queue/deliver': taken('by MX', 'routes'),
  'queue/discard': toDo('a route with via: discard, for the domains whose mail is to vanish'),
  'queue/test': none('a route with via: capture keeps mail to look at'),
  'queue/quarantine': none('rules and filters hold mail in the queue (sealpost queue list --state hold)'),
  'queue/smtp_bridge': toDo('a route to the host that users logged in to'),
  'queue/qmail-queue': NO_QUEUE,
};

const FAMILIES: readonly (readonly [RegExp, Answer])[] = [
  [/^auth[/_-]/, ELSEWHERE],
  [/^queue\//, NO_QUEUE],
  [/^log[._-]/, LOG],
  [/^connect\.(?:asn|geoip|p0f|karma|toobusy)$/, SCORES],
  [/^(?:connect\.)?fcrdns$|^(?:lookup_)?rdns|^dns_rdns_match$/, none('no client is refused for its reverse DNS')],
  [
    /^(?:mail_from|rcpt_to|connect)\..*(?:access|blocklist|nobounces)/,
    toDo('relay.deny.hosts for clients, rules for senders and recipients'),
  ],
  [/^data\./, NO_CONTENT],
];
