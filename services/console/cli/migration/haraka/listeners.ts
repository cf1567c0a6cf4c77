import { isIP } from 'node:net';
import type { Ini } from '../../import/haraka/folder.ts';
import { addListener, LISTENER_NAMES, type Listener } from '../listeners.ts';
import { problem } from '../plan.ts';
import { runs, type State, shown } from './state.ts';
import type { Tls } from './tls.ts';

/**
 * `listen` of smtp.ini. In Haraka every port takes everything: mail of other servers, and mail of users who log in. Here 587
 * and the port with TLS from the first byte are for users, every other one for servers; where Haraka had no port for users
 * alone, they may log in at that for servers too.
 */

/** IPv4 too. */
const EVERY_ADDRESS = ['::', '::0'];

export async function listeners(state: State, tls: Tls): Promise<void> {
  const ini = await state.folder.ini('smtp.ini');
  const places = placesIn(ini);
  if (places.every(({ port }) => port === undefined))
    places.push({ place: 'smtp.ini: not set', text: 'listen', port: 25 });
  const implicit = Number(ini.text('smtps_port') ?? 465);
  const logIns = runs(state, 'auth/flat_file');
  const forUsers = places.some(({ port }) => port === 587 || port === implicit);
  state.draft.set('listeners', []);
  for (const { place, text, address, port } of places) {
    if (port === undefined) {
      state.tell(place, text, problem('is not an address and a port: not taken'));
      continue;
    }
    const kind = port === 587 || port === implicit ? 'submission' : 'relay';
    const listener: Listener = {
      name: port === implicit ? 'submissions' : (LISTENER_NAMES[port] ?? `port-${port}`),
      ...{ kind, port, tls: tlsOf(port, implicit, runs(state, 'tls') && !tls.clear.has(port)) },
      ...(kind === 'relay' && logIns && !forUsers && { auth: 'tls' }),
      ...(address !== undefined && { address }),
      // Each has its own list, which would be an alias of YAML else.
      ...structuredClone(state.eachListener),
    };
    state.tell(place, text, addListener({ draft: state.draft, bound: [] }, listener, tls.certificate));
  }
  usersFile(state);
}

const tlsOf = (port: number, implicit: number, offered: boolean): string => {
  if (port === implicit) return 'implicit';
  return offered ? 'starttls' : 'none';
};

type Place = { place: string; text: string; address?: string; port?: number };

function placesIn(ini: Ini): Place[] {
  const places: Place[] = [];
  for (const entry of ini.entries.filter(({ section }) => section === 'main')) {
    const at = { place: entry.place, text: shown(entry) };
    if (entry.key === 'listen') {
      for (const word of entry.value
        .split(',')
        .map((w) => w.trim())
        .filter((w) => w !== ''))
        places.push({ ...at, ...(entry.value.trim() !== word && { text: `listen: ${word}` }), ...listenPlace(word) });
    } else if (entry.key === 'port') {
      places.push({ ...at, ...listenPlace(`${bracketed(ini.text('listen_host') ?? '::0')}:${entry.value}`) });
    }
  }
  return places;
}

const bracketed = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host);

/** `[::0]:25`, `192.0.2.1:587`. */
function listenPlace(text: string): Pick<Place, 'address' | 'port'> {
  const [, six, four, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = six ?? four ?? '';
  const port = Number(digits);
  if (isIP(address) === 0 || !(port > 0 && port < 65_536)) return {};
  return EVERY_ADDRESS.includes(address) ? { port } : { address, port };
}

/** A listener with AUTH needs a directory. */
function usersFile({ draft, files }: State): void {
  const list = (draft.get('listeners') ?? []) as Listener[];
  if (!list.some(({ kind, auth }) => kind === 'submission' || auth !== undefined)) return;
  draft.set('directory.users', './users.yaml');
  if (!files.some(({ path }) => path === 'users.yaml')) files.push({ path: 'users.yaml', text: 'users: []\n' });
}
