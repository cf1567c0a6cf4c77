import { createHash, type KeyObject, sign } from 'node:crypto';
import { KEY_TYPES, keyTypeOfKey } from '#shared/dkim/algorithms.ts';
import type { SignedHeader } from './header-hash.ts';

/** Makes one DKIM-Signature field (RFC 6376 §3.5; Ed25519 as in RFC 8463). */

export type SignatureKey = { domain: string; selector: string; privateKey: KeyObject };

/** RFC 5322 §2.1.1: lines should not be longer than 78 characters; a folded line begins with a tab. */
const LINE_LENGTH = 77;
const FIELD_NAME = 'DKIM-Signature: ';

/**
 * The complete field with its final CRLF. `bodyHash` is base64, `time` in seconds since 1970. The private-key operation
 * runs on the thread pool.
 */
export async function dkimSignature(
  header: SignedHeader,
  key: SignatureKey,
  bodyHash: string,
  time: number,
): Promise<string> {
  const lines = unsignedLines(header, key, bodyHash, time);
  // §3.7: the field itself is hashed last, with an empty b= and without its CRLF. In relaxed form a fold is a single space.
  const data = Buffer.from(`${header.canonical}dkim-signature:${lines.join(' ')}`, 'latin1');
  const signature = (await signData(data, key.privateKey)).toString('base64');
  const last = `${lines.pop()}${signature.slice(0, LINE_LENGTH - 3)}`;
  const rest = signature.slice(LINE_LENGTH - 3).match(/.{1,76}/g) ?? [];
  return `${FIELD_NAME}${[...lines, last, ...rest].join('\r\n\t')}\r\n`;
}

/** The field's value, folded into lines; the last is `b=`. */
function unsignedLines(header: SignedHeader, key: SignatureKey, bodyHash: string, time: number): string[] {
  const { signatureTag } = KEY_TYPES[keyTypeOfKey(key.privateKey)];
  const lines: string[] = [];
  let line = `v=1; a=${signatureTag}; c=relaxed/relaxed;`;
  let room = LINE_LENGTH - FIELD_NAME.length;
  const add = (glue: string, text: string): void => {
    if (line.length + glue.length + text.length <= room) line += glue + text;
    else {
      lines.push(line);
      line = text;
      room = LINE_LENGTH;
    }
  };
  for (const tag of [`d=${key.domain};`, `s=${key.selector};`, `t=${time};`]) add(' ', tag);
  // §3.5: white space is allowed around the colons of h=.
  const lastName = header.names.length - 1;
  for (const [i, name] of header.names.entries()) {
    add(i === 0 ? ' ' : '', `${i === 0 ? 'h=' : ''}${name}${i === lastName ? ';' : ':'}`);
  }
  add(' ', `bh=${bodyHash};`);
  lines.push(line, 'b=');
  return lines;
}

function signData(data: Buffer, key: KeyObject): Promise<Buffer> {
  const { digest, signsHash } = KEY_TYPES[keyTypeOfKey(key)];
  const input = signsHash ? createHash('sha256').update(data).digest() : data;
  return new Promise((resolve, reject) => {
    sign(digest, input, key, (error, signature) => {
      if (error) reject(error);
      else resolve(signature);
    });
  });
}
