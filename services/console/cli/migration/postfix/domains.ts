import { stringify } from 'yaml';
import { expandAlias } from '#cluster/config/users/aliases.ts';
import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { isMailbox } from '#shared/directory/values.ts';
import { domainEntry } from '../entries.ts';
import { viaOf } from '../next-hop.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import type { TableRow } from './files/lookup-table.ts';
import { originOf } from './files/main-cf.ts';
import { listEntries } from './networks.ts';
import type { State } from './state.ts';
import { parseTransport } from './transport.ts';

/**
 * Domains that mail is accepted for, and their recipients. Postfix has mailboxes; Sealpost gives all mail to a next hop:
 * so a domain whose mail goes on to a server (LMTP) becomes one of `relay.allow.domains` with a route, and
 * virtual_alias_domains, which have aliases alone, become local domains.
 */
export async function domains(state: State): Promise<void> {
  names(state);
  await mailboxes(state, 'mydestination', ['mailbox_transport', 'local_transport']);
  await mailboxes(state, 'virtual_mailbox_domains', ['virtual_transport']);
  await aliases(state);
  await logins(state);
}

function names({ settings, draft, say }: State): void {
  const host = settings.text('myhostname');
  const valid = domainEntry(host);
  if (!settings.has('myhostname')) {
    say('myhostname', toDo('set node.hostname to the name that DNS has for the address of this server'));
  } else if (valid === undefined) say('myhostname', problem(`"${host}" is not a host name: not taken`));
  else {
    draft.set('node.hostname', valid);
    say('myhostname', taken(valid, 'node.hostname'));
  }
  if (settings.has('mydomain')) say('mydomain', already('read where other parameters name it'));
  if (settings.has('myorigin')) say('myorigin', none('an address without a domain is not completed, it is refused'));
}

/** A list of domains with mailboxes, and the parameters that say where their mail goes, the first that is set. */
async function mailboxes(state: State, list: string, transports: readonly string[]): Promise<void> {
  const { settings, tables, draft, say } = state;
  const name = transports.find((t) => settings.text(t) !== '');
  const parsed = name === undefined ? undefined : parseTransport(settings.text(name));
  const hop = parsed !== undefined && 'hop' in parsed ? parsed.hop : undefined;
  for (const t of transports) {
    if (!settings.has(t)) continue;
    if (t !== name) say(t, already('empty, or another parameter counts'));
    else if (hop !== undefined) say(t, taken(viaOf(hop), 'routes'));
    else say(t, parsed !== undefined && 'why' in parsed ? toDo(parsed.why) : already('by MX'));
  }
  if (!settings.has(list)) return;
  const entries = await listEntries(settings.list(list), tables, domainEntry);
  const found: string[] = [];
  for (const item of entries) {
    if ('unread' in item) say(list, problem(`${item.unread}: not taken`), item.text);
    else if (!item.not) found.push(item.entry);
  }
  if (found.length === 0) {
    if (entries.length === 0) say(list, already('empty: no such domain'));
    return;
  }
  if (hop === undefined) {
    const text = `mail for ${found.join(', ')} is refused now: there are no mailboxes of this machine here. Where it shall go on, add each as { name: …, local: true } to domains, with a route`;
    return say(list, isOwnName(found, settings.text('myhostname')) ? none(text) : toDo(text));
  }
  for (const domain of found) draft.merge('routes', 'to', { to: domain, via: viaOf(hop) });
  if (!state.strangers) return say(list, taken(`${found.join(', ')}, for those who may relay`, 'routes'));
  draft.add('relay.allow.domains', ...found);
  say(list, taken(`${found.join(', ')}, each with what is below it`, 'relay.allow.domains', 'routes'));
}

/** Names of this machine alone, for the mail of its own programs. */
const isOwnName = (found: readonly string[], host: string): boolean =>
  found.every((name) => name === host.toLowerCase() || /^localhost(?:\.|$)/.test(name));

/** virtual_alias_domains and virtual_alias_maps: local domains, and aliases of the users file. */
async function aliases(state: State): Promise<void> {
  const { settings, tables, draft, say, tell } = state;
  const maps = settings.has('virtual_alias_maps') ? 'virtual_alias_maps' : 'virtual_maps';
  const rows: TableRow[] = [];
  for (const spec of settings.list(maps)) {
    const table = await tables.read(spec);
    if ('unread' in table) say(maps, problem(`${table.unread}: not taken`), spec);
    else {
      say(maps, taken('row by row, below', 'directory.users'), spec);
      rows.push(...table.rows);
    }
  }
  const listed = await listEntries(settings.list('virtual_alias_domains'), tables, domainEntry);
  const local = new Set(listed.flatMap((item) => ('entry' in item && !item.not ? [item.entry] : [])));
  // A row whose value says nothing names a domain (virtual(5)).
  for (const { key } of rows) if (isDomainRow(key)) local.add(domainEntry(key) ?? key);
  if (!state.strangers && local.size > 0) {
    say(
      'virtual_alias_domains',
      toDo(`${[...local].join(', ')}: a local domain here is open to strangers, there none is`),
    );
    local.clear();
  } else if (settings.has('virtual_alias_domains')) {
    say(
      'virtual_alias_domains',
      local.size === 0 ? already('no such domain') : taken([...local].join(', '), 'domains'),
    );
  }
  for (const name of local) draft.merge('domains', 'name', { name, local: true });
  const made = new Map<string, string[]>();
  const answers = rows.map((row) => ({ row, answer: alias(row, local, made, originOf(settings)) }));
  for (const { row, answer } of answers) tell(row.place, `${row.key} ${row.value}`, endless(row, made) ?? answer);
  if (local.size === 0) return;
  const text = stringify({ users: [], aliases: Object.fromEntries(made) }, { lineWidth: 0 });
  state.files = [...state.files.filter(({ path }) => path !== 'users.yaml'), { path: 'users.yaml', text }];
  draft.set('directory.users', './users.yaml');
}

/** The answer to an alias that leads nowhere, which is taken out again. */
function endless({ key }: TableRow, made: Map<string, string[]>): Answer | undefined {
  const name = key.includes('@') ? mailboxKey(canonicalAddress(key)) : '';
  const expanded = made.has(name) ? expandAlias(name, made) : undefined;
  if (expanded === undefined || expanded.ok) return undefined;
  made.delete(name);
  return problem(`${expanded.message}: not taken`);
}

const isDomainRow = (key: string): boolean =>
  /^[^.@].*\./.test(key) && !key.includes('@') && domainEntry(key) !== undefined;

function alias({ key, value }: TableRow, local: ReadonlySet<string>, made: Map<string, string[]>, domain: string) {
  if (!key.includes('@'))
    return isDomainRow(key) && local.has(domainEntry(key) ?? key)
      ? taken('a local domain', 'domains')
      : none('an alias here is a full address: not taken');
  if (key.startsWith('@'))
    return none('an alias for a whole domain has no counterpart, but rewrite.domain-aliases: not taken');
  if (!local.has(domainOf(key).toLowerCase())) return none('aliases here are of local domains: not taken');
  const targets = value
    .split(/[\s,]+/)
    .filter((t) => t !== '')
    .map((t) => (t.includes('@') ? t : `${t}@${domain}`));
  if (!isMailbox(key) || targets.length === 0 || !targets.every(isMailbox))
    return problem('is not an address and where it leads: not taken');
  const name = mailboxKey(canonicalAddress(key));
  if (made.has(name)) return none('a row above has this address');
  made.set(name, targets.map(canonicalAddress));
  return taken(`leads to ${targets.join(', ')}`, 'directory.users');
}

/** smtpd_sender_login_maps: which user may send as which address. */
async function logins({ settings, tables, say, tell, advice }: State): Promise<void> {
  const users = new Map<string, string[]>();
  for (const spec of settings.list('smtpd_sender_login_maps')) {
    const table = await tables.read(spec);
    if ('unread' in table) {
      say('smtpd_sender_login_maps', problem(`${table.unread}: not taken`), spec);
      continue;
    }
    say(
      'smtpd_sender_login_maps',
      toDo('users and their addresses, whose passwords are elsewhere: the commands stand below'),
      spec,
    );
    for (const { place, key, value } of table.rows) {
      const names = value.split(/[\s,]+/).filter((name) => name !== '');
      const address = key.includes('@') ? key : `${key}@${originOf(settings)}`;
      for (const name of names) users.set(name, [...(users.get(name) ?? []), address]);
      tell(place, `${key} ${value}`, toDo(`an address of ${names.join(' and ')}`));
    }
  }
  if (users.size === 0) return;
  const quoted = (text: string): string =>
    /^[\w@.+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
  const commands = [...users].map(
    ([name, own]) => `  sealpost users add ${quoted(name)}${own.map((a) => ` --address ${quoted(a)}`).join('')}`,
  );
  advice.push(`The users of smtpd_sender_login_maps, once the configuration is there:\n\n${commands.join('\n')}`);
}
