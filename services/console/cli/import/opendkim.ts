import { resolve } from 'node:path';
import { isSameOrSubdomain, normalizeDomain } from '#shared/address/address.ts';
import { SealpostError } from '#shared/errors.ts';
import { namesInPaths } from './key-folders.ts';
import { readTable, type Table } from './opendkim-table.ts';
import { type DomainEntry, type ImportPlan, type Remark, uniqueKeys, type WantedKey } from './plan.ts';
import type { Row } from './text-file.ts';

/**
 * OpenDKIM's tables (opendkim.conf(5)). The KeyTable says `name domain:selector:key`, where `%` as the domain, and in
 * the path of the key, is the sender's domain. The SigningTable says which senders use which name.
 *
 * Sealpost signs by domain, with every active key of the domain. So a sender whose domain is not that of its key needs
 * `sign-as`; rules for single addresses have no counterpart and are told.
 */

type Key = { place: string; name: string; domain: string; selector: string; key: string };
/** `every`: all senders; `part`: not a whole domain; `subdomains`: those of `domain` alone. */
type Senders =
  | { kind: 'domain'; domain: string }
  | { kind: 'subdomains'; domain: string }
  | { kind: 'every' }
  | { kind: 'part' };

export async function planOpendkim(keyTable: string, signingTable: string | undefined): Promise<ImportPlan> {
  const table = await readTable(keyTable, '--key-table');
  const rules = signingTable === undefined ? undefined : (await readTable(signingTable, '--signing-table')).rows;
  return planTables(table, rules);
}

/** The same of tables that were read; without rules every key of the KeyTable. */
export async function planTables(table: Table, rules: readonly Row[] | undefined): Promise<ImportPlan> {
  const parsed = table.rows.map(keyOf);
  const keys = parsed.flatMap((k) => ('name' in k ? [k] : []));
  const remarks = parsed.flatMap((k) => ('problem' in k ? [k] : []));
  const plan = rules === undefined ? await withoutRules(keys, table) : await withRules(keys, rules, table);
  const unique = uniqueKeys(plan.keys);
  return { ...plan, keys: unique.keys, remarks: [...remarks, ...plan.remarks, ...unique.remarks] };
}

function keyOf({ place, name, value }: Row): Key | Remark {
  const [, domain, selector, key] = /^([^:]*):([^:]*):(.*)$/s.exec(value) ?? [];
  if (!domain || !selector || !key) {
    return { place, text: `"${name}" is not followed by domain:selector:key`, problem: true };
  }
  return { place, name, domain, selector, key };
}

/** Every key of the KeyTable; domains that are `%` are looked for in the folders of the keys. */
async function withoutRules(keys: readonly Key[], table: Table): Promise<ImportPlan> {
  const plans = await Promise.all(
    keys.map((key) =>
      key.domain === '%'
        ? forEverySender(key, table)
        : { keys: [wantedKey(key, key.domain, table)], remarks: [], domains: [] },
    ),
  );
  return joined(plans);
}

async function withRules(keys: readonly Key[], rules: readonly Row[], table: Table): Promise<ImportPlan> {
  const plans: ImportPlan[] = [];
  const used = new Set<Key>();
  const signers = new Map<string, string>();
  for (const rule of rules) {
    const senders = sendersOf(rule.name);
    // `name:signer`; the signer would stand in i=.
    const [name = '', signer] = rule.value.split(':', 2).map((part) => part.trim());
    const found = keys.filter((k) => (name === '%' ? nameFits(k, senders) : k.name === name));
    if (found.length === 0) plans.push(problem(rule.place, unknownKey(rule, name)));
    for (const key of found) {
      used.add(key);
      plans.push(withoutSecondSigner(rule, senders, await planRule(rule, senders, key, table), signers));
    }
    if (signer) plans.push(note(rule.place, `the signer ${signer} is not taken: signatures have no i=`));
  }
  const signing = joined(plans);
  const names = new Set(signing.keys.map(nameText));
  const idle = keys.filter((k) => !used.has(k)).map((k) => unusedKey(k, table));
  const { keys: waiting, ...rest } = joined(idle);
  return joined([signing, { ...rest, keys: waiting.filter((k) => !names.has(nameText(k))) }]);
}

/** OpenDKIM takes the first rule of a sender, unless MultipleSignatures is on; an entry of `domains` has one signer. */
function withoutSecondSigner(rule: Row, senders: Senders, plan: ImportPlan, signers: Map<string, string>): ImportPlan {
  const [key] = plan.keys;
  if (senders.kind !== 'domain' || key === undefined) return plan;
  const { domain } = senders;
  const own = isSameOrSubdomain(domain, key.domain) ? domain : key.domain;
  const first = signers.get(domain) ?? own;
  signers.set(domain, first);
  if (first === own) return plan;
  const text = `mail of ${domain} is signed as ${first} by a line above, and Sealpost signs as one domain: the key is taken, the rule is not`;
  return withKeys(plan.keys, { place: rule.place, text, problem: true });
}

function unusedKey(key: Key, table: Table): ImportPlan {
  const why = `no line of the SigningTable uses ${key.name}`;
  if (key.domain === '%') return problem(key.place, `${why}, and its domain is %: not taken`);
  const text = `${why}: it does not sign before "sealpost keys activate"`;
  const wanted = { ...wantedKey(key, key.domain, table), activate: false };
  return withKeys([wanted], { place: key.place, text, problem: false });
}

const nameText = (key: { domain: string; selector: string }): string => `${key.selector} of ${key.domain}`;

/** `%` as the name of a key is the domain of the sender. */
function nameFits(key: Key, senders: Senders): boolean {
  return senders.kind === 'every' || ('domain' in senders && normalizeDomain(key.name) === senders.domain);
}

function unknownKey(rule: Row, name: string): string {
  if (name === '') return `"${rule.name}" is not followed by the name of a key`;
  return name === '%' ? `the KeyTable has no name for ${rule.name}` : `the KeyTable has no name ${name}`;
}

async function planRule(rule: Row, senders: Senders, key: Key, table: Table): Promise<ImportPlan> {
  const { place, name: pattern } = rule;
  if (senders.kind === 'every') {
    if (rule.value.startsWith('%')) return everyByName(key, table);
    if (key.domain === '%') return await forEverySender(key, table);
    const text = `${pattern} signs for every sender as ${key.domain}: for each other domain that sends, add { name: <domain>, sign-as: ${key.domain} } to domains`;
    return withKeys([wantedKey(key, key.domain, table)], { place, text, problem: false });
  }
  if (key.domain === '%' && senders.kind !== 'domain') {
    return problem(place, `${pattern} is not one domain, and its key signs for each as itself: not taken`);
  }
  if (senders.kind === 'part') {
    const text = `${pattern} is not a whole domain, and Sealpost signs by domain: its key is taken, the rule is not`;
    return withKeys([wantedKey(key, key.domain, table)], { place, text, problem: false });
  }
  const domain = key.domain === '%' ? senders.domain : normalizeDomain(key.domain);
  const wanted = wantedKey(key, domain, table, senders.domain);
  // A domain's keys sign for its subdomains without being asked.
  if (isSameOrSubdomain(senders.domain, domain)) return withKeys([wanted]);
  const text = `mail of ${senders.domain} is signed as ${domain}: this needs the entry below`;
  const domains = [{ name: senders.domain, signAs: domain }];
  return { keys: [wanted], remarks: [{ place, text, problem: false }], domains };
}

/** `*` to `%`: each name in the KeyTable is a domain that sends. */
function everyByName(key: Key, table: Table): ImportPlan {
  const sender = normalizeDomain(key.name);
  const domain = key.domain === '%' ? sender : normalizeDomain(key.domain);
  const domains: DomainEntry[] = isSameOrSubdomain(sender, domain) ? [] : [{ name: sender, signAs: domain }];
  return { keys: [{ ...wantedKey(key, domain, table, sender) }], remarks: [], domains };
}

/** A key for each domain whose file is there. */
async function forEverySender(key: Key, table: Table): Promise<ImportPlan> {
  const { place, selector } = key;
  const which = 'its domain is %, that of each sender';
  if (!isPath(key.key) || !key.key.includes('%')) {
    return problem(place, `${which}: which ones these are is not known; take them with "sealpost keys import pem"`);
  }
  try {
    const found = await namesInPaths(resolve(table.folder, key.key), '%');
    if (found.length === 0) return problem(place, `${which}, and no file fits ${key.key}`);
    const text = `${which}: those whose file fits ${key.key} are taken, ${found.map((f) => f.name).join(', ')}`;
    const keys = found.map(({ name, file }) => ({ domain: name, selector, key: { file }, place }));
    return withKeys(keys, { place, text, problem: false });
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    return problem(place, `${which}: ${error.message}`);
  }
}

/** A third value that begins so is a path (opendkim.conf(5)); else it is the key itself. */
const isPath = (text: string): boolean => /^\.{0,2}\//.test(text);

function wantedKey({ place, selector, key }: Key, domain: string, table: Table, sender = domain): WantedKey {
  const where = isPath(key) ? { file: resolve(table.folder, key.replaceAll('%', sender)) } : { text: key };
  return { domain, selector, key: where, place };
}

/**
 * Which senders a pattern is for: `*@example.com`, `example.com`, `.example.com`, `*`, and what is less than a domain.
 */
function sendersOf(pattern: string): Senders {
  if (pattern === '*' || pattern === '*@*') return { kind: 'every' };
  const [, dotted, domain] = /^(?:\*?@)?(\*?\.)?([^@*%\s.][^@*%\s]*)$/.exec(pattern) ?? [];
  if (domain === undefined) return { kind: 'part' };
  return { kind: dotted === undefined ? 'domain' : 'subdomains', domain: normalizeDomain(domain) };
}

const joined = (plans: readonly ImportPlan[]): ImportPlan => ({
  keys: plans.flatMap((p) => p.keys),
  remarks: plans.flatMap((p) => p.remarks),
  domains: plans.flatMap((p) => p.domains),
});

const withKeys = (keys: WantedKey[], ...remarks: Remark[]): ImportPlan => ({ keys, remarks, domains: [] });
const problem = (place: string, text: string): ImportPlan => withKeys([], { place, text, problem: true });
const note = (place: string, text: string): ImportPlan => withKeys([], { place, text, problem: false });
