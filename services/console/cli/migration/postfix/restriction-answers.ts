import { domainEntry, hostEntry } from '../entries.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { deny, ENDS } from './relaying.ts';
import { actionOf, RECIPIENT_LISTS, type Restriction, restrictions, restrictionText } from './restriction-list.ts';
import type { State } from './state.ts';

/** What becomes of each element of the lists of access restrictions (postconf(5)). Who may relay is `relaying.ts`. */

const LISTS = {
  ...RECIPIENT_LISTS,
  smtpd_data_restrictions: 'check_recipient_access',
  smtpd_end_of_data_restrictions: 'check_recipient_access',
  smtpd_etrn_restrictions: 'check_etrn_access',
} as const;

export async function restrictionAnswers(state: State): Promise<void> {
  const { settings, say } = state;
  for (const [list, access] of Object.entries(LISTS)) {
    if (!settings.has(list)) continue;
    const found = restrictions(settings, settings.text(list), access);
    if (found.length === 0) say(list, already('empty: nothing is checked here'));
    // Behind the end only mail to domains of ours is left.
    let relays = /_(?:relay|recipient)_/.test(list);
    for (const restriction of found) {
      const part = restrictionText(restriction);
      if (restriction.warned) say(list, none('only warned: there is no such trial here'), part);
      else await answer(restriction, { state, list, relays, part });
      if (ENDS.test(restriction.name)) relays = false;
    }
  }
  for (const name of settings.list('smtpd_restriction_classes')) {
    say('smtpd_restriction_classes', none('its restrictions are told where a list names it'), name);
    if (settings.has(name)) say(name, none('a restriction class: told where a list names it'));
  }
}

type Place = { state: State; list: string; relays: boolean; part: string };

async function answer(restriction: Restriction, place: Place): Promise<void> {
  const { state, list, relays, part } = place;
  const { name, argument } = restriction;
  if (name === 'check_client_access') return clientTable(argument, place);
  if (/^check_\w+_access$/.test(name)) return otherTable(restriction, place);
  if (name === 'permit_mynetworks' && !relays) {
    return state.say(list, already('no check looks at hosts of relay.allow.hosts'), part);
  }
  if ((name === 'reject' || name === 'defer') && !state.strangers) {
    return state.say(
      list,
      already('who is not permitted before may send nothing: no domain is open to strangers'),
      part,
    );
  }
  const simple = SIMPLE[name];
  if (simple !== undefined)
    return state.say(list, typeof simple === 'function' ? simple(argument, state) : simple, part);
  const rhs = /^(?:reject_rhsbl_|permit_rhswl_)/.test(name);
  state.say(
    list,
    rhs
      ? none('lists of domains are not asked here, only those of addresses')
      : problem('is not known to this import: not taken'),
    part,
  );
}

type Simple = Answer | ((argument: string, state: State) => Answer);

const HELO_SYNTAX: Simple = (_, { draft }) => {
  draft.add('checks.helo.refuse', 'syntax', 'bare-address');
  return taken('[syntax, bare-address]', 'checks.helo.refuse');
};
const HELO_FQDN: Simple = (_, { draft }) => {
  draft.add('checks.helo.refuse', 'not-fqdn');
  return taken('[not-fqdn]', 'checks.helo.refuse');
};
const CLOSED = already('everything that no option permits gets 554 5.7.1');
const OWN_SENDER = already('users may only send as one of their addresses');
const CLIENT_NAME = none(
  'the names of clients are not checked: many real servers have none, DNS lists are the better measure',
);
const BLOCK_LIST: Simple = (argument, { draft }) => dnsList(argument, 'block', draft);
const NO_CALLOUT = none('no other server is asked whether an address exists');
const CLIENT_CERTIFICATE = none('a client certificate gives no rights here');

const SIMPLE: Readonly<Record<string, Simple>> = {
  permit_mynetworks: already('see mynetworks'),
  permit_sasl_authenticated: already('users may relay where relay.authenticated is exempt, the default'),
  permit_inet_interfaces: taken('127.0.0.1, ::1', 'relay.allow.hosts'),
  permit_auth_destination: already('mail to local domains and those of relay.allow.domains is accepted'),
  permit_mx_backup: toDo(
    'name the domains in relay.allow.domains: whoever makes this server an MX would open it for a domain',
  ),
  permit_tls_clientcerts: CLIENT_CERTIFICATE,
  permit_tls_all_clientcerts: CLIENT_CERTIFICATE,
  permit: already('what passes all checks is accepted'),
  reject: CLOSED,
  defer: CLOSED,
  reject_unauth_destination: CLOSED,
  defer_unauth_destination: CLOSED,
  defer_if_permit: none('no reply is made temporary'),
  defer_if_reject: none('no reply is made temporary'),
  reject_unauth_pipelining: already(
    'a client that talks before the greeting gets 421; PIPELINING is offered to all others',
  ),
  reject_multi_recipient_bounce: none('a notice to several recipients is accepted'),
  reject_plaintext_session: toDo('set tls: starttls-required on the listener: then nothing goes in clear text'),
  reject_non_fqdn_sender: already('a sender without a domain is a syntax error'),
  reject_non_fqdn_recipient: already('a recipient without a domain is a syntax error'),
  reject_unknown_sender_domain: (_, { draft }) => {
    draft.set('checks.sender-domain.enabled', true);
    return taken('true', 'checks.sender-domain.enabled');
  },
  reject_unknown_recipient_domain: none(
    'the domain of a recipient is looked up when mail is delivered, and the sender told',
  ),
  reject_unknown_address: none('use reject_unknown_sender_domain: it has an option'),
  reject_unlisted_recipient: already('a recipient of a local domain must be in the directory, where there is one'),
  reject_unlisted_sender: none('a sender of a local domain is checked of authenticated users only'),
  reject_unverified_recipient: NO_CALLOUT,
  reject_unverified_sender: NO_CALLOUT,
  reject_invalid_helo_hostname: HELO_SYNTAX,
  reject_invalid_hostname: HELO_SYNTAX,
  reject_non_fqdn_helo_hostname: HELO_FQDN,
  reject_non_fqdn_hostname: HELO_FQDN,
  reject_unknown_helo_hostname: none(
    'a name in EHLO that does not lead to the client is no reason to refuse (RFC 5321 §4.1.4)',
  ),
  reject_unknown_hostname: none(
    'a name in EHLO that does not lead to the client is no reason to refuse (RFC 5321 §4.1.4)',
  ),
  reject_unknown_client_hostname: CLIENT_NAME,
  reject_unknown_client: CLIENT_NAME,
  reject_unknown_reverse_client_hostname: CLIENT_NAME,
  reject_unknown_forward_client_hostname: CLIENT_NAME,
  reject_rbl_client: BLOCK_LIST,
  reject_rbl: BLOCK_LIST,
  permit_dnswl_client: (argument, { draft }) => dnsList(argument, 'allow', draft),
  reject_sender_login_mismatch: OWN_SENDER,
  reject_authenticated_sender_login_mismatch: OWN_SENDER,
  reject_known_sender_login_mismatch: OWN_SENDER,
  reject_unauthenticated_sender_login_mismatch: none(
    'a sender of a local domain is checked of authenticated users only',
  ),
  check_policy_service: policyService,
  sleep: none('a client that talks before the greeting gets 421, but nobody waits for it'),
};

/** `zen.spamhaus.org`, `list.dnswl.org=127.0.[0..255].[1..3]`: an answer of the list, its numbers and ranges in brackets. */
export function dnsList(argument: string, kind: 'block' | 'allow', draft: State['draft']): Answer {
  const [zone = '', filter = ''] = argument.replace(/\*-?\d+$/, '').split('=', 2);
  if (!zone.includes('.') || domainEntry(zone) === undefined)
    return problem(`"${zone}" is not the zone of a DNS list: not taken`);
  const answers = filter === '' ? [] : answersOf(filter);
  if (answers === undefined) return problem(`the filter ${filter} is not an answer of a DNS list: not taken`);
  draft.add(`checks.dns-lists.${kind}`, { zone, ...(answers.length > 0 && { answers }) });
  return taken(`${zone}${answers.length > 0 ? ` (${answers.join(', ')})` : ''}`, `checks.dns-lists.${kind}`);
}

/** `127.0.0.[2..11;13]` as `127.0.0.2-11` and `127.0.0.13`. */
function answersOf(filter: string): string[] | undefined {
  const octets = filter.match(/\[[^\]]*\]|[^.]+/g) ?? [];
  if (octets.length !== 4) return undefined;
  let answers = [''];
  for (const octet of octets) {
    const parts = octet
      .replace(/^\[|\]$/g, '')
      .split(';')
      .map((part) => part.replace('..', '-'));
    if (!parts.every((part) => /^\d{1,3}(?:-\d{1,3})?$/.test(part))) return undefined;
    answers = answers.flatMap((before) => parts.map((part) => (before === '' ? part : `${before}.${part}`)));
    if (answers.length > 100) return undefined;
  }
  return answers;
}

/** Postgrey and its like have an option; what another service decides is not known. */
function policyService(argument: string, { draft }: State): Answer {
  if (/grey|:10023\b|:60000\b/i.test(argument)) {
    draft.set('checks.greylist.enabled', true);
    return taken('greylisting, as this service seems to do', 'checks.greylist.enabled');
  }
  if (/spf/i.test(argument))
    return already('SPF of mail that comes in is checked; authenticity.spf: { hard-fail: reject } refuses what fails');
  return none('no service outside is asked: what it decides is not known to this import');
}

/** Hosts that may relay were taken by `relaying.ts`; in the other lists OK means that later checks leave a host alone. */
async function clientTable(spec: string, { state, list, relays, part }: Place): Promise<void> {
  const table = await state.tables.read(spec);
  if ('unread' in table) return state.say(list, problem(`${table.unread}: not taken`), part);
  state.say(list, table.rows.length === 0 ? already('the table is empty') : taken('row by row, below'), part);
  for (const { place, key, value } of table.rows)
    state.tell(place, `${key} ${value}`, clientRow(key, value, state, relays));
}

function clientRow(key: string, value: string, state: State, relays: boolean): Answer {
  const action = actionOf(value);
  const host = hostEntry(key);
  if (action === 'nothing') return already('the host passes as others do');
  if (action === 'other') return none('an action that has no counterpart: not taken');
  if (host === undefined) return problem(`"${key}" is not a host: not taken`);
  if (action === 'refuse') {
    deny(state, 'hosts', host);
    return taken(`${host} may not relay; a firewall keeps it out altogether`, 'relay.deny.hosts');
  }
  if (relays) return relayRow(state, 'relay.allow.hosts', host);
  state.draft.add('checks.exempt', host);
  return taken(host, 'checks.exempt');
}

/** `relaying.ts` took the entry, unless the other list does not let it relay. */
function relayRow({ draft }: State, option: string, entry: string): Answer {
  if (((draft.get(option) ?? []) as unknown[]).includes(entry)) return taken(entry, option);
  return none('smtpd_relay_restrictions and smtpd_recipient_restrictions must both permit it: not taken');
}

async function otherTable({ name, argument }: Restriction, { state, list, relays, part }: Place): Promise<void> {
  const table = await state.tables.read(argument);
  if ('unread' in table) return state.say(list, problem(`${table.unread}: not taken`), part);
  const about = name === 'check_recipient_access' && relays;
  state.say(list, about ? taken('row by row, below') : none(WHY_NOT[name] ?? 'such a table has no counterpart'), part);
  if (!about) return;
  for (const { place, key, value } of table.rows) state.tell(place, `${key} ${value}`, recipientRow(key, value, state));
}

function recipientRow(key: string, value: string, state: State): Answer {
  if (actionOf(value) !== 'permit') {
    return none('no list here refuses a recipient: take the address out of the directory, or use relay.deny.domains');
  }
  if (key.includes('@')) return none('lists here have whole domains: not taken');
  return relayRow(state, 'relay.allow.domains', domainEntry(key) ?? key);
}

const WHY_NOT: Readonly<Record<string, string>> = {
  check_sender_access:
    'no list here goes by sender: anybody can write any sender, so one that permits would open the relay',
  check_helo_access: 'no list here goes by the name in EHLO, which anybody can choose; checks.helo.refuse has own-name',
  check_recipient_access: 'no list here refuses a recipient: take the address out of the directory',
  check_sasl_access: 'no list here goes by user: remove the user instead',
};
