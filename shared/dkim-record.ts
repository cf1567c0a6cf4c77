/** The TXT record that publishes a DKIM key (RFC 6376 §3.6, RFC 8463 §4). Pure text; nothing here asks DNS. */

/** What a record is made from; a `KeyInfo` fits. `publicKey` is the p= value, `algorithm` begins with `rsa` or is `ed25519`. */
export type PublishedKey = { domain: string; selector: string; algorithm: string; publicKey: string };

/** Longest character-string of a TXT record in bytes (RFC 1035 §3.3). */
const STRING_BYTES = 255;

/** Owner name, without the root dot: `s1._domainkey.example.com`. */
export function dkimRecordName(key: { domain: string; selector: string }): string {
  return `${key.selector}._domainkey.${key.domain}`;
}

/** The value as one text, the form that a provider's web form wants: `v=DKIM1; k=rsa; p=MIIB…`. */
export function dkimRecordValue(key: Pick<PublishedKey, 'algorithm' | 'publicKey'>): string {
  return `v=DKIM1; k=${key.algorithm === 'ed25519' ? 'ed25519' : 'rsa'}; p=${key.publicKey}`;
}

/** An ASCII value as the strings of a TXT record, 255 bytes each at most; readers join them without a space (§3.6.2.2). */
export function txtStrings(value: string): string[] {
  const strings: string[] = [];
  for (let at = 0; at < value.length; at += STRING_BYTES) strings.push(value.slice(at, at + STRING_BYTES));
  return strings.length === 0 ? [''] : strings;
}

/** The record as a line of a zone file (RFC 1035 §5.1): absolute name, strings split and quoted. */
export function zoneLine(key: PublishedKey): string {
  const strings = txtStrings(dkimRecordValue(key)).map((s) => `"${s.replace(/["\\]/g, '\\$&')}"`);
  return `${dkimRecordName(key)}. IN TXT ( ${strings.join(' ')} )`;
}
