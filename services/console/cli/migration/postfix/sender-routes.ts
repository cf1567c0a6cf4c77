import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { isMailbox } from '#shared/directory/values.ts';
import { domainEntry } from '../entries.ts';
import { type Hop, parseHop } from '../next-hop.ts';
import { type Answer, already, none, problem, taken } from '../plan.ts';
import type { TableRow } from './files/lookup-table.ts';
import type { State } from './state.ts';
import { parseTransport } from './transport.ts';

/**
 * Where mail goes by its sender: sender_dependent_default_transport_maps, and where that names no next hop,
 * sender_dependent_relayhost_maps in place of relayhost. Postfix asks each for the address, then for its @domain, and only where
 * transport_maps has nothing for the recipient: so these are routes of `*` with `from`, behind those of a domain here too.
 */

const TRANSPORTS = 'sender_dependent_default_transport_maps';
const RELAYHOSTS = 'sender_dependent_relayhost_maps';

/** A way of mail; undefined: that of everybody. */
type Way = { hop: Hop } | { via: 'mx' | 'discard' } | undefined;

export type SenderRoutes = {
  /** Make the route of a sender, an address or a domain; answers what it is called in the account. */
  add(from: string, way: NonNullable<Way>): string;
  /** Senders with a log-in of their own (smtp_sender_dependent_authentication). */
  logins: readonly string[];
  /** The next hop of relayhost. */
  everybody: Hop | undefined;
  /** transport_maps has a row for all domains, which comes first. */
  overruled: boolean;
};

export async function senderRoutes(state: State, routes: SenderRoutes): Promise<void> {
  const transports = await rowsOf(state, TRANSPORTS, wayOfTransport);
  const relayhosts = await rowsOf(state, RELAYHOSTS, wayOfRelayhost);
  const maps: Maps = [new Map(), new Map()];
  for (const [n, rows] of [transports, relayhosts].entries())
    for (const { from, way } of rows) if (from !== undefined && !maps[n]?.has(from)) maps[n]?.set(from, way);
  const made = new Map<string, Answer>();
  for (const from of new Set([...maps[0].keys(), ...maps[1].keys(), ...routes.logins]))
    made.set(from, routeOf(from, maps, routes));
  for (const { row, from, why } of [...transports, ...relayhosts])
    state.tell(row.place, `${row.key} ${row.value}`, why ?? made.get(from ?? '') ?? problem('not taken'));
}

type Maps = readonly [Map<string, Way | 'none'>, Map<string, Way | 'none'>];
type Row = { row: TableRow; from: string | undefined; way: Way | 'none'; why?: Answer };

async function rowsOf(
  { settings, tables, say }: State,
  name: string,
  parse: (value: string) => { way: Way | 'none' } | { why: Answer },
): Promise<Row[]> {
  const rows: Row[] = [];
  if (settings.has(name) && settings.list(name).length === 0) say(name, already('no table'));
  for (const spec of settings.list(name)) {
    const table = await tables.read(spec);
    if ('unread' in table) {
      say(name, problem(`${table.unread}: not taken`), spec);
      continue;
    }
    say(name, table.rows.length === 0 ? already('the table is empty') : taken('row by row, below', 'routes'), spec);
    for (const row of table.rows) {
      const sender = senderOf(row.key);
      const parsed = parse(row.value);
      if ('why' in sender) rows.push({ row, from: undefined, way: undefined, why: sender.why });
      else if ('why' in parsed) rows.push({ row, from: undefined, way: undefined, why: parsed.why });
      else rows.push({ row, ...sender, ...parsed });
    }
  }
  return rows;
}

/** `from` of a route: an address, or a domain. */
export function senderOf(key: string): { from: string } | { why: Answer } {
  if (key === '<>') return { why: none('mail with the null reverse-path takes the route of everybody: not taken') };
  const domain = key.startsWith('@') ? domainEntry(key.slice(1)) : undefined;
  if (domain !== undefined && !key.startsWith('@.')) return { from: domain };
  if (isMailbox(key)) return { from: mailboxKey(canonicalAddress(key)) };
  return { why: problem('is neither an address nor @ and a domain: not taken') };
}

function wayOfTransport(value: string): { way: Way | 'none' } | { why: Answer } {
  const parsed = parseTransport(value);
  if ('why' in parsed) return { why: none(`${parsed.why}: not taken`) };
  // Without a next hop it says only how mail is spoken, and relayhost counts.
  return { way: 'via' in parsed && parsed.via === 'mx' ? 'none' : parsed };
}

function wayOfRelayhost(value: string): { way: Way | 'none' } | { why: Answer } {
  if (value.toUpperCase() === 'DUNNO') return { way: 'none' };
  const [first = ''] = value.split(/[\s,]+/);
  const hop = parseHop(first);
  return hop === undefined ? { why: problem(`"${value}" is not a host: not taken`) } : { way: { hop } };
}

/** What of a map counts for a sender; `none`: it leaves the way to what comes behind it. */
function found(map: Map<string, Way | 'none'>, from: string): Way | 'none' {
  return map.get(from) ?? map.get(from.slice(from.indexOf('@') + 1)) ?? 'none';
}

function wayOf([transports, relayhosts]: Maps, from: string): Way {
  const first = found(transports, from);
  const way = first === 'none' ? found(relayhosts, from) : first;
  return way === 'none' ? undefined : way;
}

function routeOf(from: string, maps: Maps, { add, logins, everybody, overruled }: SenderRoutes): Answer {
  if (overruled) return none('transport_maps has a row for all domains, which comes first: not taken');
  const way = wayOf(maps, from);
  const own = way ?? (everybody === undefined ? undefined : { hop: everybody });
  const ofDomain = wayOf(maps, from.slice(from.indexOf('@') + 1));
  const differs = way !== undefined || (from.includes('@') && ofDomain !== undefined);
  if (!differs && (own === undefined || !logins.includes(from))) return already('its mail goes as that of everybody');
  const via = add(from, own ?? { via: 'mx' });
  const below = from.includes('@') ? '' : ', with everything below it';
  const lookup =
    own !== undefined && 'hop' in own && own.hop.lookup ? `; MX records of ${own.hop.host} are not asked for` : '';
  return taken(`from ${from} to ${via}${below}${lookup}`, 'routes[].from');
}
