import { checkPair } from '#cluster/config/tls-files.ts';
import type { Ini, IniEntry } from '../../import/haraka/folder.ts';
import { domainEntry } from '../entries.ts';
import { type Answer, none, problem, taken, toDo } from '../plan.ts';
import { answerIni, NOT_RUN, runs, type State } from './state.ts';

/** tls.ini of the plugin tls. */

/**
 * `certificate`: whether there is one that can be used. `clear`: ports where STARTTLS is not offered. `forced`, `without`:
 * domains that mail goes to in TLS with a valid certificate, and in clear text.
 */
export type Tls = { certificate: boolean; clear: ReadonlySet<number>; forced: string[]; without: string[] };

const DETAIL = none('versions and ciphers are those of Node’s OpenSSL: TLS 1.2 and later');
const NO_MEMORY = none('TLS that failed once is tried again, so that nobody can have mail sent in clear text');

export async function tls(state: State): Promise<Tls> {
  const ini = await state.folder.ini('tls.ini');
  const result: Tls = { certificate: false, clear: new Set(), forced: [], without: [] };
  if (!runs(state, 'tls')) {
    if (state.folder.has('tls.ini')) state.tell('tls.ini', 'tls.ini', NOT_RUN('tls'));
    // Outgoing mail has TLS without the plugin too.
    return { ...result, ...hosts(ini) };
  }
  const clear = new Set(ini.list('no_starttls_ports').map(Number));
  const answer = await certificate(state, ini);
  const clients = toDo(
    'client-certificates of a listener asks for them; relay.allow.certificates names those that may relay',
  );
  answerIni(
    state,
    ini,
    {
      ...{ key: answer, cert: answer, 'inbound.key': answer, 'inbound.cert': answer },
      no_starttls_ports: (entry) => taken(`tls: none at port ${entry.value}`, 'listeners[].tls'),
      'outbound.force_tls_hosts': (entry) => hostAnswer(entry, 'verified'),
      'outbound.no_tls_hosts': (entry) => hostAnswer(entry, 'off'),
      ...{ '*.requestCert': clients, '*.rejectUnauthorized': clients, requireAuthorized: clients },
      ...{ requestCert: clients, rejectUnauthorized: clients },
      'outbound.key': none('no client certificate is shown to next hops'),
      'outbound.cert': none('no client certificate is shown to next hops'),
      ...{ '*.disable_for_failed_hosts': NO_MEMORY, '*.disable_expiry': NO_MEMORY },
      '*.disable_inbound_expiry': NO_MEMORY,
    },
    ({ section }) =>
      section === 'no_tls_hosts' ? NO_MEMORY : section === 'redis' ? none('nothing here needs Redis') : DETAIL,
  );
  if (state.folder.has('tls')) {
    const text = 'name each certificate with its key and its hosts in tls.names; a bundle serves as both';
    state.tell('tls/', 'tls/', toDo(text));
  }
  return { certificate: answer.verdict === 'taken', clear, ...hosts(ini) };
}

const hosts = (ini: Ini): Pick<Tls, 'forced' | 'without'> => ({
  forced: ini.list('force_tls_hosts', 'outbound').flatMap((host) => domainEntry(host) ?? []),
  without: ini.list('no_tls_hosts', 'outbound').flatMap((host) => domainEntry(host) ?? []),
});

function hostAnswer({ value }: IniEntry, tls: 'verified' | 'off'): Answer {
  const domain = domainEntry(value);
  if (domain === undefined) return toDo(`set tls: ${tls} of the routes that lead to ${value}`);
  return taken(`mail to ${domain}, with everything below it: ${tls}`, 'routes[].tls');
}

/** The pair that clients get who name no host. */
async function certificate({ folder, draft }: State, ini: Ini): Promise<Answer> {
  const named = (key: string, fallback: string): string => ini.list(key, 'inbound')[0] ?? ini.list(key)[0] ?? fallback;
  const pair = {
    certificate: folder.locate(named('cert', 'tls_cert.pem')),
    key: folder.locate(named('key', 'tls_key.pem')),
  };
  const { problems } = await checkPair(['tls'], pair);
  const wrong = problems[0]?.message;
  if (wrong !== undefined) return problem(`${wrong}: not taken, so listeners stand without TLS or not at all`);
  draft.set('tls', pair);
  const others = ini.list('cert').length > 1 ? '; the others go to tls.names' : '';
  return taken(`${pair.certificate}, ${pair.key}${others}`, 'tls.certificate', 'tls.key');
}
