import { isIP } from 'node:net';
import { checkPair } from '#cluster/config/tls-files.ts';
import { addListener, LISTENER_NAMES, type Listener } from '../listeners.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import type { Settings } from './files/main-cf.ts';
import type { MasterService } from './files/master-cf.ts';
import type { State } from './state.ts';

/**
 * Ports, TLS and log-ins: the smtpd services of master.cf, where it is given, else port 25 alone. What must not go without
 * TLS has no listener while there is no certificate that can be used.
 */

/** RFC 6409, RFC 8314. */
const PORTS: Readonly<Record<string, number>> = {
  smtp: 25,
  submission: 587,
  submissions: 465,
  smtps: 465,
  urd: 465,
  ssmtp: 465,
};

export async function listeners(state: State): Promise<void> {
  const { settings, master } = state;
  const certificate = await tls(state);
  const services = (master?.services ?? []).filter(
    ({ type, command }) => type === 'inet' && /^(?:smtpd|postscreen)$/.test(command),
  );
  const relay = services.find(({ name }) => portOf(name) === 25);
  if (relay !== undefined) state.relay = settings.with(relay.own);
  addresses(state);
  if (services.length === 0) {
    state.tell('master.cf', 'smtp inet smtpd', addListener(state, listenerOf('mx', 25, settings), certificate));
  }
  for (const service of services)
    state.tell(placeOf(service), service.text, serviceAnswer(state, service, certificate));
  for (const service of master?.services ?? []) {
    if (!services.includes(service)) state.tell(placeOf(service), service.text, otherService(service));
    else
      for (const [name, value] of service.own)
        state.tell(placeOf(service), `-o ${name}=${value}`, ownSetting(name, value));
  }
  for (const { line, text } of master?.stray ?? [])
    state.tell(`master.cf:${line}`, text, problem('is not a service: not taken'));
  // No listener is another thing than the default one.
  if (state.draft.get('listeners') === undefined) state.draft.set('listeners', []);
  logIns(state);
}

const placeOf = ({ line }: MasterService): string => `master.cf:${line}`;
const portOf = (name: string): number | undefined => {
  const port = name.split(':').at(-1) ?? '';
  const number = /^\d{1,5}$/.test(port) ? Number(port) : PORTS[port];
  return number !== undefined && number > 0 && number < 65_536 ? number : undefined;
};

function serviceAnswer(state: State, service: MasterService, certificate: boolean): Answer {
  const port = portOf(service.name);
  const host = /^\[?(.*?)\]?:[^:]*$/.exec(service.name)?.[1];
  if (port === undefined) return problem(`${service.name} is not a port: not taken`);
  if (/^(?:127\.|::1$|localhost$)/.test(host ?? '') && ![25, 465, 587].includes(port)) {
    return none('mail that comes back from a content filter: there is none here');
  }
  const name = LISTENER_NAMES[port] ?? `port-${port}`;
  const listener = listenerOf(name, port, state.settings.with(service.own));
  return addListener(
    state,
    host !== undefined && isIP(host) !== 0 ? { ...listener, address: host } : listener,
    certificate,
  );
}

function listenerOf(name: string, port: number, settings: Settings): Listener {
  const users = settings.yes('smtpd_sasl_auth_enable');
  const submission = port === 587 || port === 465 || (users && port !== 25);
  const tls = settings.yes('smtpd_tls_wrappermode') || port === 465 ? 'implicit' : starttls(settings);
  return { name, kind: submission ? 'submission' : 'relay', port, tls, ...(users && !submission && { auth: 'tls' }) };
}

/** smtpd_tls_security_level, and the two parameters that it replaced. */
function starttls(settings: Settings): 'none' | 'starttls' | 'starttls-required' {
  const level = settings.text('smtpd_tls_security_level');
  if (level === 'encrypt' || (level === '' && settings.yes('smtpd_enforce_tls'))) return 'starttls-required';
  return level === 'may' || (level === '' && settings.yes('smtpd_use_tls')) ? 'starttls' : 'none';
}

/** inet_interfaces and inet_protocols. */
function addresses(state: State): void {
  const { settings, say } = state;
  const protocols = settings.list('inet_protocols');
  const four = protocols.length === 1 && protocols[0] === 'ipv4';
  state.bound = four ? ['0.0.0.0'] : [];
  if (settings.has('inet_protocols')) {
    say(
      'inet_protocols',
      four ? taken('0.0.0.0', 'listeners[].address') : already('IPv4 and IPv6, where the machine has them'),
    );
  }
  if (settings.has('inet_interfaces')) interfaces(state, four);
}

function interfaces(state: State, four: boolean): void {
  const { settings, say } = state;
  const wanted = settings.list('inet_interfaces');
  if (wanted.join() === 'all') say('inet_interfaces', already('every address'));
  const found: string[] = [];
  for (const word of wanted.filter((w) => w !== 'all')) {
    const address = word.replace(/^\[(.*)\]$/, '$1');
    if (word === 'loopback-only' || word === 'localhost') found.push('127.0.0.1', ...(four ? [] : ['::1']));
    else if (isIP(address) !== 0) found.push(address);
    else {
      const answer = toDo(`set the address of ${word} as listeners[].address; it stands there for every address now`);
      say('inet_interfaces', answer, word);
    }
  }
  if (found.length === 0) return;
  state.bound = found;
  say('inet_interfaces', taken(found.join(', '), 'listeners[].address'));
}

/** The certificate; whether there is one that can be used. */
async function tls(state: State): Promise<boolean> {
  const { settings, say, tables, draft } = state;
  const chain = settings.list('smtpd_tls_chain_files');
  const name = chain.length > 0 ? 'smtpd_tls_chain_files' : 'smtpd_tls_cert_file';
  const [certificate = '', key = ''] =
    chain.length > 0 ? [chain.at(-1), chain[0]] : [settings.text(name), settings.text('smtpd_tls_key_file')];
  if (certificate === '' || certificate === 'none') {
    if (settings.has(name)) say(name, already('no certificate'));
    return false;
  }
  const pair = { certificate: tables.locate(certificate) ?? certificate, key: tables.locate(key) ?? key };
  const { problems } = await checkPair(['tls'], pair);
  const wrong = problems[0]?.message;
  const answer =
    wrong === undefined
      ? taken(`${pair.certificate}, ${pair.key}`, 'tls.certificate', 'tls.key')
      : problem(`${wrong}: not taken, so listeners stand without TLS or not at all`);
  say(name, answer);
  if (settings.has('smtpd_tls_key_file') && chain.length === 0) say('smtpd_tls_key_file', answer);
  if (wrong === undefined) draft.set('tls', pair);
  return wrong === undefined;
}

function logIns({ draft, files, advice }: State): void {
  const list = (draft.get('listeners') ?? []) as Listener[];
  if (!list.some(({ kind, auth }) => kind === 'submission' || auth !== undefined)) return;
  draft.set('directory.users', './users.yaml');
  files.push({ path: 'users.yaml', text: 'users: []\n' });
  advice.push(
    'Users: their passwords are not in the files of Postfix. "sealpost users add <name> --address <address>" adds each.',
  );
}

function otherService({ type, command }: MasterService): Answer {
  if (type === 'inet') return none(`nothing here does what ${command} does`);
  return /^(?:pipe|lmtp|smtp|relay|spawn)$/.test(command)
    ? none(`a transport of Postfix; where transport_maps leads to it, the route says so`)
    : already('a part of Postfix itself');
}

function ownSetting(name: string, value: string): Answer {
  if (/^(?:smtpd_tls_(?:security_level|wrappermode)|smtpd_sasl_auth_enable)$/.test(name))
    return taken('in the listener', 'listeners');
  if (/^smtpd_(?:client|relay|recipient)_restrictions$/.test(name) && value.includes('permit_mynetworks')) {
    return toDo('hosts that shall send there without a log-in go to authentication.anonymous');
  }
  if (/_restrictions$/.test(name)) {
    return already('a submission listener is for users who log in; at port 25 the section relay says who may relay');
  }
  if (name === 'syslog_name' || name === 'milter_macro_daemon_name')
    return already('logs and receipts have the name of the listener');
  return none('there is no such setting for one listener');
}
