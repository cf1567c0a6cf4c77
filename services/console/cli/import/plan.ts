import type { KeyName } from '#shared/dkim/key-name.ts';

/**
 * What is made of a file of another program: keys to import, entries for sealpost.yaml, and remarks on everything else.
 */

/** A key to take in; `place` is the line that names it, `KeyTable:3`. */
export type WantedKey = KeyName & {
  key: { file: string } | { text: string };
  place: string;
  /** Whether it signs by itself once it is proven; absent: where the domain has no active key of its kind. */
  activate?: boolean;
};

/** What became of a line, or of a setting. A `problem` is something that was wanted and not taken over. */
export type Remark = { place: string; text: string; problem: boolean };

/** An entry of `domains` in sealpost.yaml. */
export type DomainEntry = { name: string; signAs?: string; mode?: 'best-effort' | 'enforce' | 'off' };

export type ImportPlan = { keys: WantedKey[]; remarks: Remark[]; domains: DomainEntry[] };

/**
 * The keys, each once; a selector that two lines give different keys is a problem. Names are compared as DNS does,
 * without case.
 */
export function uniqueKeys(wanted: readonly WantedKey[]): { keys: WantedKey[]; remarks: Remark[] } {
  const byName = new Map<string, WantedKey>();
  const remarks: Remark[] = [];
  for (const key of wanted) {
    const name = `${key.selector}._domainkey.${key.domain}`.toLowerCase();
    const first = byName.get(name);
    if (first === undefined) byName.set(name, key);
    else if (JSON.stringify(first.key) !== JSON.stringify(key.key)) {
      const text = `gives ${key.selector} of ${key.domain} another key than ${first.place} does: that one is taken`;
      remarks.push({ place: key.place, text, problem: true });
    }
  }
  return { keys: [...byName.values()], remarks };
}
