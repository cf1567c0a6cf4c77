import { excerpt } from '../text.ts';

import { type KeyAlgorithm, keyTypeOf } from './algorithms.ts';

/** The TXT record that publishes a DKIM key (RFC 6376 §3.6, RFC 8463 §4). Text only: nothing here asks DNS. */

/** What a record is made from; a `KeyInfo` is one. `publicKey` is the value of p=. */
export type PublishedKey = { domain: string; selector: string; algorithm: KeyAlgorithm; publicKey: string };

/** Owner name, without the root dot: `s1._domainkey.example.com`. */
export function dkimRecordName(key: { domain: string; selector: string }): string {
  return `${key.selector}._domainkey.${key.domain}`;
}

/** The value as one text, as a provider's web form expects it: `v=DKIM1; k=rsa; p=MIIB…`. */
export function dkimRecordValue(key: Pick<PublishedKey, 'algorithm' | 'publicKey'>): string {
  return `v=DKIM1; k=${keyTypeOf(key.algorithm)}; p=${key.publicKey}`;
}

/** The value of a revoked key: p= is empty (RFC 6376 §3.6.1). */
export function revokedRecordValue(key: Pick<PublishedKey, 'algorithm'>): string {
  return dkimRecordValue({ algorithm: key.algorithm, publicKey: '' });
}

/**
 * What a key record says, as a verifier reads it. `publicKey` is base64 without white space, empty in a revoked record.
 */
export type DkimKeyRecord = {
  /** k=, `rsa` where it is absent; may be an unknown one. */
  keyType: string;
  publicKey: string;
  /** h=: the hash algorithms that signatures may use; undefined: all. */
  hashes: string[] | undefined;
  /** s=: the services for which it is valid, `*` where it is absent. */
  services: string[];
  /** t=: `y` is a test, `s` forbids subdomains in i=. */
  flags: string[];
};

/**
 * Read the joined text of a TXT record as a key record (RFC 6376 §3.6.1: a list of `tag=value` separated by `;`, in any
 * order, except that v= comes first if present; unknown tags are ignored). `problem` says why it is not one, as the end
 * of a sentence.
 */
export function parseDkimRecord(text: string): { record: DkimKeyRecord } | { problem: string } {
  const tags = parseTags(text);
  if (typeof tags === 'string') return { problem: withHint(tags, text) };
  const names = [...tags.keys()];
  const version = tags.get('v');
  if (version !== undefined && version !== 'DKIM1') {
    return { problem: withHint(`v=${version} is not v=DKIM1`, text) };
  }
  if (version !== undefined && names[0] !== 'v') return { problem: 'v= is not its first tag' };
  const publicKey = tags.get('p')?.replace(/[ \t\r\n]/g, '');
  if (publicKey === undefined) return { problem: 'it has no p=' };
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(publicKey)) return { problem: withHint('its p= is not base64', text) };
  return {
    record: {
      keyType: tags.get('k') ?? 'rsa',
      publicKey,
      hashes: list(tags.get('h')),
      services: list(tags.get('s')) ?? ['*'],
      flags: list(tags.get('t')) ?? [],
    },
  };
}

/** The tags in their order, or what is wrong with the list (RFC 6376 §3.2). */
function parseTags(text: string): Map<string, string> | string {
  const tags = new Map<string, string>();
  const specs = text.split(';');
  if (specs.at(-1)?.trim() === '') specs.pop();
  if (specs.length === 0) return 'it is empty';
  for (const spec of specs) {
    const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(spec)?.map((part) => part.trim()) ?? [];
    if (!/^[\t\r\n\x20-\x7e]*$/.test(spec) || !/^[A-Za-z][A-Za-z0-9_]*$/.test(name)) {
      return `${excerpt(spec.trim(), 40)} is not a tag=value pair`;
    }
    // "Tags with duplicate names MUST NOT occur"; where one does, the whole list is invalid.
    if (tags.has(name)) return `${name}= occurs twice`;
    tags.set(name, value);
  }
  return tags;
}

function list(value: string | undefined): string[] | undefined {
  return value?.split(':').map((item) => item.trim());
}

/** With the usual cause of such a problem. */
function withHint(problem: string, text: string): string {
  if (text.includes('\\')) return `${problem}; it contains backslashes: enter the value without those of a zone file`;
  if (text.includes('"')) return `${problem}; it contains quotation marks: enter the value without them`;
  return problem;
}
