import { basename, dirname, resolve } from 'node:path';
import { normalizeDomain } from '#shared/address/address.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { usageError } from '../exit.ts';
import { namesInPaths } from './key-folders.ts';
import { planTables } from './opendkim.ts';
import { type ImportPlan, type Remark, uniqueKeys, type WantedKey } from './plan.ts';
import { type RspamdMap, type RspamdSettings, readSettings } from './rspamd-settings.ts';
import { type Row, readTextFile, tableRows } from './text-file.ts';

/**
 * What rspamd's dkim_signing module signs with (its `lua_dkim_tools.lua`). The domains are those of `domain { … }`, of
 * the selector map and of the path map; what one of these leaves open is `selector` and `path`. Where `try_fallback` is
 * on, which it is unless turned off, also every domain whose file fits `path` with the selector `selector`.
 */

export type RspamdSource = { conf?: string | undefined; selectors?: string | undefined; paths?: string | undefined };

const DEFAULT_PATH = '/var/lib/rspamd/dkim/$domain.$selector.key';
const DEFAULT_SELECTOR = 'dkim';
/** Where rspamd's packages have their folders. */
const FOLDERS: Record<string, string> = {
  CONFDIR: '/etc/rspamd',
  LOCAL_CONFDIR: '/etc/rspamd',
  DBDIR: '/var/lib/rspamd',
};

/** A key that is wanted, as far as it is known; the rest is default. */
type Signer = { domain: string; place: string; selector?: string | undefined; path?: string | undefined };

export async function planRspamd(source: RspamdSource): Promise<ImportPlan> {
  const { conf, selectors, paths } = source;
  if (conf === undefined && selectors === undefined && paths === undefined) {
    throw usageError('name dkim_signing.conf, or maps with --selectors and --paths');
  }
  const settings: RspamdSettings =
    conf === undefined ? { domains: [], remarks: [], tryFallback: false } : await readSettings(conf);
  const selectorMap = await readMap(selectors ?? settings.selectorMap, 'selector_map', conf);
  const pathMap = await readMap(paths ?? settings.pathMap, 'path_map', conf);
  if (settings.keyTable !== undefined && settings.signingTable !== undefined) return planByTables(settings, conf);
  const template = settings.path?.value ?? DEFAULT_PATH;
  const selector = settings.selector?.value ?? DEFAULT_SELECTOR;
  const alone = settings.keyTable ?? settings.signingTable;
  if (alone !== undefined) settings.remarks.push(tableAlone(alone.place));
  const remarks = [selectorMap, pathMap].flatMap((map) => [...map.remarks, ...repeated(map.rows)]);
  remarks.unshift(...settings.remarks);
  const keys: WantedKey[] = [];
  for (const signer of signersOf(settings, selectorMap.rows, pathMap.rows)) {
    const name = { domain: signer.domain, selector: signer.selector ?? selector };
    const file = expand(signer.path ?? template, name);
    if ('unknown' in file) remarks.push(unknownVariable(signer.place, file.unknown));
    else keys.push({ ...name, key: { file: file.path }, place: signer.place });
  }
  if (settings.tryFallback) {
    const listed = new Set(keys.map((k) => normalizeDomain(k.domain)));
    const fallback = await fallbackKeys(template, selector, settings.path?.place ?? basename(conf ?? ''));
    keys.push(...fallback.keys.filter((k) => !listed.has(normalizeDomain(k.domain))));
    // Where domains are listed, nothing more is expected.
    remarks.push(...fallback.remarks.filter(() => listed.size === 0));
  }
  const unique = uniqueKeys(keys);
  return { keys: unique.keys, remarks: [...remarks, ...unique.remarks], domains: [] };
}

const tableAlone = (place: string): Remark => ({
  place,
  text: 'rspamd uses key_table and signing_table only together: not taken',
  problem: true,
});

/** With both tables of OpenDKIM rspamd signs with what they say, and with nothing else. */
async function planByTables({ keyTable, signingTable, remarks }: RspamdSettings, conf: string | undefined) {
  const keys = await readMap(keyTable, 'key_table', conf);
  const rules = await readMap(signingTable, 'signing_table', conf);
  const plan = await planTables({ rows: keys.rows, folder: dirname(resolve(conf ?? '')) }, rules.rows);
  return { ...plan, remarks: [...remarks, ...keys.remarks, ...rules.remarks, ...plan.remarks] };
}

/** `domain { … }` and the maps together, as rspamd joins them: a map fills what the block of a domain leaves open. */
function signersOf({ domains }: RspamdSettings, selectorRows: Row[], pathRows: Row[]): Signer[] {
  const valueIn = (rows: Row[], domain: string): Row | undefined =>
    rows.find((r) => normalizeDomain(r.name) === normalizeDomain(domain));
  const named = domains.map((d) => normalizeDomain(d.domain));
  const mapped = [...selectorRows, ...pathRows].filter((r) => !named.includes(normalizeDomain(r.name)));
  const once = [...new Map(mapped.map((r) => [normalizeDomain(r.name), r])).values()];
  const open: Signer[] = [...domains, ...once.map(({ name, place }) => ({ domain: name, place }))];
  return open.map((signer) => ({
    ...signer,
    // rspamd knows a domain by its small letters, in the path of its key too.
    domain: signer.domain.toLowerCase(),
    selector: signer.selector ?? valueIn(selectorRows, signer.domain)?.value,
    path: signer.path ?? valueIn(pathRows, signer.domain)?.value,
  }));
}

/** Every domain whose file fits the default path. */
async function fallbackKeys(
  template: string,
  selector: string,
  place: string,
): Promise<{ keys: WantedKey[]; remarks: Remark[] }> {
  const problem = (text: string) => ({ keys: [], remarks: [{ place, text, problem: true }] });
  const path = expand(template, { selector, domain: '$domain' });
  if ('unknown' in path) return { keys: [], remarks: [unknownVariable(place, path.unknown)] };
  if (!path.path.includes('$domain')) {
    return problem(`the path ${template} is that of every domain: which ones sign is not known; use "keys import pem"`);
  }
  try {
    const found = await namesInPaths(path.path, '$domain');
    if (found.length === 0) return problem(`no domain is named, and no file fits ${path.path}`);
    return { keys: found.map(({ name, file }) => ({ domain: name, selector, key: { file }, place })), remarks: [] };
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    return problem(`no domain is named, and ${error.message}`);
  }
}

type Values = { domain: string; selector: string };

/** `$domain`, `${selector}` and rspamd's folders put in. */
function expand(template: string, values: Values): { path: string } | { unknown: string } {
  const known: Record<string, string> = { ...FOLDERS, ...values };
  let unknown: string | undefined;
  const path = template.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced?: string, plain?: string) => {
    const value = known[braced ?? plain ?? ''];
    if (value === undefined) unknown ??= whole;
    return value ?? whole;
  });
  return unknown === undefined ? { path } : { unknown };
}

const unknownVariable = (place: string, name: string): Remark => ({
  place,
  text: `${name} is not known: write the path out`,
  problem: true,
});

/** The rows of a map: a file of domains and values. Maps that rspamd fetches are not read. */
async function readMap(
  source: string | RspamdMap | undefined,
  setting: string,
  conf: string | undefined,
): Promise<{ rows: Row[]; remarks: Remark[] }> {
  if (source === undefined) return { rows: [], remarks: [] };
  const map = typeof source === 'string' ? { value: source, place: setting } : source;
  if ('rows' in map) return withValues(map.rows);
  const { value, place } = map;
  const problem = (text: string) => ({ rows: [], remarks: [{ place, text, problem: true }] });
  if (/^(?!file:)[a-z]+:\/\//i.test(value)) return problem(`${value} is fetched from elsewhere: save it as a file`);
  const file = expand(value.replace(/^file:\/\//i, ''), { domain: '$domain', selector: '$selector' });
  if ('unknown' in file) return { rows: [], remarks: [unknownVariable(place, file.unknown)] };
  try {
    return withValues(tableRows(await readTextFile(file.path), basename(file.path)));
  } catch (error) {
    // Without its configuration the maps are all there is.
    if (conf === undefined) throw error;
    return problem(`${setting}: ${errorText(error).replace(' (file-unreadable)', '')}`);
  }
}

/** Domains that a map has more than once: it gives each one value. */
function repeated(rows: Row[]): Remark[] {
  const named = rows.map((r) => normalizeDomain(r.name));
  return rows.flatMap(({ place, name }, i) => {
    const text = `${name} stands in it already: only the first is taken`;
    return named.indexOf(named[i] ?? '') < i ? [{ place, text, problem: true }] : [];
  });
}

/** The rows that have a value, and a remark on each other. */
function withValues(rows: Row[]): { rows: Row[]; remarks: Remark[] } {
  const empty = rows.filter((r) => r.value === '');
  return {
    rows: rows.filter((r) => r.value !== ''),
    remarks: empty.map((r) => ({ place: r.place, text: `${r.name} has no value`, problem: true })),
  };
}
