import { stringify } from 'yaml';
import type { DomainEntry } from './plan.ts';

/**
 * The entries as sealpost.yaml takes them: each domain once, with those that `sign-as` asks for. What cannot be said
 * there is left out, and `problems` says why.
 */
export function completeEntries(entries: readonly DomainEntry[]): {
  domains: DomainEntry[];
  problems: { name: string; text: string }[];
} {
  const byName = new Map<string, DomainEntry>();
  const problems: { name: string; text: string }[] = [];
  for (const entry of entries) {
    const first = byName.get(entry.name);
    if (first === undefined) byName.set(entry.name, entry);
    else if (first.signAs !== entry.signAs) {
      const text = `mail of ${entry.name} is to be signed as ${signer(first)} and as ${signer(entry)}: an entry has one of them, here the first`;
      problems.push({ name: entry.name, text });
    }
  }
  for (const { name, signAs } of byName.values()) {
    const further = signAs === undefined ? undefined : byName.get(signAs)?.signAs;
    if (further === undefined) continue;
    const text = `${name} is to be signed as ${signAs}, which is signed as ${further} itself: no entry says both`;
    problems.push({ name, text });
    byName.delete(name);
  }
  const targets = new Set([...byName.values()].flatMap((e) => (e.signAs === undefined ? [] : [e.signAs])));
  const asked = [...targets].filter((t) => !byName.has(t)).map((name) => ({ name }));
  return { domains: [...byName.values(), ...asked], problems };
}

const signer = ({ name, signAs = name }: DomainEntry): string => signAs;

/** As they stand in sealpost.yaml. */
export function configEntries(entries: readonly DomainEntry[]): object[] {
  return entries.map(({ name, signAs, mode }) => ({
    name,
    ...(signAs !== undefined && { 'sign-as': signAs }),
    ...(mode !== undefined && { signing: { mode } }),
  }));
}

/**
 * A `domains:` section to paste. `known`: names that have an entry already; a comment says so, because a name that
 * stands there twice is refused.
 */
export function domainsYaml(entries: readonly DomainEntry[], known: ReadonlySet<string>): string {
  const lines = configEntries(entries).map((entry, i) => {
    const text = stringify(entry, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd();
    const there = known.has(entries[i]?.name ?? '') ? ' # has an entry already: change that one' : '';
    return `  - ${text}${there}`;
  });
  return ['domains:', ...lines].join('\n');
}
