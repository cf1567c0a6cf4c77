import { isIP } from 'node:net';
import { parseNetwork } from '#shared/address/ip-address.ts';
import { type IniEntry, isTrue } from '../../import/haraka/folder.ts';
import { domainEntry } from '../entries.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { durationText, sizeText } from '../units.ts';
import { answerIni, type Handler, type Handlers, type State } from './state.ts';

/**
 * `me`, smtp.ini, connection.ini and the files with one value that connection.ini replaced (docs/CoreConfig.md of Haraka).
 * The ports are answered in `listeners.ts`.
 */
export async function server(state: State): Promise<void> {
  await name(state);
  answerIni(state, await state.folder.ini('smtp.ini'), smtpIni(state));
  answerIni(state, await state.folder.ini('connection.ini'), connectionIni(state));
  await oneValues(state);
  for (const file of ['smtp.json', 'smtp.yaml'].filter((f) => state.folder.has(f))) {
    await state.folder.text(file);
    state.tell(file, file, problem('settings of other files can stand in it, which are not read: not taken'));
  }
}

async function name({ folder, draft, tell }: State): Promise<void> {
  const me = await folder.value('me');
  const host = me === undefined ? undefined : domainEntry(me.text);
  if (me === undefined) {
    tell('me: not set', 'me', toDo('set node.hostname to the name that DNS has for the address of this server'));
  } else if (host === undefined) tell(me.place, me.text, problem('is not a host name: not taken'));
  else {
    draft.set('node.hostname', host);
    tell(me.place, me.text, taken(host, 'node.hostname'));
  }
}

const PROCESS = none('about the process of Haraka');
const USER = already('the process runs as the user that starts it; a unit of systemd gives it the ports below 1024');

function smtpIni(state: State): Handlers {
  const listening: Handler = () => undefined;
  return {
    ...{ listen: listening, port: listening },
    listen_host: taken('the address of port', 'listeners[].address'),
    smtps_port: taken('TLS from the first byte, for users, where something listens at this port', 'listeners[].tls'),
    inactivity_timeout: (entry) => seconds(state, 'limits.timeout', entry),
    inactivity_time: (entry) => seconds(state, 'limits.timeout', entry),
    public_ip: none('nothing asks for it'),
    ...{ nodes: none('one process has several threads; separate processes run separate services') },
    ...{ user: USER, group: USER },
    ...{ daemonize: PROCESS, daemon_log_file: PROCESS, daemon_pid_file: PROCESS, ignore_bad_plugins: PROCESS },
    ...{ graceful_shutdown: already('a stop finishes messages in transit, for at most 30 seconds') },
    force_shutdown_timeout: already('a stop finishes messages in transit, for at most 30 seconds'),
    ...{ spool_dir: SPOOL, spool_after: SPOOL },
    ...{ strict_rfc1869: syntax(state), smtputf8: already('SMTPUTF8 is offered') },
    // Older versions had here what is in connection.ini now.
    ...prefixed('headers.', headers(state)),
  };
}

const SPOOL = already('a message streams to the queue in pieces and is never whole in memory');

function headers(state: State): Handlers {
  return {
    add_received: already('every message gets Received'),
    clean_auth_results: already('Authentication-Results that claim to be ours are removed'),
    show_version: already('neither the greeting nor Received has product or version'),
    max_lines: none('a header is limited by its size: limits.header-size'),
    max_received: (entry) => count(state, 'limits.hops', entry, 10),
  };
}

function connectionIni(state: State): Handlers {
  return {
    ...{ spool_dir: SPOOL, spool_after: SPOOL, smtputf8: already('SMTPUTF8 is offered') },
    ...{ strict_rfc1869: syntax(state), postel: ({ value }) => (isTrue(value) ? lenient(state) : STRICT) },
    'haproxy.enabled': already('PROXY is spoken with the addresses of listeners[].proxy alone'),
    'haproxy.hosts': (entry) => proxy(state, entry.value),
    ...prefixed('headers.', headers(state)),
    'max.bytes': (entry) => size(state, entry),
    'max.mime_parts': none('MIME is not taken apart'),
    'max.line_length': (entry) => count(state, 'limits.command-length', entry, 512),
    'max.data_line_length': none('a long line stays as it is'),
    'message.greeting': (entry) => greeting(state, entry.value),
    'message.helo': none('the replies are those of the documentation'),
    'message.close': none('the replies are those of the documentation'),
    'uuid.banner_chars': none('the greeting has no id; the log has that of the session'),
    'uuid.deny_chars': none('replies have no id; "sealpost why <address>" finds what was refused to a client'),
  };
}

const prefixed = (prefix: string, handlers: Handlers): Handlers =>
  Object.fromEntries(Object.entries(handlers).map(([key, handler]) => [prefix + key, handler]));

/** Files with one value, or a list of it, each with the entry of an ini that it was once. */
async function oneValues(state: State): Promise<void> {
  const handlers: Handlers = {
    databytes: (entry) => size(state, entry),
    max_received_count: (entry) => count(state, 'limits.hops', entry, 10),
    max_line_length: (entry) => count(state, 'limits.command-length', entry, 512),
    max_data_line_length: none('a long line stays as it is'),
    strict_rfc1869: syntax(state),
    smtpgreeting: (entry) => greeting(state, entry.value),
    haproxy_hosts: (entry) => proxy(state, entry.value),
    ...{ loglevel: LOG, logformat: LOG, log_timestamps: LOG },
    plugin_timeout: none('every wait has its own option'),
    early_talker_delay: already('a client that talks before the greeting gets 421'),
    banner_include_uuid: none('the greeting has no id; the log has that of the session'),
    deny_includes_uuid: none('replies have no id; "sealpost why <address>" finds what was refused to a client'),
    header_hide_version: already('neither the greeting nor Received has product or version'),
    'outbound.disabled': toDo('mail goes out; "sealpost queue suspend" keeps it back for a while'),
  };
  for (const [file, handler] of Object.entries(handlers)) {
    for (const { place, text } of await state.folder.lines(file)) {
      const entry = { place, section: 'main', key: file, value: text, list: false };
      const answer = typeof handler === 'function' ? handler(entry) : handler;
      if (answer !== undefined) state.tell(place, text, answer);
    }
  }
}

const LOG = none('log.level; the log is JSON lines with a time each');

function proxy({ eachListener }: State, value: string): Answer {
  if (value === '') return already('no proxy');
  const address = value.replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) === 0 && parseNetwork(address) === undefined)
    return problem(`"${value}" is not an address or a network: not taken`);
  eachListener.proxy = [...new Set([...(eachListener.proxy ?? []), address])];
  return taken(address, 'listeners[].proxy');
}

function greeting({ eachListener }: State, value: string): Answer {
  if (eachListener.greeting !== undefined) return none('the greeting has one line');
  if (/haraka/i.test(value)) return none('the name of the host and ESMTP; no greeting tells a product');
  if (!/^[\x20-\x7e]{1,200}$/.test(value) || value.includes('%s'))
    return problem('is not printable ASCII, or too long: not taken');
  eachListener.greeting = value;
  return taken(value, 'listeners[].greeting');
}

/** Haraka takes addresses without < and > unless it is strict. */
const syntax =
  (state: State): Handler =>
  ({ value }) =>
    isTrue(value) ? STRICT : lenient(state);

const STRICT = already('MAIL and RCPT need < and > around the address');

function lenient({ eachListener }: State): Answer {
  eachListener['address-syntax'] = 'lenient';
  return taken('lenient', 'listeners[].address-syntax');
}

function size({ draft }: State, { value }: IniEntry): Answer {
  const bytes = /^\d{1,12}$/.test(value) ? Number(value) : Number.NaN;
  if (!(bytes >= 0)) return problem(`"${value}" is not a number of bytes: not taken`);
  if (bytes === 0) return none('0 has no counterpart: the default is taken');
  const least = 64 * 1024;
  const used = Math.max(least, bytes);
  const text = sizeText(used);
  draft.set('limits.message-size', text);
  // A header cannot be larger than a message.
  if (used < 256 * 1024) draft.set('limits.header-size', text);
  return taken(`${text}${used === bytes ? '' : ', the least there is'}`, 'limits.message-size');
}

export function count({ draft }: State, option: string, { value }: IniEntry, least: number): Answer {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= 0)) return problem(`"${value}" is not a number: not taken`);
  const used = Math.max(least, number);
  draft.set(option, used);
  return taken(`${used}${used === number ? '' : ', the least there is'}`, option);
}

export function seconds({ draft }: State, option: string, { value }: IniEntry): Answer {
  const number = /^\d{1,7}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= 0)) return problem(`"${value}" is not a number of seconds: not taken`);
  if (number === 0) return none('0 has no counterpart: the default is taken');
  const text = durationText(1000 * number);
  draft.set(option, text);
  return taken(text, option);
}
