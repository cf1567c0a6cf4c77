import { excerpt } from '../text.ts';

/** The TXT record that publishes a DKIM key (RFC 6376 §3.6, RFC 8463 §4). Pure text; nothing here asks DNS. */

/** What a record is made from; a `KeyInfo` fits. `publicKey` is the p= value, `algorithm` begins with `rsa` or is `ed25519`. */
export type PublishedKey = { domain: string; selector: string; algorithm: string; publicKey: string };

/** Owner name, without the root dot: `s1._domainkey.example.com`. */
export function dkimRecordName(key: { domain: string; selector: string }): string {
  return `${key.selector}._domainkey.${key.domain}`;
}

/** The value as one text, the form that a provider's web form wants: `v=DKIM1; k=rsa; p=MIIB…`. */
export function dkimRecordValue(key: Pick<PublishedKey, 'algorithm' | 'publicKey'>): string {
  return `v=DKIM1; k=${key.algorithm === 'ed25519' ? 'ed25519' : 'rsa'}; p=${key.publicKey}`;
}

/** The value that says that a key must not be believed any more: p= without a key (RFC 6376 §3.6.1). */
export function revokedRecordValue(key: Pick<PublishedKey, 'algorithm'>): string {
  return dkimRecordValue({ algorithm: key.algorithm, publicKey: '' });
}

/** What a key record says, as a verifier reads it. `publicKey` is base64 without white space, empty in a revoked record. */
export type DkimKeyRecord = {
  /** k=, `rsa` where it is not said; may be one that nobody knows. */
  keyType: string;
  publicKey: string;
  /** h=: the hash algorithms that signatures may use; undefined: all. */
  hashes: string[] | undefined;
  /** s=: the services that it is for, `*` where it is not said. */
  services: string[];
  /** t=: `y` is a test, `s` forbids subdomains in i=. */
  flags: string[];
};

/**
 * Read the joined text of a TXT record as a key record (RFC 6376 §3.6.1: a list of `tag=value` apart by `;`, in any
 * order but for v=, which comes first where it is there; unknown tags mean nothing). `problem` says why it is none, as
 * the end of a sentence.
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
      return `${excerpt(spec.trim(), 40)} is no tag=value`;
    }
    // "Tags with duplicate names MUST NOT occur"; where one does, the whole list is invalid.
    if (tags.has(name)) return `${name}= stands in it twice`;
    tags.set(name, value);
  }
  return tags;
}

function list(value: string | undefined): string[] | undefined {
  return value?.split(':').map((item) => item.trim());
}

/** How a record usually came to be wrong. */
function withHint(problem: string, text: string): string {
  if (text.includes('\\')) return `${problem}; backslashes stand in it: enter the value without those of a zone file`;
  if (text.includes('"')) return `${problem}; quotation marks stand in it: enter the value without them`;
  return problem;
}
