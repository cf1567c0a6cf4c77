import { parseVia } from '#cluster/config/schema/route.ts';
import { domainEntry } from '../entries.ts';
import { type Hop, parseHop, viaOf } from '../next-hop.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { secretFile } from '../secret-file.ts';
import type { TableRow } from './files/lookup-table.ts';
import { senderOf, senderRoutes } from './sender-routes.ts';
import type { State } from './state.ts';
import { parseTransport } from './transport.ts';

/** Where mail goes: transport_maps, relayhost, and how next hops are spoken to. The most specific domain wins here too. */

type Route = { to: string; from?: string; via: string; tls?: string; password?: { file: string } };

export async function routes(state: State): Promise<void> {
  const passwords = await logIns(state);
  const tls = tlsLevel(state);
  /** By the domain that they lead to, those of senders with theirs. */
  const made = new Map(((state.draft.get('routes') ?? []) as Route[]).map((route) => [route.to, route]));
  // Those that `domains.ts` made have no TLS yet.
  if (tls !== undefined) for (const route of made.values()) if (route.via.startsWith('smtp:')) route.tls = tls;
  const add = (to: string, via: string, hop?: Hop, from?: string): Route => {
    const login = hop === undefined ? undefined : passwords.of(hop, from);
    const way: Route = hop === undefined ? { to, via } : withLogin(state, to, hop, login);
    const route: Route = from === undefined ? way : { ...way, from };
    // A password goes under TLS only.
    const level = login !== undefined && (tls === undefined || tls === 'off') ? 'required' : tls;
    const fits = !/^(?:lmtp:|discard$)/.test(route.via) && !(route.via.startsWith('smtps:') && level === 'off');
    if (level !== undefined && fits) route.tls = level;
    made.set(keyOf(route), route);
    return route;
  };
  const overruled = await transports(state, made, add);
  const everybody = relayhost(state, add);
  await senderRoutes(state, {
    ...{ everybody, overruled, logins: passwords.senders },
    add: (from, way) => ('hop' in way ? add('*', '', way.hop, from) : add('*', way.via, undefined, from)).via,
  });
  await policies(state, made);
  if (tls !== undefined && !made.has('*')) add('*', 'mx');
  if (made.size > 0) state.draft.set('routes', [...made.values()]);
}

const keyOf = ({ to, from }: Route): string => (from === undefined ? to : `${to} from ${from}`);

type Add = (to: string, via: string, hop?: Hop) => Route;

function withLogin({ settings, files }: State, to: string, hop: Hop, login: Login | undefined): Route {
  const wrapper = settings.yes('smtp_tls_wrappermode');
  if (login === undefined) return { to, via: viaOf(hop, { wrapper }) };
  const file = secretFile(files, hop.host.replace(/[^\w.-]/g, '_'), `${login.password}\n`);
  return { to, via: viaOf(hop, { wrapper, user: login.user }), password: { file: `./${file}` } };
}

/** Answers whether a row is for all domains, so that what says less of recipients does not count; `:` says nothing. */
async function transports(state: State, made: ReadonlyMap<string, Route>, add: Add): Promise<boolean> {
  const { settings, tables, say, tell } = state;
  let all = false;
  for (const spec of settings.list('transport_maps')) {
    const table = await tables.read(spec);
    if ('unread' in table) say('transport_maps', problem(`${table.unread}: not taken`), spec);
    else {
      say(
        'transport_maps',
        table.rows.length === 0 ? already('the table is empty') : taken('row by row, below', 'routes'),
        spec,
      );
      for (const row of table.rows) {
        tell(row.place, `${row.key} ${row.value}`, transport(row, made, add));
        all ||= row.key === '*' && !/^:?$/.test(row.value.trim());
      }
    }
  }
  if (settings.has('transport_maps') && settings.list('transport_maps').length === 0)
    say('transport_maps', already('no table'));
  return all;
}

function transport({ key, value }: TableRow, made: ReadonlyMap<string, Route>, add: Add): Answer {
  if (key.includes('@')) return none('routes have whole domains: not taken');
  const to = key === '*' ? '*' : domainEntry(key);
  if (to === undefined) return problem(`"${key}" is not a domain: not taken`);
  const parsed = parseTransport(value);
  if ('why' in parsed) return none(`${parsed.why}: not taken`);
  const before = made.get(to);
  const route = 'hop' in parsed ? add(to, '', parsed.hop) : add(to, parsed.via);
  const below = to === '*' || key.startsWith('.') ? '' : ', with everything below it';
  const lookup = 'hop' in parsed && parsed.hop.lookup ? `; MX records of ${parsed.hop.host} are not asked for` : '';
  const instead =
    before === undefined || before.via === route.via ? '' : `, instead of ${before.via}: a domain has one route`;
  return taken(`${to} to ${route.via}${below}${lookup}${instead}`, 'routes');
}

function relayhost({ settings, say }: State, add: Add): Hop | undefined {
  if (!settings.has('relayhost')) return undefined;
  const text = settings.list('relayhost')[0] ?? '';
  say('relayhost', relayhostAnswer(text, add));
  return parseHop(text);
}

function relayhostAnswer(text: string, add: Add): Answer {
  if (text === '') return already('mail goes by MX');
  const hop = parseHop(text);
  if (hop === undefined) return problem(`"${text}" is not a host: not taken`);
  const lookup = hop.lookup ? `; MX records of ${hop.host} are not asked for` : '';
  return taken(`* to ${add('*', '', hop).via}${lookup}`, 'routes');
}

/** smtp_tls_security_level; undefined is the default, opportunistic. */
function tlsLevel({ settings, say }: State): string | undefined {
  const name = 'smtp_tls_security_level';
  const old = settings.yes('smtp_enforce_tls') ? 'encrypt' : settings.yes('smtp_use_tls') ? 'may' : undefined;
  const level = settings.has(name) ? settings.text(name) : (old ?? '');
  const made = routeTls(level === '' ? 'none' : level);
  if (!settings.has(name)) {
    for (const [parameter, value] of [
      ['smtp_enforce_tls', 'encrypt'],
      ['smtp_use_tls', 'may'],
    ] as const) {
      if (settings.has(parameter)) say(parameter, level === value ? made.answer : none('the other one counts'));
    }
    // Without a level Postfix sends in clear text. TLS where it is offered harms nobody.
    return old === undefined ? undefined : made.tls;
  }
  say(name, made.answer);
  return made.tls;
}

const DANE = 'for DANE set dns.dnssec: true, and name a resolver that validates in dns.servers';

function routeTls(level: string): { tls: string | undefined; answer: Answer } {
  const tls = (value: string, text: string): { tls: string; answer: Answer } => ({
    tls: value,
    answer: taken(text, 'routes[].tls'),
  });
  switch (level) {
    case 'none':
      return tls('off', 'off');
    case 'may':
      return { tls: undefined, answer: already('TLS where it is offered') };
    case 'encrypt':
      return tls('required', 'required');
    case 'verify':
    case 'secure':
      return tls('verified', 'verified: a certificate that is valid for the name of the host');
    case 'fingerprint':
      return {
        tls: 'verified',
        answer: toDo('verified, and set ca to a file with the certificate of the host: fingerprints are not compared'),
      };
    case 'dane':
      return { tls: undefined, answer: toDo(DANE) };
    case 'dane-only':
      return { tls: 'required', answer: toDo(`required: TLS to hosts without records too; ${DANE}`) };
    default:
      return { tls: undefined, answer: problem(`"${level}" is not a level of TLS: TLS where it is offered`) };
  }
}

/** smtp_tls_policy_maps: the level of a single destination. */
async function policies(state: State, made: Map<string, Route>): Promise<void> {
  const { settings, tables, say, tell } = state;
  for (const spec of settings.list('smtp_tls_policy_maps')) {
    const table = await tables.read(spec);
    if ('unread' in table) {
      say('smtp_tls_policy_maps', problem(`${table.unread}: not taken`), spec);
      continue;
    }
    say('smtp_tls_policy_maps', taken('row by row, below', 'routes[].tls'), spec);
    for (const { place, key, value } of table.rows) tell(place, `${key} ${value}`, policy(key, value, made));
  }
}

function policy(key: string, value: string, made: Map<string, Route>): Answer {
  const { tls = 'opportunistic', answer } = routeTls(value.split(/[\s,]+/)[0] ?? '');
  if (answer.verdict === 'problem') return answer;
  const affected = routesTo(key, made);
  if (affected.length === 0)
    return none('no route leads there: Postfix looks its next hops up, which is relayhost where there is one');
  for (const route of affected) {
    if (route.password !== undefined && (tls === 'opportunistic' || tls === 'off'))
      return none('a password goes under TLS only');
    made.set(keyOf(route), { ...route, tls });
  }
  return taken(`${affected.map(({ to }) => to).join(', ')}: ${tls}`, 'routes[].tls');
}

/** The routes to a next hop, or a new one to a domain whose mail goes by MX. */
function routesTo(key: string, made: ReadonlyMap<string, Route>): Route[] {
  const hop = parseHop(key);
  const same = [...made.values()].filter(({ via }) => {
    const spec = parseVia(via);
    return hop !== undefined && spec?.kind === 'smtp' && spec.host === hop.host;
  });
  if (same.length > 0) return same;
  const to = domainEntry(key);
  const route = to === undefined ? undefined : (made.get(to) ?? made.get('*') ?? { to, via: 'mx' });
  return to === undefined || route?.via !== 'mx' ? [] : [{ ...route, to }];
}

const BY_SENDER = 'smtp_sender_dependent_authentication';

function loginAnswer(key: string, from: string | undefined): Answer {
  if (from !== undefined) return taken(`for mail from ${from}`, 'routes[].password');
  return key.includes('@') ? none(`${BY_SENDER} is not yes`) : taken('for routes to this host', 'routes[].password');
}

type Login = { user: string; password: string };

/** A table that stands in main.cf itself has passwords in it. */
const masked = (spec: string): string => spec.replace(/^((?:proxy:)?(?:inline|static):).*/s, '$1…');

/** The user and password for a hop, and for mail of a sender, of smtp_sasl_password_maps. */
type LogIns = { senders: string[]; of(hop: Hop, from?: string): Login | undefined };

async function logIns({ settings, tables, say, tell }: State): Promise<LogIns> {
  const found = new Map<string, Login>();
  const ofSenders = new Map<string, Login>();
  const bySender = settings.yes(BY_SENDER);
  const on = settings.yes('smtp_sasl_auth_enable');
  const name = 'smtp_sasl_password_maps';
  if (settings.has('smtp_sasl_auth_enable')) {
    say(
      'smtp_sasl_auth_enable',
      on ? taken('the user stands in via, the password in a file', 'routes[].via', 'routes[].password') : already('no'),
    );
  }
  if (settings.has(BY_SENDER)) {
    const answer = bySender ? taken('routes of senders have their log-ins', 'routes[].from') : already('no');
    say(BY_SENDER, answer);
  }
  for (const spec of settings.list(name)) {
    const table = await tables.read(spec);
    if (!on) say(name, none('smtp_sasl_auth_enable is not yes'), masked(spec));
    else if ('unread' in table)
      say(name, problem(`${table.unread}: the routes stand there without user and password`), masked(spec));
    else {
      say(name, taken('row by row, below', 'routes[].password'), masked(spec));
      for (const { place, key, value } of table.rows) {
        const [, user = '', password = ''] = /^([^:]*):(.*)$/s.exec(value) ?? [];
        const fits = user !== '' && password !== '';
        const sender = key.includes('@') && bySender ? senderOf(key) : undefined;
        const from = sender !== undefined && 'from' in sender ? sender.from : undefined;
        if (fits && from !== undefined) ofSenders.set(from, { user, password });
        else if (fits) found.set(key.toLowerCase(), { user, password });
        // No password in an account.
        tell(place, `${key} ${user}:…`, fits ? loginAnswer(key, from) : problem('is not user:password: not taken'));
      }
    }
  }
  const of = ({ host, port, lookup }: Hop, from = ''): Login | undefined => {
    const own = ofSenders.get(from) ?? ofSenders.get(from.slice(from.indexOf('@') + 1));
    if (own !== undefined) return own;
    const bracketed = lookup ? host : `[${host}]`;
    const names = [
      `${bracketed}:${port ?? 25}`,
      bracketed,
      `[${host}]`,
      host,
      ...(port === 587 ? [`${bracketed}:submission`] : []),
    ];
    return names.map((key) => found.get(key.toLowerCase())).find((login) => login !== undefined);
  };
  return { senders: [...ofSenders.keys()], of };
}
