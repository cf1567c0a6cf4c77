import { hostEntry } from '../entries.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { namesIn } from './files/expansion.ts';
import type { MainCf, Parameter } from './files/main-cf.ts';
import { dnsList } from './restriction-answers.ts';
import type { State } from './state.ts';

/** Parameters that no other part of the import answers: what each is here, one by one, then by families. */

type Rest = Answer | ((value: string, state: State) => Answer);

const yesNo =
  (yes: Answer, no: Answer): Rest =>
  (value) =>
    value.toLowerCase() === 'yes'
      ? yes
      : value.toLowerCase() === 'no'
        ? no
        : problem(`"${value}" is neither yes nor no`);

const NO_MAILBOXES = none('there are no mailboxes of this machine here');
const OF_POSTFIX = none('about the programs and files of Postfix');
const NO_FILTER = none('mail is not passed through another server; filters asks rspamd, clamd and milters');
const NO_PATTERNS = none('the content of mail is not looked at here yet');
const LOG_IN_PLACE = none('users and their passwords are in the directory here (sealpost users)');
const TLS_DETAIN = none('versions and ciphers are those of Node’s OpenSSL: TLS 1.2 and later');
const OTHER_ROUTING = none('a route is chosen by the domain of the recipient alone');

const REST: Readonly<Record<string, Rest>> = {
  smtpd_banner: (value, state) => banner(value, state),
  smtpd_helo_required: yesNo(
    already('a client must say EHLO or HELO before MAIL'),
    none('a client must say EHLO or HELO before MAIL (RFC 5321 §4.1.4)'),
  ),
  disable_vrfy_command: yesNo(already('VRFY tells nothing: 252'), already('VRFY tells nothing: 252')),
  strict_rfc821_envelopes: (value, { draft }) => {
    if (value.toLowerCase() !== 'no') return already('MAIL and RCPT need < and > around the address');
    const list = (draft.get('listeners') ?? []) as { 'address-syntax'?: string }[];
    for (const listener of list) listener['address-syntax'] = 'lenient';
    return taken('lenient', 'listeners[].address-syntax');
  },
  smtpd_forbid_bare_newline: already('a message with a bare LF is refused'),
  smtpd_forbid_unauth_pipelining: none('PIPELINING is offered to everybody'),
  smtpd_delay_reject: already('what a client is refused for is said at MAIL or RCPT'),
  smtpd_sasl_auth_enable: yesNo(
    taken('AUTH on the listeners', 'listeners[].auth'),
    already('no log-in where no listener is for users'),
  ),
  smtpd_sasl_type: LOG_IN_PLACE,
  smtpd_sasl_path: LOG_IN_PLACE,
  smtpd_sasl_local_domain: none('a user name is taken as the client gives it'),
  smtpd_sasl_security_options: already('PLAIN and LOGIN, under TLS'),
  smtpd_sasl_tls_security_options: already('PLAIN and LOGIN, under TLS'),
  smtpd_sasl_authenticated_header: already('Received says that the client was authenticated, not as whom'),
  broken_sasl_auth_clients: none('AUTH is announced in the form of RFC 4954 alone'),
  smtpd_tls_security_level: listenerTls,
  smtpd_use_tls: listenerTls,
  smtpd_enforce_tls: listenerTls,
  smtpd_tls_wrappermode: listenerTls,
  smtpd_tls_auth_only: yesNo(
    already('passwords are taken under TLS only'),
    none('passwords are taken under TLS only, unless auth: always of a listener'),
  ),
  smtpd_tls_eccert_file: toDo('one certificate for each name: choose this one or the other as tls.certificate'),
  smtpd_tls_eckey_file: toDo('see smtpd_tls_eccert_file'),
  tls_server_sni_maps: toDo('certificates by name go to tls.names'),
  smtpd_tls_received_header: already('Received says how the message came'),
  smtp_sasl_security_options: already('PLAIN and LOGIN, under TLS, to a verified certificate'),
  smtp_sasl_tls_security_options: already('PLAIN and LOGIN, under TLS, to a verified certificate'),
  smtp_sasl_mechanism_filter: none('PLAIN, then LOGIN, as the next hop offers them'),
  smtp_tls_wrappermode: yesNo(taken('smtps:// of a route', 'routes[].via'), already('smtp:// of a route')),
  smtp_tls_CAfile: authorities,
  smtp_tls_CApath: authorities,
  smtp_dns_support_level: (value) =>
    value === 'dnssec'
      ? toDo('set dns.dnssec: true, and name a resolver that validates in dns.servers')
      : already('DNS is asked'),
  smtp_host_lookup: already('DNS'),
  smtp_bind_address: none('the system chooses the address that mail is sent from'),
  smtp_bind_address6: none('the system chooses the address that mail is sent from'),
  smtp_helo_name: none('EHLO gives node.hostname'),
  smtp_address_preference: none('IPv4 and IPv6 are tried as DNS lists them'),
  proxy_interfaces: (_, { draft, settings }) => {
    const found = settings.list('proxy_interfaces').map((text) => hostEntry(text) ?? '');
    if (found.includes('')) return problem('has what is not an address or a name: not taken');
    if (found.length === 0) return already('no other address is ours');
    draft.add('checks.helo.own', ...found);
    return taken(found.join(', '), 'checks.helo.own');
  },
  smtpd_upstream_proxy_protocol: toDo(
    'name the addresses of the proxy as listeners[].proxy: from others the PROXY protocol is not taken',
  ),
  postscreen_upstream_proxy_protocol: toDo(
    'name the addresses of the proxy as listeners[].proxy: from others the PROXY protocol is not taken',
  ),
  postscreen_dnsbl_sites: postscreenLists,
  mynetworks_style: already('see mynetworks'),
  parent_domain_matches_subdomains: (value, { settings }) =>
    value.includes('relay_domains') || !settings.has('relay_domains')
      ? already('domains in lists have everything below them')
      : toDo('a domain of relay.allow.domains has everything below it: name what must not in relay.deny.domains'),
  recipient_delimiter: (value, { draft }) => {
    const [delimiter = ''] = value;
    if (delimiter === '+') return already('+ begins a tag of an address');
    if (!['', '-', '=', '_', '#'].includes(delimiter))
      return problem(`${delimiter} cannot begin a tag of an address here: not taken`);
    draft.set('rewrite.delimiter', delimiter);
    return taken(delimiter === '' ? 'none: there are no tags' : delimiter, 'rewrite.delimiter');
  },
  append_dot_mydomain: none('an address without a domain is not completed, it is refused'),
  append_at_myorigin: none('an address without a domain is not completed, it is refused'),
  smtputf8_enable: yesNo(already('SMTPUTF8 is offered'), none('SMTPUTF8 is offered always')),
  relay_recipient_maps: none(
    'the next hop knows the recipients of its domains and refuses others; domains with local: true have the directory',
  ),
  local_recipient_maps: none('the recipients of local domains are in the directory here (sealpost users)'),
  virtual_mailbox_maps: none('the server that mail goes to knows its mailboxes'),
  alias_maps: NO_MAILBOXES,
  alias_database: NO_MAILBOXES,
  relocated_maps: none('a recipient who is gone gets 550, without a new address'),
  smtp_generic_maps: toDo('rewrite.canonical does it for the mail that originates here, on all its ways'),
  masquerade_domains: toDo('rewrite.canonical: { "@host.example.com": "@example.com" } for each host'),
  masquerade_exceptions: none('see masquerade_domains'),
  masquerade_classes: none('see masquerade_domains'),
  remote_header_rewrite_domain: none('addresses in the header of strangers stay as they are'),
  always_bcc: none('no copies are made; a recipient’s copy is an alias with two targets'),
  content_filter: NO_FILTER,
  receive_override_options: NO_FILTER,
  smtpd_proxy_filter: NO_FILTER,
  header_checks: NO_PATTERNS,
  mime_header_checks: NO_PATTERNS,
  nested_header_checks: NO_PATTERNS,
  body_checks: NO_PATTERNS,
  smtp_header_checks: NO_PATTERNS,
  mailbox_command: NO_MAILBOXES,
  relay_transport: OTHER_ROUTING,
  default_transport: OTHER_ROUTING,
  smtp_fallback_relay: none(
    'what cannot be delivered is tried again, at the same hosts; a list of hosts in via goes on to the next one',
  ),
  bounce_queue_lifetime: none('a notice is tried as long as other mail (queue.expire)'),
  bounce_size_limit: none('a notice quotes the header of the message, or as much as the sender asked for'),
  notify_classes: none(
    '"sealpost doctor" and the log tell operators. Notices of failure: dsn.copies for class bounce, dsn.null-reverse-path for 2bounce, both with dsn.postmaster',
  ),
  bounce_template_file: none(
    'the texts of notices are fixed, in the language that dsn.language and dsn.languages name',
  ),
  soft_bounce: yesNo(none('a permanent error is permanent here'), already('a permanent error is permanent')),
  smtpd_soft_error_limit: none('errors end a session (limits.errors), they do not slow it'),
  smtpd_junk_command_limit: none('RSET, NOOP and VRFY are not counted'),
  smtpd_error_sleep_time: none('errors end a session (limits.errors), they do not slow it'),
  default_process_limit: none('sessions are counted, not processes: limits.sessions'),
  smtpd_client_connection_rate_limit: none(
    'concurrent connections of a client are limited (limits.sessions-per-client), not how often it comes',
  ),
  smtpd_client_message_rate_limit: none('rates.senders and rates.users limit messages, by sender and user'),
  smtpd_client_recipient_rate_limit: none('rates.senders and rates.users limit recipients, by sender and user'),
  smtpd_client_auth_rate_limit: already('failed log-ins are limited (authentication.limits)'),
  smtpd_client_event_limit_exceptions: none('the limits hold for everybody'),
  default_destination_rate_delay: none('rates.destinations limits messages in a time, for all nodes together'),
  smtp_destination_rate_delay: none('rates.destinations limits messages in a time, for all nodes together'),
  queue_run_delay: none('each message has its own time for the next attempt'),
  compatibility_level: already('read for the defaults that it changes'),
  mail_name: none('no reply and no Received field tells a product'),
  smtpd_discard_ehlo_keywords: none('EHLO offers what the listener can do'),
  smtpd_discard_ehlo_keyword_address_maps: none('EHLO offers what the listener can do'),
  smtpd_authorized_xclient_hosts: none('the PROXY protocol (listeners[].proxy) takes the place of XCLIENT'),
  smtpd_authorized_xforward_hosts: none('there is no XFORWARD'),
  smtpd_reject_footer: none('replies say why by themselves'),
  smtpd_log_access_permit_actions: already('the log has each session and each refusal'),
  enable_long_queue_ids: already('queue ids are never used twice'),
  maillog_file: none('the log goes to standard output, as JSON lines'),
  biff: NO_MAILBOXES,
  readme_directory: OF_POSTFIX,
  html_directory: OF_POSTFIX,
};

/** By the beginning of the name; the first that fits. */
const FAMILIES: readonly [RegExp, Answer][] = [
  [
    /^postscreen_/,
    none(
      'there is no postscreen: checks.dns-lists and checks.greylist do what it does with DNS lists and unknown clients',
    ),
  ],
  [/_tls_loglevel$/, none('the receipts and the log have the TLS facts of each session')],
  [/_tls_session_/, none('how TLS sessions are resumed is left to Node’s OpenSSL')],
  [/^smtpd_tls_(?:CA|ask_ccert|req_ccert|ccert)/, none('no certificates are asked of clients')],
  [/^(?:tlsproxy|tls|smtpd_tls|smtp_tls|lmtp_tls)_/, TLS_DETAIN],
  [/^(?:address_verify|verify|unverified)_/, none('no other server is asked whether an address exists')],
  [
    /^milter_/,
    none('a milter is told what it may ask for: a client, an envelope, a message; filters[].timeout is its time'),
  ],
  [/^(?:smtpd_policy_service|reject_tempfail)/, none('no service outside is asked')],
  [/^lmtp_/, none('LMTP has the options of a route and of the section delivery')],
  [
    /^(?:virtual|local|mailbox|home_mailbox|mail_spool|forward|luser|allow_mail_to|command_(?:exec|expan|time)|deliver_lock|prepend_delivered|require_home|export_|execution_|frozen_|expand_owner|propagate_|owner_request|reset_owner|default_privs|strict_mailbox|swap_bangpath|stale_lock)/,
    NO_MAILBOXES,
  ],
  [/^(?:sender|recipient)_bcc_maps$/, none('no copies are made; a recipient’s copy is an alias with two targets')],
  [
    /(?:_service_name|_directory|_path|_database_type|_program|_status|_time_limit|_group|_owner|_watchdog_timeout)$/,
    OF_POSTFIX,
  ],
  [
    /^(?:anvil|best_mx|connection_cache|dnsblog|dnssec|ipc|qmgr|qmqpd|trigger|fork|process|daemon|in_flow|max_idle|max_use|hash_queue|berkeley|lmdb|proxy_|postmulti|multi_instance|postlog|maillog|syslog|debug|debugger|import|authorized|alternate_config|flush|fast_flush|cleanup|pipe|pickup|showq|opts_|service_|send_cyrus|setgid|shlib|sun_|xauth|double_bounce|enable_|error_|dont_remove|fault_|helpful|info_log|internal_mail|known_tcp|mail_|manpage|master_service|meta_|newaliases|openssl|readme|sample_|tcp_windowsize|undisclosed|application_event|backwards|confirm_delay|duplicate_filter|rbl_reply|respectful|sendmail|dns_ncache|header_from|header_size|initial_dest|minimal_b|stress$|remote_header|ignore_mx|empty_address|nullmx|delay_logging|defer_transports|queue_|relay_|retry_|resolve_|rewrite_|show_user|transport_|trace_)/,
    OF_POSTFIX,
  ],
  [/_(?:reject_code|code|reply|footer)$/, none('the replies are those of the documentation')],
  [/^smtp_/, none('how next hops are spoken to is set by routes and the section delivery: this has no option')],
  [/^smtpd_/, none('how sessions go is set by listeners, limits, checks and relay: this has no option')],
  [
    /^(?:default|destination|bounce|delay|defer|mime|message|body|masquerade|canonical|verp|strict|unknown|access_map|allow_|append_|address_|always_|disable_|empty_|fallback|inet_|permit_|nested|line_|mail|maps_rbl|multi_recipient|non_fqdn|invalid_|plaintext|reject_code|smtputf8|lmtp|broken|check_|content|convert|detect|header|2bounce|notify|parent)/,
    none('this has no option'),
  ],
];

/** Every parameter that has no answer yet. `file` has the names that others use. */
export function rest(state: State, main: MainCf, answered: ReadonlySet<string>): void {
  const referred = new Set([...main.parameters.values()].flatMap(({ value }) => namesIn(value)));
  for (const parameter of main.parameters.values()) {
    if (!answered.has(parameter.name)) state.say(parameter.name, restAnswer(state, parameter, referred));
  }
}

function restAnswer(state: State, { name }: Parameter, referred: ReadonlySet<string>): Answer {
  const found = Object.hasOwn(REST, name) ? REST[name] : undefined;
  if (found !== undefined) return typeof found === 'function' ? found(state.settings.text(name), state) : found;
  const family = FAMILIES.find(([pattern]) => pattern.test(name))?.[1];
  if (family !== undefined) return family;
  if (referred.has(name)) return already('a name of your own, read where others name it');
  return problem('is not known to this import: not taken');
}

/** What stands behind the name of the host and ESMTP, unless it names Postfix. */
function banner(value: string, { draft, settings }: State): Answer {
  const host = settings.text('myhostname');
  const text = value
    .replace(host, '')
    .replace(/^\s*ESMTP\b/i, '')
    .trim();
  if (text === '') return already('the name of the host and ESMTP');
  if (/postfix/i.test(text)) return none('the name of the host and ESMTP; no greeting tells a product');
  if (!/^[\x20-\x7e]{1,400}$/.test(text)) return problem('has more than printable ASCII: not taken');
  const list = (draft.get('listeners') ?? []) as { greeting?: string }[];
  for (const listener of list) listener.greeting = text;
  return taken(`"${text}"`, 'listeners[].greeting');
}

function listenerTls(value: string, { draft }: State): Answer {
  const off = /^(?:none|no|)$/i.test(value);
  if (off || draft.get('tls') !== undefined) return taken('tls of the listeners', 'listeners[].tls');
  return toDo('needs a certificate: tls, and then tls of the listeners');
}

function authorities(value: string): Answer {
  if (/^\/etc\/(?:ssl|pki)\/|ca-(?:certificates|bundle)|^$/.test(value)) return already('the public authorities');
  return toDo('set ca of the routes to a file of authorities of your own');
}

/** `zen.spamhaus.org*3`, `list.dnswl.org=127.0.[0..255].[1..3]*-2`: a list with a weight, below 0 one that permits. */
function postscreenLists(_: string, { settings, draft }: State): Answer {
  const wrong: string[] = [];
  const found = settings.list('postscreen_dnsbl_sites');
  for (const site of found) {
    const kind = /\*-\d+$/.test(site) ? 'allow' : 'block';
    if (dnsList(site, kind, draft).verdict === 'problem') wrong.push(site);
  }
  if (wrong.length > 0) return problem(`not taken: ${wrong.join(', ')}`);
  return taken(`${found.length} lists; each counts by itself, without weights`, 'checks.dns-lists');
}
