import { parseFilterUrl } from '#cluster/config/schema/filters/url.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { completeEntries, configEntries } from '../../import/domains-yaml.ts';
import { planOpendkim } from '../../import/opendkim.ts';
import type { DomainEntry } from '../../import/plan.ts';
import { readTextFile, tableRows } from '../../import/text-file.ts';
import { domainEntry } from '../entries.ts';
import { type Answer, already, none, problem, taken, toDo } from '../plan.ts';
import type { State } from './state.ts';

/**
 * Milters: of these Sealpost replaces OpenDKIM's signatures. Which domains it signs stands in opendkim.conf; with that
 * file they become entries of `domains`, and the account says how their keys come here. The others become entries of
 * `filters`.
 */

const OPENDKIM = /opendkim|:8891\b|:12301\b|\bdkim\b/i;
const RSPAMD = /rspamd|:11332\b/i;

export async function milters(state: State, opendkimConf: string | undefined): Promise<void> {
  const { settings, say } = state;
  for (const name of ['smtpd_milters', 'non_smtpd_milters']) {
    if (!settings.has(name)) continue;
    const list = settings.list(name);
    if (list.length === 0) say(name, already('no milter'));
    for (const milter of list) say(name, milterAnswer(state, name, milter), milter);
  }
  if (settings.has('milter_default_action')) say('milter_default_action', defaultAction(state));
  if (opendkimConf !== undefined) await opendkim(state, opendkimConf);
}

function milterAnswer(state: State, list: string, milter: string): Answer {
  if (OPENDKIM.test(milter)) {
    return toDo(
      'Sealpost signs itself, once it has the keys: "sealpost keys import opendkim" takes them, their records stay',
    );
  }
  if (list === 'non_smtpd_milters') return already('mail of this machine comes by a listener, with its filters');
  const [, where = '', parameters = ''] = /^\{?\s*([^,\s{}]+)(.*?)\}?$/s.exec(milter) ?? [];
  const url = urlOf(where);
  if (url === undefined) return problem('is neither inet:host:port nor unix:/path');
  const action = /default_action\s*=\s*(\w+)/.exec(parameters)?.[1] ?? state.settings.text('milter_default_action');
  const entries = (state.draft.get('filters') ?? []) as { url: string }[];
  const name = `milter-${entries.length + 1}`;
  const onTrouble = action === 'accept' ? 'accept' : 'defer';
  if (entries.every((entry) => entry.url !== url))
    state.draft.add('filters', { name, type: 'milter', url, 'on-trouble': onTrouble });
  if (RSPAMD.test(milter))
    return taken('asked as a milter; type rspamd asks its normal worker, port 11333', 'filters[]');
  return taken('asked about every message that a listener takes', 'filters[]');
}

/** `inet:host:port`, `unix:/path`, as smtpd_milters has them; undefined where the entry is of no use here. */
function urlOf(where: string): string | undefined {
  const [, path] = /^(?:unix|local):(\/.+)$/.exec(where) ?? [];
  if (path !== undefined) return parseFilterUrl(`unix:${path}`) && `unix:${path}`;
  const [, host, port] = /^inet6?:(\[[^\]]+\]|[^:]+):(\d+)$/.exec(where) ?? [];
  const url = `tcp://${host}:${port}`;
  return parseFilterUrl(url) && url;
}

function defaultAction({ settings, draft }: State): Answer {
  if (draft.get('filters') === undefined) return none('no milter is asked');
  const action = settings.text('milter_default_action');
  switch (action) {
    case 'accept':
      return taken('accept: mail passes with a mark', 'filters[].on-trouble');
    case 'tempfail':
    case '':
      return taken('defer', 'filters[].on-trouble');
    default:
      return taken(`defer; no ${action}: trouble of this site costs no mail`, 'filters[].on-trouble');
  }
}

/** opendkim.conf(5): a name and its value on each line. */
async function opendkim(state: State, file: string): Promise<void> {
  const rows = tableRows(await readTextFile(file), 'opendkim.conf');
  const values = new Map(rows.map(({ name, value }) => [name.toLowerCase(), value]));
  const [keyTable, signingTable] = [values.get('keytable'), values.get('signingtable')];
  const entries =
    keyTable === undefined ? single(state, values, file) : await tables(state, keyTable, signingTable, file);
  // `Domain` can be the name of a file, and tables have placeholders.
  const named = entries.filter((e) => [e.name, e.signAs ?? e.name].every((n) => domainEntry(n) !== undefined));
  const { domains, problems } = completeEntries(named);
  for (const entry of configEntries(domains)) state.draft.merge('domains', 'name', entry);
  for (const { place, name, value } of rows) state.tell(place, `${name} ${value}`, confAnswer(name, value));
  for (const { name, text } of problems) state.tell(file, name, problem(text));
  for (const { name } of entries.filter((e) => !named.includes(e)))
    state.tell(file, name, problem('is not a domain: not taken'));
}

/** Domain, Selector and KeyFile: one key. */
function single({ advice }: State, values: ReadonlyMap<string, string>, file: string): DomainEntry[] {
  const domains = (values.get('domain') ?? '').split(/[\s,]+/).filter((d) => d !== '');
  const [first] = domains;
  if (first === undefined) return [];
  const key = `${first} ${values.get('selector') ?? '<selector>'} ${values.get('keyfile') ?? '<file>'}`;
  advice.push(`The key of ${file}, once a node runs:\n\n  sealpost keys import pem ${key}`);
  return domains.map((name) => (name === first ? { name } : { name, signAs: first }));
}

async function tables(
  { advice, tell, tables }: State,
  keyTable: string,
  signingTable: string | undefined,
  file: string,
) {
  const local = (spec: string): string => {
    const [, kind = '', path = spec] = /^((?:re)?file:)?(.*)$/.exec(spec) ?? [];
    return kind + (tables.locate(path) ?? path);
  };
  const signing = signingTable === undefined ? '' : ` --signing-table ${local(signingTable)}`;
  advice.push(
    `The keys of ${file}, once a node runs:\n\n  sealpost keys import opendkim --key-table ${local(keyTable)}${signing}`,
  );
  try {
    const plan = await planOpendkim(local(keyTable), signingTable === undefined ? undefined : local(signingTable));
    for (const { place, text, problem: wrong } of plan.remarks)
      tell(place, place.split(':')[0] ?? place, wrong ? problem(text) : toDo(text));
    return [...plan.keys.map(({ domain }): DomainEntry => ({ name: domain })), ...plan.domains].filter(
      (entry, i, all) => all.findIndex((e) => e.name === entry.name && e.signAs === entry.signAs) === i,
    );
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    tell(file, 'KeyTable', problem(errorText(error)));
    return [];
  }
}

function confAnswer(name: string, value: string): Answer {
  switch (name.toLowerCase()) {
    case 'keytable':
    case 'signingtable':
    case 'domain':
    case 'selector':
    case 'keyfile':
      return taken('for the entries of domains; the keys come by the command below', 'domains');
    case 'mode':
      return /s/.test(value)
        ? already('mail of these domains is signed')
        : already('signatures of incoming mail are checked');
    case 'canonicalization':
      return already('relaxed/relaxed, always');
    case 'internalhosts':
    case 'externalignorelist':
      return already('mail of users and of hosts in relay.allow.hosts is signed');
    case 'oversignheaders':
      return already('From and other single fields are oversigned');
    case 'signaturealgorithm':
      return already('that of the key');
    case 'subdomains':
      return already('a domain’s keys sign for its subdomains without keys of their own');
    default:
      return none('of the process of OpenDKIM');
  }
}
