import { normalizeDomain } from '#shared/address/address.ts';
import { checkNameInUse, type KeyName } from '#shared/dkim/key-name.ts';
import { errorText } from '#shared/errors.ts';
import { completeEntries } from './domains-yaml.ts';
import type { DomainEntry } from './plan.ts';

/**
 * What a Domino server's notes.ini says of DKIM (DOMINO D5-D10):
 *
 *   DKIM_KEY_<domain>=<selector>            the domain and its subdomains; a longer name wins
 *   DKIM_KEY_<domain>=<s1>,<s2>             both sign
 *   DKIM_KEY_<alias>=<domain>;<selector>    the alias signs with a key of the domain, d= is the domain
 *   RouterDKIMSigning=1 | 2                 best effort, enforce; else Domino signs nothing
 *
 * Sealpost needs less: every active key of a domain signs for the domain and its subdomains. So a line becomes a key that
 * must exist and an entry of `domains`. The names of settings are read without case.
 */
export type NotesIni = {
  mode: 'best-effort' | 'enforce' | undefined;
  /** Every line about DKIM, and what became of it. */
  lines: NotesLine[];
  /** How many others there are. */
  others: number;
  /** The keys that Domino signs with, in the order of their lines. */
  keys: KeyName[];
  domains: DomainEntry[];
};
export type NotesLine = { line: number; text: string; result: string; problem: boolean };

type Setting = { line: number; text: string; name: string; value: string };
type Mapping = { setting: Setting; domain: string; owner: string; selectors: string[] };

const MODES: Record<string, 'best-effort' | 'enforce'> = { '1': 'best-effort', '2': 'enforce' };
const PREFIX = 'dkim_key_';
/** The result of a comment about DKIM. */
export const A_COMMENT = 'a comment';

export function readNotesIni(text: string): NotesIni {
  const result: NotesIni = { mode: undefined, lines: [], others: 0, keys: [], domains: [] };
  const say = ({ line, text: said }: Omit<Setting, 'name' | 'value'>, words: string, problem = false): void =>
    void result.lines.push({ line, text: said, result: words, problem });
  const settings = new Map<string, Setting>();
  for (const [i, content] of text.split(/\r?\n/).entries()) {
    const at = { line: i + 1, text: content.trim() };
    if (!/dkim/i.test(at.text)) result.others += at.text === '' ? 0 : 1;
    else if (/^[;#]/.test(at.text)) say(at, A_COMMENT);
    else {
      const [, name = '', value = ''] = /^([^=]*)=(.*)$/.exec(at.text)?.map((part) => part.trim()) ?? [];
      const key = name.toLowerCase();
      const first = settings.get(key);
      if (!at.text.includes('=')) say(at, 'has no =: not taken', true);
      else if (key !== 'routerdkimsigning' && !key.startsWith(PREFIX)) say(at, 'is not known: not taken', true);
      else if (first !== undefined) say(at, `stands in line ${first.line} already: that one is taken`, true);
      else settings.set(key, { ...at, name, value });
    }
  }
  const signing = settings.get('routerdkimsigning');
  settings.delete('routerdkimsigning');
  result.mode = signing === undefined ? undefined : MODES[signing.value];
  if (signing !== undefined) say(signing, ...modeText(signing.value));
  takeMappings([...settings.values()], result, say);
  result.lines.sort((a, b) => a.line - b.line);
  return result;
}

function modeText(value: string): [string, boolean] {
  switch (value) {
    case '1':
      return [
        'signing: { mode: best-effort }: mail is sent without a signature where there is none, and counted',
        false,
      ];
    case '2':
      return ['signing: { mode: enforce }: mail waits while it cannot be signed, and returns when it never can', false];
    case '0':
    case '':
      return [
        'Domino does not sign. Sealpost signs, best-effort, once there are keys; mode: off keeps it from that',
        false,
      ];
    default:
      return [`${value} is neither 1 nor 2: the default of Sealpost is taken, best-effort`, true];
  }
}

function takeMappings(
  settings: readonly Setting[],
  result: NotesIni,
  say: (setting: Setting, words: string, problem?: boolean) => void,
): void {
  const mappings: Mapping[] = [];
  for (const setting of settings) {
    const mapping = mappingOf(setting);
    if (typeof mapping === 'string') say(setting, mapping, true);
    else mappings.push(mapping);
  }
  const entries = mappings.map(
    ({ domain, owner }): DomainEntry => (owner === domain ? { name: domain } : { name: domain, signAs: owner }),
  );
  const { domains, problems } = completeEntries(entries);
  result.domains = domains.map((entry) => (result.mode === undefined ? entry : { ...entry, mode: result.mode }));
  for (const mapping of mappings) {
    const { setting, domain, owner, selectors } = mapping;
    const problem = problems.find((p) => p.name === domain);
    say(setting, problem?.text ?? mappingText(mapping, mappings), problem !== undefined);
    for (const selector of selectors) {
      if (!result.keys.some((k) => k.domain === owner && k.selector === selector))
        result.keys.push({ domain: owner, selector });
    }
  }
}

/** What a line says, or why it says nothing. */
function mappingOf(setting: Setting): Mapping | string {
  const domain = normalizeDomain(setting.name.slice(PREFIX.length).trim());
  const [before = '', after, ...more] = setting.value.split(';').map((part) => part.trim());
  if (more.length > 0) return 'has more than one semicolon: not taken';
  const owner = after === undefined ? domain : normalizeDomain(before);
  const selectors = (after ?? before).split(',').map((s) => s.trim().toLowerCase());
  try {
    // Both names must be such as a key can have.
    for (const name of [domain, owner]) for (const selector of selectors) checkNameInUse({ domain: name, selector });
  } catch (error) {
    return `not taken: ${errorText(error).replace(' (invalid-name)', '')}`;
  }
  return { setting, domain, owner, selectors: [...new Set(selectors)] };
}

function mappingText({ domain, owner, selectors }: Mapping, all: readonly Mapping[]): string {
  const keys = `${selectors.length === 1 ? 'key' : 'keys'} ${selectors.join(' and ')} of ${owner}`;
  if (owner !== domain) {
    const others = all.find((m) => m.domain === owner)?.selectors ?? selectors;
    const fewer = others.some((s) => !selectors.includes(s))
      ? `; Domino used ${selectors.join(' and ')} alone, Sealpost every active key of ${owner}`
      : '';
    return `${keys}; { name: ${domain}, sign-as: ${owner} }${fewer}`;
  }
  const both = selectors.length > 1 ? '; all active keys sign' : '';
  return `${keys}${both}; subdomains without keys of their own are signed with them too`;
}
