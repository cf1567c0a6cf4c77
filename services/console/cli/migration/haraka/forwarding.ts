import { type Ini, isTrue } from '../../import/haraka/folder.ts';
import { domainEntry } from '../entries.ts';
import { type Hop, parseHop, viaOf } from '../next-hop.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { secretFile } from '../secret-file.ts';
import { answerIni, type Handlers, NOT_RUN, runs, type State } from './state.ts';
import type { Tls } from './tls.ts';

/**
 * Where mail goes: smtp_forward.ini, smtp_proxy.ini and lmtp.ini, each with a next hop for all domains that mail is taken
 * for, and sections of single domains. Of several such plugins the first one in the list gets the mail. What is for
 * elsewhere goes by MX, unless enable_outbound sends it the same way.
 */

type Kind = { plugin: string; file: string; scheme: Hop['scheme']; port: number; host?: string };

const KINDS: readonly Kind[] = [
  { plugin: 'queue/smtp_forward', file: 'smtp_forward.ini', scheme: 'smtp', port: 25 },
  { plugin: 'queue/smtp_proxy', file: 'smtp_proxy.ini', scheme: 'smtp', port: 25 },
  { plugin: 'queue/lmtp', file: 'lmtp.ini', scheme: 'lmtp', port: 24, host: '127.0.0.1' },
];

type Route = { to: string; from?: string; via: string; tls?: string; password?: { file: string } };

export async function forwarding(state: State, tls: Tls): Promise<void> {
  const order = state.plugins.flatMap((name) => KINDS.find(({ plugin }) => plugin === name) ?? []);
  const [first] = order;
  for (const kind of KINDS.filter((k) => k !== first && state.folder.has(k.file))) {
    await state.folder.text(kind.file);
    const why = order.includes(kind)
      ? none(`${first?.plugin} stands before ${kind.plugin} and gets the mail`)
      : NOT_RUN(kind.plugin);
    state.tell(kind.file, kind.file, why);
  }
  if (first !== undefined) await forward(state, first);
  await recipientRoutes(state);
  unrouted(state);
  const draft = state.draft;
  for (const to of tls.forced) draft.merge('routes', 'to', { to, ...routeTo(state, to), tls: 'verified' });
  for (const to of tls.without.filter((t) => !tls.forced.includes(t)))
    draft.merge('routes', 'to', { to, ...routeTo(state, to), tls: 'off' });
  const list = routesOf(state);
  // Written out, as the list is short and its end is what people look for.
  if (list.length > 0 && list.every(({ to, from }) => to !== '*' || from !== undefined))
    draft.add('routes', { to: '*', via: 'mx' });
}

const routesOf = ({ draft }: State): Route[] => (draft.get('routes') ?? []) as Route[];

/** The route that there is for a domain, or one like that of all others. */
function routeTo(state: State, to: string): object {
  const list = routesOf(state).filter(({ from }) => from === undefined);
  const { to: _, ...route } = list.find((r) => r.to === to) ?? list.find((r) => r.to === '*') ?? { to, via: 'mx' };
  return route;
}

async function forward(state: State, kind: Kind): Promise<void> {
  const { folder, accepted, draft } = state;
  const ini = await folder.ini(kind.file);
  const bySender = ini.text('domain_selector') === 'mail_from';
  const sections = ini.sections.filter((name) => name !== 'tls');
  const main = hopOf(ini, 'main', kind);
  const answers = new Map<string, Answer>();
  const all = ini.yes('enable_outbound', false);
  for (const name of sections) answers.set(name, section(state, ini, { ...kind, name, bySender, all }));
  if ('hop' in main) {
    const own = new Set(
      routesOf(state)
        .filter(({ from }) => from === undefined)
        .map(({ to }) => to),
    );
    for (const to of new Set(accepted))
      if (!own.has(to)) draft.merge('routes', 'to', route(state, ini, 'main', { to, hop: main.hop }));
    if (all) draft.merge('routes', 'to', route(state, ini, 'main', { to: '*', hop: main.hop }));
  }
  answers.set('main', mainAnswer(main, accepted, all));
  tellOf(state, ini, answers, kind);
}

function mainAnswer(main: Next, accepted: readonly string[], all: boolean): Answer {
  if ('why' in main) return toDo(main.why);
  const whose = all
    ? 'all mail'
    : accepted.length === 0
      ? 'no domain is accepted'
      : `mail for ${[...new Set(accepted)].join(', ')}`;
  return taken(`${whose}: ${viaOf(main.hop)}`, 'routes');
}

type Next = { hop: Hop } | { why: string };

/** The next hop of a section; `why` there is none. */
function hopOf(ini: Ini, name: string, kind: Kind): Next {
  const host = ini.text('host', name) ?? (name === 'main' ? kind.host : undefined);
  if (ini.text('path', name) !== undefined)
    return {
      why: 'LMTP over a socket file is not spoken here: let the server listen at 127.0.0.1, and route to lmtp://127.0.0.1:24',
    };
  if (host === undefined) return { why: 'names no host' };
  const hop = parseHop(
    `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${ini.text('port', name) ?? kind.port}`,
  );
  return hop === undefined ? { why: `"${host}" is not a host` } : { hop: { ...hop, scheme: kind.scheme } };
}

/** The section of a domain, or of an address where mail is chosen by its sender. */
function section(state: State, ini: Ini, kind: Kind & { name: string; bySender: boolean; all: boolean }): Answer {
  const { name, bySender, all } = kind;
  const { draft, accepted } = state;
  const domain = domainEntry(name);
  if (bySender && (domain !== undefined || name.includes('@'))) {
    const next = hopOf(ini, name, kind);
    if ('why' in next) return toDo(next.why);
    const made = route(state, ini, name, { to: '*', from: domain ?? name, hop: next.hop });
    draft.add('routes', made);
    return taken(`mail from ${domain ?? name}: ${made.via}`, 'routes[].from');
  }
  if (domain === undefined) return problem('is not a domain: not taken');
  const takes = ini.yes('check_recipient', false);
  if (takes && !accepted.includes(domain)) {
    accepted.push(domain);
    draft.add('relay.allow.domains', domain);
  }
  const next = hopOf(ini, name, kind);
  if ('hop' in next) {
    const made = route(state, ini, name, { to: domain, hop: next.hop });
    draft.merge('routes', 'to', made);
    return taken(
      `${domain}, with everything below it: ${made.via}`,
      'routes',
      ...(takes ? ['relay.allow.domains'] : []),
    );
  }
  if (ini.text('host', name) !== undefined || ini.text('path', name) !== undefined) return toDo(next.why);
  // A section without a host: that of all domains, unless mail of ours shall not go there. What comes for us does.
  if (all && !accepted.includes(domain) && !ini.yes('enable_outbound', true, name)) {
    draft.merge('routes', 'to', { to: domain, via: 'mx' });
    return taken(`${domain}: by MX`, 'routes');
  }
  return takes ? taken(`${domain}, with everything below it`, 'relay.allow.domains') : already('as all other domains');
}

/** With the log-in of the section, whose password goes to a file of its own. */
function route(state: State, ini: Ini, name: string, { hop, ...way }: { to: string; from?: string; hop: Hop }): Route {
  const [type, user, password] = ['auth_type', 'auth_user', 'auth_pass'].map((key) => ini.text(key, name));
  if (hop.scheme === 'lmtp' || type === undefined || user === undefined || password === undefined)
    return { ...way, via: viaOf(hop) };
  const file = secretFile(state.files, hop.host.replace(/[^\w.-]/g, '_'), `${password}\n`);
  // A password goes under TLS only.
  return { ...way, via: viaOf(hop, { user }), tls: 'required', password: { file: `./${file}` } };
}

/** A line for each setting; those that name the next hop have the answer of their section. */
function tellOf(state: State, ini: Ini, answers: ReadonlyMap<string, Answer>, { file }: Kind): void {
  const ofSection: Handlers[string] = ({ section: name }) => answers.get(name);
  const own: Handlers = {
    ...{ '*.host': ofSection, '*.path': ofSection, '*.port': already('with the host') },
    enable_outbound: ({ value }) =>
      isTrue(value) ? taken('all mail goes to the next hop', 'routes') : already('mail for elsewhere goes by MX'),
    '*.enable_outbound': ofSection,
    '*.enable_tls': ({ value }) => (isTrue(value) ? already('TLS where it is offered') : CLEAR),
    ...{ '*.auth_type': LOG_IN, '*.auth_user': LOG_IN, '*.auth_pass': LOG_IN },
    check_recipient: ({ value }) =>
      isTrue(value) ? taken('each domain with a section', 'relay.allow.domains') : already('not on'),
    check_sender: already('a sender of ours is checked of users who logged in'),
    domain_selector: ({ value }) =>
      value === 'mail_from' ? taken('routes by sender', 'routes[].from') : already('routes are by recipient'),
    one_message_per_rcpt: ({ value }) =>
      isTrue(value) ? toDo('delivery.recipients-per-transaction: 1, which is for all next hops') : already('not on'),
    '*.queue': none('where mail goes is the route alone'),
    ...{ '*.max_connections': POOL, '*.timeout': POOL, '*.connect_timeout': POOL },
  };
  answerIni(state, ini, own, ({ section: name }) =>
    name === 'tls'
      ? toDo(`set tls of the routes that ${file} makes: verified asks for a valid certificate`)
      : undefined,
  );
  for (const { place, section: name, key } of ini.entries) {
    const alone = key === '' && name !== 'tls' && !ini.entries.some((e) => e.section === name && e.key !== '');
    const answer = alone ? answers.get(name) : undefined;
    if (answer !== undefined) state.tell(place, `[${name}]`, answer);
  }
}

const POOL = none('delivery.connections and delivery.timeout are for all next hops');
const CLEAR = none('TLS is used where it is offered: tls: off of the route sends in clear text');
const LOG_IN = taken(
  'the user stands in via, the password in a file; it goes under TLS only',
  'routes[].via',
  'routes[].password',
);

/** `[routes]` of rcpt_to.routes.ini: `example.com=192.0.2.1:26`. */
async function recipientRoutes(state: State): Promise<void> {
  const { folder, draft, accepted } = state;
  const ini = await folder.ini('rcpt_to.routes.ini');
  const on = runs(state, 'rcpt_to.routes', 'recipient-routes');
  answerIni(state, ini, {}, ({ section: name, key, value }) => {
    if (!on) return NOT_RUN('recipient-routes');
    if (name !== 'routes') return none('nothing here needs Redis: routes stand in sealpost.yaml');
    if (key.includes('@'))
      return toDo(`routes have whole domains: a rule redirects ${key} to a domain with a route of its own`);
    const [to, hop] = [domainEntry(key), parseHop(value)];
    if (to === undefined || hop === undefined) return problem('is not a domain and a host: not taken');
    accepted.push(to);
    draft.add('relay.allow.domains', to);
    draft.merge('routes', 'to', { to, via: viaOf(hop) });
    return taken(`${to}, with everything below it: ${viaOf(hop)}`, 'relay.allow.domains', 'routes');
  });
}

/** A domain that mail is taken for, and no next hop for it: by MX it would come back to us. */
function unrouted(state: State): void {
  const routed = new Set(
    routesOf(state)
      .filter(({ from }) => from === undefined)
      .map(({ to }) => to),
  );
  for (const domain of new Set(state.accepted)) {
    if (routed.has(domain) || routed.has('*')) continue;
    state.tell(
      'plugins',
      domain,
      toDo(`no queue plugin says where its mail goes: add { to: ${domain}, via: … } to routes`),
    );
  }
}
