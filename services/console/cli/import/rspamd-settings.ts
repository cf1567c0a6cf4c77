import { basename } from 'node:path';
import type { Remark } from './plan.ts';
import { type Row, readTextFile, tableRow } from './text-file.ts';
import { blocksOf, isObject, parseUcl, textsOf, type UclEntry, type UclObject, type UclValue } from './ucl.ts';

/**
 * The settings of rspamd's dkim_signing.conf, sorted into those that say which keys there are and words on all others.
 */

type Located = { value: string; place: string };
/** A map of rspamd: where it is, or its rows. */
export type RspamdMap = Located | { rows: Row[]; place: string };

export type RspamdSettings = {
  path?: Located;
  selector?: Located;
  selectorMap?: RspamdMap;
  pathMap?: RspamdMap;
  /** Tables as OpenDKIM has them. With both, rspamd takes nothing else. */
  keyTable?: RspamdMap;
  signingTable?: RspamdMap;
  tryFallback: boolean;
  /** `domain { … }`: a line for each selector. */
  domains: { domain: string; place: string; selector?: string; path?: string }[];
  remarks: Remark[];
};

const SIGNS_ALL = 'Sealpost signs all mail that leaves from a domain that has keys';
const FROM_HEADER = 'Sealpost signs for the domain of the From field';
const NOT_HERE = 'has no meaning for Sealpost';

/** What is made of settings that are not about keys. `wanted`: the values with which nothing changes. */
const OTHERS: Record<string, { text: string; wanted?: string }> = {
  enabled: { text: 'the keys are taken although the module is off', wanted: 'true' },
  use_esld: {
    text: 'Sealpost signs a subdomain with its own keys, or with those of the nearest parent',
    wanted: 'true',
  },
  use_domain: { text: FROM_HEADER, wanted: 'header' },
  use_domain_sign_networks: { text: FROM_HEADER, wanted: 'header' },
  use_domain_sign_local: { text: FROM_HEADER, wanted: 'header' },
  use_domain_sign_inbound: { text: FROM_HEADER, wanted: 'header' },
  auth_only: { text: SIGNS_ALL },
  sign_authenticated: { text: SIGNS_ALL },
  sign_local: { text: SIGNS_ALL },
  sign_inbound: { text: SIGNS_ALL },
  sign_networks: { text: SIGNS_ALL },
  allow_envfrom_empty: { text: SIGNS_ALL },
  allow_hdrfrom_mismatch: { text: SIGNS_ALL },
  allow_hdrfrom_mismatch_local: { text: SIGNS_ALL },
  allow_hdrfrom_mismatch_sign_networks: { text: SIGNS_ALL },
  allow_hdrfrom_multiple: { text: SIGNS_ALL },
  allow_username_mismatch: { text: 'Sealpost checks the author of submitted mail in any case' },
  check_pubkey: { text: 'Sealpost proves every key in DNS before it signs' },
  allow_pubkey_mismatch: { text: 'Sealpost proves every key in DNS before it signs' },
  symbol: { text: NOT_HERE },
  key_prefix: { text: NOT_HERE },
  sign_headers: { text: 'Sealpost chooses the header fields that it signs' },
};

/** Settings that keep keys elsewhere than in files. */
const ELSEWHERE: Record<string, string> = {
  use_redis: 'keys in Redis are not read: save each to a file, then "sealpost keys import pem"',
  use_vault: 'keys in Vault are not read: save each to a file, then "sealpost keys import pem"',
};

/** Read the file. Fails with `file-unreadable` or `ucl-syntax`. What is not understood is a remark. */
export async function readSettings(file: string): Promise<RspamdSettings> {
  const name = basename(file);
  const parsed = parseUcl(await readTextFile(file), name);
  const remarks: Remark[] = parsed.macros.map(({ line, text }) => ({
    place: `${name}:${line}`,
    text: `${text} is not followed: give that file too, if it is there`,
    problem: false,
  }));
  const settings: RspamdSettings = { tryFallback: true, domains: [], remarks };
  // As in modules.d, within `dkim_signing { … }`, or as in local.d, without.
  const wrapped = blocksOf(parsed.entries.get('dkim_signing')?.value ?? []) ?? [];
  const sections = wrapped.length > 0 ? [...wrapped, without(parsed)] : [parsed];
  for (const { entries } of sections) {
    for (const [setting, entry] of entries) take(settings, setting, entry, `${name}:${entry.line}`);
  }
  return settings;
}

function without({ entries }: UclObject): UclObject {
  return { entries: new Map([...entries].filter(([name]) => name !== 'dkim_signing')) };
}

const PLACES = { path: 'path', selector: 'selector' } as const;
const MAPS = {
  selector_map: 'selectorMap',
  path_map: 'pathMap',
  key_table: 'keyTable',
  signing_table: 'signingTable',
} as const;

function take(settings: RspamdSettings, setting: string, entry: UclEntry, place: string): void {
  const { value } = entry;
  const remark = (text: string, problem: boolean): void => void settings.remarks.push({ place, text, problem });
  if (setting in PLACES) {
    if (typeof value === 'string') settings[PLACES[setting as keyof typeof PLACES]] = { value, place };
    else remark(`${setting} is not one text: not taken`, true);
  } else if (setting in MAPS) {
    const map = mapOf(value, place);
    if (map !== undefined) settings[MAPS[setting as keyof typeof MAPS]] = map;
    else remark(`${setting} is neither a text nor a list of texts: not taken`, true);
  } else if (setting === 'domain') {
    const blocks = blocksOf(value);
    for (const block of blocks ?? []) takeDomains(settings, block, place);
    if (blocks === undefined) remark('domain is not a block of domains: not taken', true);
  } else if (setting === 'try_fallback') {
    if (typeof value === 'string') settings.tryFallback = isOn(value);
    else remark('try_fallback is not one word: taken as on', true);
  } else if (setting in ELSEWHERE) {
    if (typeof value !== 'string' || !isOff(value)) remark(`${setting}: ${ELSEWHERE[setting]}`, true);
  } else if (setting in OTHERS) {
    const { text = '', wanted } = OTHERS[setting] ?? {};
    if (wanted === undefined || !same(value, wanted)) remark(`${setting} is not taken: ${text}`, false);
  } else {
    remark(`${setting} is not known: not taken`, true);
  }
}

/** The path of a map, or a map that stands in the file itself: a list of its lines. */
function mapOf(value: UclValue, place: string): RspamdMap | undefined {
  if (typeof value === 'string') return { value, place };
  const rows = textsOf(value)?.flatMap((line) => tableRow(line, place));
  return rows && { rows, place };
}

const isOn = (value: UclValue): boolean => typeof value === 'string' && /^(true|yes|on)$/i.test(value);
const isOff = (value: string): boolean => /^(false|no|off)$/i.test(value);
const same = (value: UclValue, wanted: string): boolean =>
  wanted === 'true' ? isOn(value) : typeof value === 'string' && value.toLowerCase() === wanted;

function takeDomains(settings: RspamdSettings, { entries }: UclObject, place: string): void {
  const file = fileOf(place);
  for (const [domain, { line, value }] of entries) {
    const here = `${file}:${line}`;
    const blocks = blocksOf(value);
    for (const block of blocks ?? []) takeDomain(settings, { domain, place: here }, block);
    if (blocks === undefined) {
      settings.remarks.push({ place: here, text: `${domain} has no block of settings: not taken`, problem: true });
    }
  }
}

function takeDomain(settings: RspamdSettings, signer: { domain: string; place: string }, block: UclObject): void {
  const { selectors, own } = splitSelectors(block);
  // The old form, `selector` and `path` in the block itself, stands beside `selectors` or alone.
  if (own.size > 0 || selectors === undefined) takeSigner(settings, signer, { entries: own });
  for (const one of selectors ?? []) {
    if (isObject(one)) takeSigner(settings, signer, one);
    else {
      const text = `a selector of ${signer.domain} is not a block: not taken`;
      settings.remarks.push({ place: signer.place, text, problem: true });
    }
  }
}

/** `dkim_signing.conf:12` → `dkim_signing.conf` */
const fileOf = (place: string): string => place.slice(0, place.lastIndexOf(':'));

function splitSelectors({ entries }: UclObject): { selectors: UclValue[] | undefined; own: Map<string, UclEntry> } {
  const own = new Map(entries);
  const list = own.get('selectors')?.value;
  own.delete('selectors');
  return { selectors: list === undefined || Array.isArray(list) ? list : [list], own };
}

function takeSigner(settings: RspamdSettings, of: { domain: string; place: string }, { entries }: UclObject): void {
  const signer: RspamdSettings['domains'][number] = { ...of };
  const file = fileOf(of.place);
  for (const [name, { line, value }] of entries) {
    if ((name === 'selector' || name === 'path') && typeof value === 'string') signer[name] = value;
    else
      settings.remarks.push({
        place: `${file}:${line}`,
        text: `${name} of ${of.domain} is ${name in PLACES ? 'not one text' : 'not known'}: not taken`,
        problem: true,
      });
  }
  settings.domains.push(signer);
}
