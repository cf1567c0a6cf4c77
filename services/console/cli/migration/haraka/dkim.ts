import { completeEntries, configEntries } from '../../import/domains-yaml.ts';
import { type Ini, isTrue } from '../../import/haraka/folder.ts';
import { planHarakaKeys } from '../../import/haraka/keys.ts';
import type { DomainEntry, ImportPlan } from '../../import/plan.ts';
import { domainEntry } from '../entries.ts';
import { already, none, problem, taken, toDo } from '../plan.ts';
import { answerIni, type Handlers, NOT_RUN, runs, type State, UNKNOWN } from './state.ts';

/**
 * Signatures: dkim.ini of the plugin dkim, or dkim_sign.ini of the older dkim_sign. The keys lie in dkim/<domain>/; they come
 * by `sealpost keys import haraka`, whose code reads them here too.
 */
export async function dkim(state: State): Promise<void> {
  const { folder, tell } = state;
  const now = await folder.ini('dkim.ini');
  const old = await folder.ini('dkim_sign.ini');
  const signs =
    (runs(state, 'dkim') && now.yes('enabled', false, 'sign')) ||
    (runs(state, 'dkim_sign') && !old.yes('disabled', false));
  settings(state, { now, old, signs });
  const plan = await planHarakaKeys(folder.path);
  if (signs) keys(state, plan);
  else if (plan.keys.length > 0) {
    const why = none('nothing is signed: enabled of dkim.ini is not true');
    tell('dkim/', 'dkim/', runs(state, 'dkim', 'dkim_sign') ? why : NOT_RUN('dkim'));
  }
}

function settings(state: State, { now, old, signs }: { now: Ini; old: Ini; signs: boolean }): void {
  const how = signs ? taken('for the keys, which come by the command below', 'domains') : none('nothing is signed');
  const signing = taken('domains with a key are signed', 'domains');
  const own: Handlers = {
    'sign.enabled': ({ value }) => (isTrue(value) && signs ? signing : NOT_SIGNED),
    ...{ 'sign.selector': how, 'sign.domain': how, 'sign.headers': HEADERS },
    'canon.body': already('relaxed/relaxed, always'),
  };
  answerIni(state, now, own, ({ section }) => (section === 'verify' ? VERIFIED : UNKNOWN));
  answerIni(state, old, {
    disabled: ({ value }) => (isTrue(value) ? NOT_SIGNED : signing),
    ...{ selector: how, domain: how, headers_to_sign: HEADERS },
  });
}

function keys({ folder, tell, draft, advice, accepted }: State, plan: ImportPlan): void {
  for (const { place, domain, selector } of plan.keys)
    tell(place, `${selector} of ${domain}`, taken('signs once its key is there: see below', 'domains'));
  for (const { place, text, problem: wrong } of plan.remarks) tell(place, place, wrong ? problem(text) : toDo(text));
  const all: DomainEntry[] = [
    ...plan.keys.map(({ domain }) => ({ name: domain })),
    ...plan.domains.filter(({ name }) => accepted.includes(name)),
  ].filter(({ name, signAs = name }: DomainEntry) => [name, signAs].every((n) => domainEntry(n) !== undefined));
  for (const entry of configEntries(completeEntries(all).domains)) draft.merge('domains', 'name', entry);
  if (plan.keys.length > 0) advice.push(`The keys, once a node runs:\n\n  sealpost keys import haraka ${folder.path}`);
}

const NOT_SIGNED = already('nothing is signed without a key');
const VERIFIED = already('signatures of incoming mail are verified');
const HEADERS = already('From and what else must not change is signed');
