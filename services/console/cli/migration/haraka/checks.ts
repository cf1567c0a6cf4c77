import { parseFilterUrl } from '#cluster/config/schema/filters/url.ts';
import { type Ini, isTrue } from '../../import/haraka/folder.ts';
import { domainEntry } from '../entries.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import { durationText } from '../units.ts';
import { answerIni, type Handler, type Handlers, NOT_RUN, runs, type State } from './state.ts';

/** Plugins that look at clients, senders and messages, with their files. */

export async function checks(state: State): Promise<void> {
  if (runs(state, 'mail_from.is_resolvable')) state.draft.set('checks.sender-domain.enabled', true);
  for (const { file, plugins, handlers, rest = OTHER, begin } of FILES) {
    const on = runs(state, ...plugins);
    const ini = await state.folder.ini(file);
    if (on) begin?.(state, ini);
    if (on) answerIni(state, ini, handlers(state, ini), rest);
    else if (state.folder.has(file)) state.tell(file, file, NOT_RUN(plugins[0] ?? file));
  }
  await zones(state);
}

const OTHER = none('this has no option');

/** `begin`: what the plugin does already without its file. */
type File = {
  file: string;
  plugins: readonly string[];
  handlers: (state: State, ini: Ini) => Handlers;
  rest?: Handler;
  begin?: (state: State, ini: Ini) => void;
};

const LISTS = ['dns-list', 'dnsbl', 'dnswl'];

const FILES: readonly File[] = [
  {
    file: 'mail_from.is_resolvable.ini',
    plugins: ['mail_from.is_resolvable'],
    handlers: ({ draft }) => ({
      timeout: ({ value }) => {
        const seconds = Math.min(8, Math.max(1, Number(value)));
        if (!Number.isInteger(seconds)) return problem(`"${value}" is not a number of seconds: not taken`);
        draft.set('checks.sender-domain.timeout', `${seconds}s`);
        return taken(`${seconds}s`, 'checks.sender-domain.timeout');
      },
      ...{ allow_mx_ip: none('an address in the place of a host in MX is no way to deliver') },
    }),
  },
  {
    file: 'dns-list.ini',
    plugins: LISTS,
    handlers: (state, ini) => ({
      zones: ({ value, list }) => zonesAnswer(state, ini, list ? [value] : value.split(',')),
      '*.type': already('read with zones'),
      '*.reject': already('read with zones'),
    }),
    rest: none('a list counts by each of its answers; this has no option'),
  },
  {
    file: 'dnsbl.ini',
    plugins: LISTS,
    handlers: (state, ini) => ({
      zones: ({ value, list }) => zonesAnswer(state, ini, list ? [value] : value.split(/[\s,;]+/)),
    }),
  },
  {
    file: 'greylist.ini',
    plugins: ['greylist'],
    begin: ({ draft }) => draft.set('checks.greylist.enabled', true),
    handlers: (state) => ({
      'period.black': ({ value }) => period(state, 'checks.greylist.delay', value),
      'period.grey': ({ value }) => period(state, 'checks.greylist.window', value),
      'period.white': ({ value }) => period(state, 'checks.greylist.keep', value),
      text: none('the reply is that of the documentation'),
      ...{ 'redis.host': NO_REDIS, 'redis.port': NO_REDIS, 'redis.db': NO_REDIS },
    }),
    rest: ({ section, key }) =>
      /^(?:ip|recipient)_whitelist$/.test(section)
        ? toDo(`${section === 'ip_whitelist' ? 'checks.greylist.clients' : 'checks.greylist.recipients'}: ${key}`)
        : OTHER,
  },
  {
    file: 'spf.ini',
    plugins: ['spf'],
    handlers: (state) => ({ 'deny.mfrom_fail': ({ value }) => hardFail(state, value) }),
    rest: already(
      'SPF is checked, for no longer than DNS takes; softfail is junk where authenticity.junk.soft-fail is true',
    ),
  },
  {
    file: 'helo.checks.ini',
    plugins: ['helo.checks'],
    handlers: (state, ini) => ({
      'reject.bare_ip': ({ value }) => helo(state, ini.yes('bare_ip', true, 'check') && isTrue(value), 'bare-address'),
      'reject.valid_hostname': ({ value }) =>
        helo(state, ini.yes('valid_hostname', true, 'check') && isTrue(value), 'not-fqdn'),
    }),
    rest: ({ section }) =>
      section === 'check'
        ? already('what is checked is told in "sealpost explain"; what refuses stands in reject')
        : OTHER,
  },
  {
    file: 'rspamd.ini',
    plugins: ['rspamd'],
    begin: rspamd,
    handlers: () => ({
      ...{
        host: FILTER,
        port: FILTER,
        '*.unix_socket': toDo('rspamd is asked by HTTP: let it listen at 127.0.0.1:11333'),
      },
      'dkim.enabled': none('signatures are Sealpost’s own: "sealpost keys import rspamd" takes its keys'),
    }),
  },
  { file: 'clamd.ini', plugins: ['clamd'], begin: clamd, handlers: () => ({ clamd_socket: FILTER }) },
];

const NO_REDIS = none('nothing here needs Redis: nodes share their state over NATS');
const FILTER = taken('asked about every message that a listener takes', 'filters[]');

/** `dnsbl.zones` of older versions: a zone on each line. */
async function zones(state: State): Promise<void> {
  for (const { place, text } of await state.folder.lines('dnsbl.zones')) {
    const on = runs(state, 'dnsbl', 'dns-list');
    state.tell(place, text, on ? zonesAnswer(state, await state.folder.ini('dnsbl.ini'), [text]) : NOT_RUN('dnsbl'));
  }
}

function zonesAnswer({ draft }: State, ini: Ini, names: readonly string[]): Answer {
  const found: string[] = [];
  const informs: string[] = [];
  for (const word of names.map((name) => name.trim()).filter((name) => name !== '')) {
    const zone = domainEntry(word);
    if (zone === undefined || !zone.includes('.')) return problem(`"${word}" is not the zone of a DNS list: not taken`);
    // Lists of good names are known; a list that only informs refuses nobody.
    const type =
      ini.text('type', zone) ?? (zone.includes('dnswl') ? 'allow' : zone.includes('karma') ? 'karma' : 'block');
    if (type === 'karma' || !ini.yes('reject', true, zone)) informs.push(zone);
    else {
      draft.add(`checks.dns-lists.${type === 'allow' ? 'allow' : 'block'}`, { zone });
      found.push(zone);
    }
  }
  if (found.length > 0) return taken(found.join(', '), 'checks.dns-lists');
  return informs.length > 0 ? none('a list that refuses nobody has no use here') : already('no list');
}

function period({ draft }: State, option: string, value: string): Answer {
  const seconds = Number(value);
  if (!Number.isInteger(seconds) || seconds < 1) return problem(`"${value}" is not a number of seconds: not taken`);
  const text = durationText(1000 * seconds);
  draft.set(option, text);
  return taken(text, option);
}

function hardFail({ draft }: State, value: string): Answer {
  if (!isTrue(value)) return already('mail that the domain forbids is marked as junk');
  draft.set('authenticity.spf.hard-fail', 'reject');
  return taken('reject', 'authenticity.spf.hard-fail');
}

function helo({ draft }: State, refuses: boolean, what: string): Answer {
  if (!refuses) return already('not refused');
  draft.add('checks.helo.refuse', what);
  return taken(what, 'checks.helo.refuse');
}

function rspamd({ draft }: State, ini: Ini): void {
  if (ini.text('unix_socket') !== undefined) return;
  const url = `http://${ini.text('host') ?? '127.0.0.1'}:${ini.text('port') ?? 11333}`;
  if (parseFilterUrl(url) !== undefined) draft.add('filters', { name: 'rspamd', type: 'rspamd', url });
}

/** `localhost:3310`, `/run/clamav/clamd.ctl`; of several the first is asked. */
function clamd({ draft }: State, ini: Ini): void {
  const [first = 'localhost:3310'] = (ini.text('clamd_socket') ?? '').split(/[\s,;]+/).filter((word) => word !== '');
  const url = first.startsWith('/') ? `unix:${first}` : `tcp://${/:\d+$/.test(first) ? first : `${first}:3310`}`;
  if (parseFilterUrl(url) !== undefined) draft.add('filters', { name: 'clamd', type: 'clamd', url });
}
