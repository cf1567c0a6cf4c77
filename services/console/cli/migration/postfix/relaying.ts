import { already, none, problem, taken, toDo } from '../plan.ts';
import { domainEntry, hostEntry, isEverybody, listEntries } from './networks.ts';
import { type Restriction, restrictions } from './restriction-list.ts';
import type { State } from './state.ts';

/**
 * Who may relay. In Postfix a recipient elsewhere passes when smtpd_relay_restrictions and smtpd_recipient_restrictions both
 * let it pass: a list does where one of its permits fits before reject_unauth_destination, or where it has no such end.
 * Here relaying is closed, and the section `relay` names who may: so each permit that both lists have becomes an entry.
 * Where they differ, less is taken over, never more.
 */

/** `networks`, `users`, `host:…`, `domain:…`; `all` is everybody. */
type Permits = ReadonlySet<string>;

/** What ends a list for a recipient elsewhere. */
export const ENDS = /^(?:reject_unauth_destination|defer_unauth_destination|reject|defer)$/;

export async function relaying(state: State): Promise<void> {
  const { relay, draft } = state;
  const lists = [
    restrictions(relay, relay.text('smtpd_relay_restrictions'), 'check_recipient_access'),
    restrictions(relay, relay.text('smtpd_recipient_restrictions'), 'check_recipient_access'),
  ];
  const [first, second] = (await Promise.all(lists.map((list) => permitsOf(list, state)))) as [Permits, Permits];
  const both = first.has('all') ? second : second.has('all') ? first : new Set([...first].filter((p) => second.has(p)));
  if (both.has('all')) openAll(state);
  await networks(state, both.has('networks') || both.has('all'));
  for (const permit of both) {
    if (permit.startsWith('host:')) allowHost(state, permit.slice('host:'.length), 'check_client_access');
    if (permit.startsWith('domain:')) draft.add('relay.allow.domains', permit.slice('domain:'.length));
  }
  // Where nobody can log in, it does not matter what users may do. A port of their own has lists of its own.
  const own = (state.master?.services ?? []).some(({ own: lists }) =>
    [...lists.values()].some((list) => list.includes('permit_sasl_authenticated')),
  );
  const usersRelay = both.has('users') || both.has('all') || own;
  if (!usersRelay && relay.yes('smtpd_sasl_auth_enable')) draft.set('relay.authenticated', 'checked');
  await relayDomains(state);
}

async function permitsOf(list: readonly Restriction[], state: State): Promise<Permits> {
  const permits = new Set<string>();
  for (const { name, argument, warned } of list) {
    if (warned) continue;
    if (ENDS.test(name)) return permits;
    if (name === 'permit') return permits.add('all');
    if (name === 'permit_mynetworks') permits.add('networks');
    if (name === 'permit_sasl_authenticated') permits.add('users');
    if (name === 'permit_inet_interfaces') for (const host of ['127.0.0.1', '::1']) permits.add(`host:${host}`);
    if (name === 'check_client_access')
      for (const host of await okKeys(argument, hostEntry, state)) permits.add(`host:${host}`);
    if (name === 'check_recipient_access') {
      for (const domain of await okKeys(argument, domainEntry, state)) permits.add(`domain:${domain}`);
    }
  }
  return permits.add('all');
}

/** Keys of a table whose action is OK, or a number, which means the same (access(5)). */
async function okKeys(spec: string, parse: (text: string) => string | undefined, { tables }: State): Promise<string[]> {
  const table = await tables.read(spec);
  if ('unread' in table) return [];
  return table.rows.flatMap(({ key, value }) => (/^(?:ok|\d+)\b/i.test(value) ? (parse(key) ?? []) : []));
}

function openAll({ relay, openings, choice, draft, say }: State): void {
  const name =
    relay.list('smtpd_relay_restrictions').length === 0 ? 'smtpd_recipient_restrictions' : 'smtpd_relay_restrictions';
  const text = 'nothing in smtpd_relay_restrictions and smtpd_recipient_restrictions keeps strangers from relaying';
  openings.push(text);
  if (choice.openRelay) draft.add('relay.allow.hosts', '*');
  say(
    name,
    choice.openRelay
      ? taken(`"*": ${text}`, 'relay.allow.hosts')
      : problem(`${text}: not taken, relaying stays closed`),
    'who may relay',
  );
}

/** `used`: permit_mynetworks has an effect. */
async function networks(state: State, used: boolean): Promise<void> {
  const { settings, tables, say } = state;
  if (!settings.has('mynetworks')) return defaultNetworks(state, used);
  if (!used) return say('mynetworks', none('no list permits these networks to relay (permit_mynetworks)'));
  const entries = await listEntries(settings.list('mynetworks'), tables, hostEntry);
  const allowed: string[] = [];
  for (const item of entries) {
    if ('unread' in item) say('mynetworks', problem(`${item.unread}: not taken`), item.text);
    else if (item.not) {
      state.draft.add('relay.deny.hosts', item.entry);
      say('mynetworks', taken(item.entry, 'relay.deny.hosts'), `!${item.text}`);
    } else if (allowHost(state, item.entry, 'mynetworks')) allowed.push(item.entry);
  }
  if (allowed.length > 0) say('mynetworks', taken(allowed.join(', '), 'relay.allow.hosts'));
  else if (entries.length === 0) say('mynetworks', already('empty: no network may relay'));
}

function defaultNetworks({ settings, draft, say }: State, used: boolean): void {
  if (!used) return;
  draft.add('relay.allow.hosts', '127.0.0.0/8', '::1');
  const style = settings.has('mynetworks_style') ? settings.text('mynetworks_style') : 'host';
  const old = !settings.has('mynetworks_style') && Number.parseFloat(settings.text('compatibility_level')) < 2;
  const name = settings.has('mynetworks_style') ? 'mynetworks_style' : 'mynetworks';
  const itself = taken('this machine itself', 'relay.allow.hosts');
  const text =
    'this machine itself is in relay.allow.hosts. Postfix lets the networks of its interfaces relay too: add those that shall';
  say(name, style === 'host' && !old ? itself : { ...toDo(text), options: ['relay.allow.hosts'] });
}

/** Whether the host is in the list now: everybody only where that was accepted. */
function allowHost({ choice, openings, draft, say }: State, host: string, name: string): boolean {
  if (isEverybody(host)) {
    openings.push(`${name} has ${host}, which is most of the net`);
    if (!choice.openRelay) {
      say(name, problem(`${host} would make an open relay: not taken`), host);
      return false;
    }
  }
  // An entry stands in one list only, and deny wins.
  if (!((draft.get('relay.deny.hosts') ?? []) as string[]).includes(host)) draft.add('relay.allow.hosts', host);
  return true;
}

/** Domains that anybody may send to. Who they are for is known to the next hop. */
async function relayDomains(state: State): Promise<void> {
  const { settings, tables, draft, say } = state;
  if (!settings.has('relay_domains')) return;
  const taken_: string[] = [];
  for (const item of await listEntries(settings.list('relay_domains'), tables, domainEntry)) {
    if ('unread' in item) relayDomainProblem(state, item.text, item.unread);
    else if (item.not) {
      draft.add('relay.deny.domains', item.entry);
      say('relay_domains', taken(item.entry, 'relay.deny.domains'), `!${item.text}`);
    } else taken_.push(item.entry);
  }
  draft.add('relay.allow.domains', ...taken_);
  if (taken_.length > 0) say('relay_domains', taken(taken_.join(', '), 'relay.allow.domains'));
  else if (settings.text('relay_domains') === '') say('relay_domains', already('no domain is open to everybody'));
}

function relayDomainProblem({ choice, openings, draft, say }: State, text: string, why: string): void {
  const every = /^(?:\*|static:.*)$/.test(text);
  if (every) openings.push(`relay_domains has ${text}, which is every domain`);
  if (every && choice.openRelay) {
    draft.add('relay.allow.domains', '*');
    say('relay_domains', taken('"*"', 'relay.allow.domains'), text);
  } else
    say('relay_domains', problem(every ? `${text} would make an open relay: not taken` : `${why}: not taken`), text);
}
