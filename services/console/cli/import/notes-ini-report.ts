import { datedSelector } from '#shared/dkim/dated-selector.ts';
import type { KeyName } from '#shared/dkim/key-name.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { listKeys } from '../../reports/keys/key-list.ts';
import { nextText } from '../../reports/keys/text.ts';
import { type CommonOptions, print, withStore } from '../context.ts';
import { EXIT, exitCodeOf } from '../exit.ts';
import { clean, table } from '../table.ts';
import { configEntries, domainsYaml } from './domains-yaml.ts';
import type { NotesIni } from './notes-ini.ts';
import { knownDomains } from './report.ts';

/** `sealpost keys import notes.ini`: every line and what became of it, the keys that are needed, the entries to paste. */

/** `key`: as the store has it. `others`: active keys that the domain has beside it. */
type Needed = KeyName & { key?: KeyStatus; others: string[] };

export async function reportNotesIni(file: string, ini: NotesIni, options: CommonOptions): Promise<void> {
  const stored = await storedKeys(options);
  const needed = ini.keys.map((name): Needed => {
    const own = stored?.filter((k) => k.domain === name.domain) ?? [];
    const key = own.find((k) => k.selector === name.selector);
    const others = own.filter((k) => k !== key && k.state === 'active').map((k) => k.selector);
    return { ...name, ...(key !== undefined && { key }), others };
  });
  const known = await knownDomains(options);
  const value = {
    file,
    ok: !ini.lines.some((l) => l.problem),
    mode: ini.mode ?? null,
    lines: ini.lines,
    others: ini.others,
    keys: needed.map(({ domain, selector, key, others }) => ({
      domain,
      selector,
      state: stored === undefined ? 'unknown' : (key?.state ?? null),
      others,
    })),
    domains: configEntries(ini.domains),
  };
  print(options, value, () => report(ini, needed, stored !== undefined, known));
  if (!value.ok) process.exitCode = EXIT.failed;
}

/** Undefined when no node answers: what the file says is worth something before there is one. */
async function storedKeys(options: CommonOptions): Promise<KeyStatus[] | undefined> {
  try {
    return (await withStore(options, (store) => listKeys(store))).keys;
  } catch (error) {
    if (exitCodeOf(error) !== EXIT.unreachable) throw error;
    return undefined;
  }
}

function report(ini: NotesIni, needed: readonly Needed[], asked: boolean, known: ReadonlySet<string>): string {
  const parts = [
    ini.lines.length === 0
      ? 'no line is about DKIM'
      : table(
          ['LINE', 'SETTING', 'RESULT'],
          ini.lines.map((l) => [String(l.line), l.text, l.problem ? `problem: ${l.result}` : l.result]),
        ),
    ...(ini.others === 0
      ? []
      : [`${ini.others} other ${ini.others === 1 ? 'line says' : 'lines say'} nothing of DKIM.`]),
  ];
  if (needed.length === 0) return parts.join('\n\n');
  parts.push(table(['KEY', 'IN THE STORE', 'TO DO'], keyRows(needed, asked)));
  parts.push(
    [
      'Private keys cannot be taken out of Domino’s credential store. A new key needs a name that Domino does not use: its record stands',
      'beside Domino’s, which stays until the last mail that Domino signed has arrived. With a key as PEM file, its name and record stay.',
    ].join('\n'),
  );
  if (ini.mode === 'enforce' && needed.some((n) => n.key?.state !== 'active')) {
    parts.push('With enforce, mail waits until its keys sign: make the keys before the entries.');
  }
  parts.push(`For sealpost.yaml:\n\n${domainsYaml(ini.domains, known)}`);
  return parts.join('\n\n');
}

function keyRows(needed: readonly Needed[], asked: boolean): string[][] {
  const fresh = datedSelector('rsa-2048', Date.now(), new Set());
  const renewed = new Set<string>();
  return needed.map(({ domain, selector, key, others }) => {
    const name = `${selector} of ${domain}`;
    if (key !== undefined && !GONE.has(key.state)) return [name, key.state, clean(nextText(key))];
    const stored = asked ? (key?.state ?? 'no') : 'no node answers';
    if (others.length > 0) return [name, stored, `nothing: ${others.join(', ')} of ${domain} signs`];
    const pem = key === undefined ? `, or sealpost keys import pem ${domain} ${selector} <file>` : '';
    // One new key does for all that cannot come along.
    const create = renewed.has(domain) ? 'the new key above' : `sealpost keys create ${domain} ${fresh}`;
    renewed.add(domain);
    return [name, stored, `${create}${pem}`];
  });
}

/** A key in one of these never signs again. */
const GONE = new Set<KeyStatus['state']>(['retired', 'revoked', 'deleted']);
