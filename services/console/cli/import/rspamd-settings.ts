import { basename } from 'node:path';
import type { Remark } from './plan.ts';
import { readTextFile } from './text-file.ts';
import { isObject, parseUcl, type UclEntry, type UclObject, type UclValue } from './ucl.ts';

/** The settings of rspamd's dkim_signing.conf, sorted into those that say which keys there are and words on all others. */

type Located = { value: string; place: string };

export type RspamdSettings = {
  path?: Located;
  selector?: Located;
  selectorMap?: Located;
  pathMap?: Located;
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
  key_table: 'take it over with "sealpost keys import opendkim --key-table"',
  signing_table: 'take it over with "sealpost keys import opendkim --signing-table"',
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
  const wrapped = parsed.entries.get('dkim_signing');
  const sections = wrapped !== undefined && isObject(wrapped.value) ? [wrapped.value, without(parsed)] : [parsed];
  for (const { entries } of sections) {
    for (const [setting, entry] of entries) take(settings, setting, entry, `${name}:${entry.line}`);
  }
  return settings;
}

function without({ entries }: UclObject): UclObject {
  return { entries: new Map([...entries].filter(([name]) => name !== 'dkim_signing')) };
}

const PLACES = { path: 'path', selector: 'selector', selector_map: 'selectorMap', path_map: 'pathMap' } as const;

function take(settings: RspamdSettings, setting: string, entry: UclEntry, place: string): void {
  const { value } = entry;
  const remark = (text: string, problem: boolean): void => void settings.remarks.push({ place, text, problem });
  if (setting in PLACES) {
    if (typeof value === 'string') settings[PLACES[setting as keyof typeof PLACES]] = { value, place };
    else remark(`${setting} is not a text: not taken`, true);
  } else if (setting === 'domain') {
    if (isObject(value)) takeDomains(settings, value, place);
    else remark('domain is not a block of domains: not taken', true);
  } else if (setting === 'try_fallback') {
    settings.tryFallback = isOn(value);
  } else if (setting in ELSEWHERE) {
    if (typeof value !== 'string' || !isOff(value)) remark(`${setting}: ${ELSEWHERE[setting]}`, true);
  } else if (setting in OTHERS) {
    const { text = '', wanted } = OTHERS[setting] ?? {};
    if (wanted === undefined || !same(value, wanted)) remark(`${setting} is not taken: ${text}`, false);
  } else {
    remark(`${setting} is not known: not taken`, true);
  }
}

const isOn = (value: UclValue): boolean => typeof value === 'string' && /^(true|yes|on)$/i.test(value);
const isOff = (value: string): boolean => /^(false|no|off)$/i.test(value);
const same = (value: UclValue, wanted: string): boolean =>
  wanted === 'true' ? isOn(value) : typeof value === 'string' && value.toLowerCase() === wanted;

function takeDomains(settings: RspamdSettings, { entries }: UclObject, place: string): void {
  const file = fileOf(place);
  for (const [domain, { line, value }] of entries) {
    const here = `${file}:${line}`;
    if (!isObject(value)) {
      settings.remarks.push({ place: here, text: `${domain} has no block of settings: not taken`, problem: true });
      continue;
    }
    const { selectors, own } = splitSelectors(value);
    // The old form, `selector` and `path` in the block itself, stands beside `selectors` or alone.
    const signer = { domain, place: here };
    if (own.size > 0 || selectors === undefined) takeSigner(settings, signer, { entries: own });
    for (const one of selectors ?? []) {
      if (isObject(one)) takeSigner(settings, signer, one);
      else
        settings.remarks.push({
          place: here,
          text: `a selector of ${domain} is not a block: not taken`,
          problem: true,
        });
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
        text: `${name} of ${of.domain} is not known: not taken`,
        problem: true,
      });
  }
  settings.domains.push(signer);
}
