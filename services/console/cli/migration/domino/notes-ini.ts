import { basename } from 'node:path';
import { configEntries } from '../../import/domains-yaml.ts';
import { A_COMMENT, type NotesIni, readNotesIni } from '../../import/notes-ini.ts';
import { Draft } from '../draft.ts';
import { type AccountLine, type Answer, already, none, type Plan, problem, taken, toDo } from '../plan.ts';
import { ELSEWHERE } from './elsewhere.ts';
import { GROUPS_AND_NAMES } from './groups-and-names.ts';
import { type IniSetting, readIni } from './ini.ts';
import { RECEPTION } from './reception.ts';
import { ROUTING, TLS_TRACE } from './routing.ts';
import type { Handler, Target } from './values.ts';

/**
 * A Domino server's notes.ini as a sealpost.yaml. Every line about mail has its answer, of every other one there is a
 * count. The settings of DKIM are read by the code of `sealpost keys import notes.ini`, which also tells about the keys.
 *
 * Much of Domino's mail is set in documents of its directory, not in this file; `elsewhere.ts` lists what an
 * administrator has to bring from there. No setting of this file alone opens the relay.
 */

const HANDLERS: ReadonlyMap<string, Handler> = new Map(
  Object.entries({ ...RECEPTION, ...ROUTING, ...GROUPS_AND_NAMES }).map(([name, handler]) => [
    name.toLowerCase(),
    handler,
  ]),
);

export function planNotesIni(text: string, path: string): Plan {
  const file = basename(path);
  const ini = readIni(text, file);
  const target: Target = { draft: new Draft(), listener: {}, ini };
  const account = dkimLines(text, file, target.draft);
  let others = 0;
  for (const setting of ini.settings.values()) {
    // Those of DKIM have their lines already.
    if (isOfDkim(setting.text)) continue;
    const answer = answerTo(setting, target);
    if (answer === undefined) others++;
    else account.push({ place: setting.place, setting: setting.text, ...answer });
  }
  for (const { place, text: shown, problem: what } of ini.remarks) {
    if (isOfDkim(shown)) continue;
    if (isOfMail(shown)) account.push({ place, setting: shown, ...problem(what) });
    else others++;
  }
  account.sort((a, b) => lineOf(a) - lineOf(b));
  account.push(...ELSEWHERE);
  target.draft.add('listeners', { name: 'mx', kind: 'relay', port: 25, tls: 'none', ...target.listener });
  return { account, draft: target.draft, files: [], openings: [], advice: adviceFor(others, path, account) };
}

const lineOf = ({ place }: AccountLine): number => Number(place.split(':').at(-1));
const isOfDkim = (text: string): boolean => /dkim/i.test(text);
const isOfMail = (text: string): boolean => /^(?:smtp|router|debug_(?:ssl|smtp|router)|spf|dmarc)/i.test(text);

/** Undefined where the setting is not about mail. */
function answerTo({ name, value }: IniSetting, target: Target): Answer | undefined {
  const key = name.toLowerCase();
  const handler = HANDLERS.get(key) ?? (key.startsWith('debug_ssl_') ? TLS_TRACE : undefined);
  if (handler !== undefined) return handler(value, target);
  if (key === `${target.ini.settings.get('smtpnotesport')?.value.toLowerCase()}_tcpipaddress`) {
    return already('read with SMTPNotesPort');
  }
  if (key.endsWith('_tcpipaddress'))
    return isOfMail(name) ? toDo('where mail comes in at this port, set listeners[].address') : undefined;
  return isOfMail(name) ? problem('is not known to this import: not taken') : undefined;
}

/** Lines about DKIM, as `keys import notes.ini` reads them, and their entries of `domains`. */
function dkimLines(text: string, file: string, draft: Draft): AccountLine[] {
  const { lines, mode, domains } = readNotesIni(text);
  // A domain that must be signed needs its key first: until then its mail would wait.
  const entries = domains.map(({ mode: _, ...entry }) => entry);
  for (const entry of configEntries(entries)) draft.merge('domains', 'name', entry);
  return lines
    .filter(({ result }) => result !== A_COMMENT)
    .map(({ line, text: setting, result, problem: wrong }) => {
      const place = `${file}:${line}`;
      if (wrong) return { place, setting, ...problem(result) };
      if (!/^dkim_key_/i.test(setting)) return { place, setting, ...signingAnswer(result, mode) };
      return { place, setting, ...taken(result, 'domains') };
    });
}

function signingAnswer(text: string, mode: NotesIni['mode']): Answer {
  if (mode === 'enforce') {
    return toDo(`${text}. Set it in domains when the keys are there: without them all mail would wait`);
  }
  return mode === undefined ? none(text) : already(text);
}

function adviceFor(others: number, path: string, account: readonly AccountLine[]): string[] {
  const advice: string[] = [];
  if (others > 0) advice.push(`${others} other ${others === 1 ? 'line says' : 'lines say'} nothing of mail.`);
  if (account.some(({ setting }) => /^dkim_key_/i.test(setting))) {
    advice.push(
      `Keys, once a node runs: "sealpost keys import notes.ini ${path}" says which are needed, and how they come here.`,
    );
  }
  return advice;
}
