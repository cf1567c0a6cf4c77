import { domainEntry, hostEntry, isEverybody, networkEntry } from '../entries.ts';
import { already, none, problem, taken, toDo } from '../plan.ts';
import { listEntries } from './networks.ts';
import { actionOf, RECIPIENT_LISTS, type Restriction, restrictions } from './restriction-list.ts';
import type { State } from './state.ts';

/**
 * Who may relay. In Postfix a recipient elsewhere passes when every list of restrictions lets it pass: a list does where one
 * of its permits fits before reject_unauth_destination, or where it has no such end. Here relaying is closed, and the section
 * `relay` names who may: so each permit that all lists have becomes an entry, and a row that refuses a host one of
 * `relay.deny`. Where the two differ, less is taken over, never more.
 */

/** `networks`, `users`, `host:…`, `domain:…`; `all` is everybody. */
type Permits = ReadonlySet<string>;

/** What ends a list for a recipient elsewhere. */
export const ENDS = /^(?:reject_unauth_destination|defer_unauth_destination|reject|defer)$/;

export async function relaying(state: State): Promise<void> {
  const { relay, draft } = state;
  const lists = Object.entries(RECIPIENT_LISTS).map(([name, access]) => restrictions(relay, relay.text(name), access));
  const permits = common(await Promise.all(lists.map((list) => permitsOf(list, state))));
  const ends = lists.map((list) => list.find(({ name, warned }) => !warned && ENDS.test(name))?.name);
  state.strangers = !ends.some((end) => end === 'reject' || end === 'defer');
  if (permits.has('all')) openAll(state);
  await networks(state, permits.has('networks') || permits.has('all'));
  for (const permit of permits) {
    if (permit.startsWith('host:')) allowHost(state, permit.slice('host:'.length), 'smtpd_relay_restrictions');
    if (permit.startsWith('domain:')) draft.add('relay.allow.domains', permit.slice('domain:'.length));
  }
  // Where nobody can log in, it does not matter what users may do. A port of their own has lists of its own.
  const own = (state.master?.services ?? []).some(({ own: settings }) =>
    [...settings.values()].some((value) => value.includes('permit_sasl_authenticated')),
  );
  const usersRelay = permits.has('users') || permits.has('all') || own;
  if (!usersRelay && relay.yes('smtpd_sasl_auth_enable')) draft.set('relay.authenticated', 'checked');
  await relayDomains(state);
}

/** What all of them permit. */
function common(lists: readonly Permits[]): Permits {
  return lists.reduce((a, b) => {
    if (a.has('all')) return b;
    return b.has('all') ? a : a.intersection(b);
  });
}

/** Move an entry to a deny list: it stands in one list only, and deny wins. */
export function deny({ draft }: State, kind: 'hosts' | 'domains', entry: string): void {
  const allowed = (draft.get(`relay.allow.${kind}`) ?? []) as string[];
  if (allowed.includes(entry))
    draft.set(
      `relay.allow.${kind}`,
      allowed.filter((other) => other !== entry),
    );
  draft.add(`relay.deny.${kind}`, entry);
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

/** Keys of a table whose action permits. */
async function okKeys(spec: string, parse: (text: string) => string | undefined, { tables }: State): Promise<string[]> {
  const table = await tables.read(spec);
  if ('unread' in table) return [];
  return table.rows.flatMap(({ key, value }) => (actionOf(value) === 'permit' ? (parse(key) ?? []) : []));
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
  const entries = await listEntries(settings.list('mynetworks'), tables, networkEntry);
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
  const { settings, tables, draft, say, strangers } = state;
  if (!settings.has('relay_domains')) return;
  const name = 'relay_domains';
  const own = new Set(settings.list('mydestination').map((domain) => domain.toLowerCase()));
  const found: string[] = [];
  for (const item of await listEntries(settings.list(name), tables, domainEntry)) {
    if ('unread' in item) relayDomainProblem(state, item.text, item.unread);
    else if (item.not) {
      draft.add('relay.deny.domains', item.entry);
      say(name, taken(item.entry, 'relay.deny.domains'), `!${item.text}`);
    } else if (own.has(item.entry)) say(name, none('see mydestination'), item.text);
    else found.push(item.entry);
  }
  if (settings.text(name) === '') say(name, already('no domain is open to everybody'));
  if (found.length === 0) return;
  if (strangers) {
    draft.add('relay.allow.domains', ...found);
    say(name, taken(found.join(', '), 'relay.allow.domains'));
  } else say(name, none('a list refuses all who are not permitted before (reject), so no domain is open to strangers'));
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
