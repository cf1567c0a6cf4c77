import { isUtf8 } from 'node:buffer';

/** The messages of the SASL mechanisms PLAIN (RFC 4616) and LOGIN, decoded strictly. */

/** `password` is as received; only policy interprets it. */
export type Credentials = { user: string; actAs?: string; password: Buffer };

/** Decode a response; `=` is the empty one (RFC 4954 §4). Undefined where it is not base64. */
export function decodeBase64(text: string): Buffer | undefined {
  if (text === '=') return Buffer.alloc(0);
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, 'base64');
}

/** A user name that can be compared and logged: UTF-8 without control characters. */
export function userName(bytes: Buffer): string | undefined {
  if (bytes.length === 0 || bytes.length > 255 || !isUtf8(bytes)) return undefined;
  const name = bytes.toString('utf8');
  return /[\x00-\x1f\x7f-\x9f]/.test(name) ? undefined : name;
}

/**
 * [authzid] NUL authcid NUL passwd. A name in authzid alone, which some clients send, is taken for authcid. Another one
 * than authcid comes back as `actAs`: policy knows whether that is the same user.
 */
export function parsePlain(message: Buffer): Credentials | undefined {
  const first = message.indexOf(0);
  const second = message.indexOf(0, first + 1);
  if (first < 0 || second < 0 || message.indexOf(0, second + 1) >= 0) return undefined;
  const authzid = message.subarray(0, first);
  const authcid = message.subarray(first + 1, second);
  const user = userName(authcid.length > 0 ? authcid : authzid);
  if (user === undefined) return undefined;
  const password = message.subarray(second + 1);
  if (authzid.length === 0 || authcid.length === 0 || authzid.equals(authcid)) return { user, password };
  const actAs = userName(authzid);
  return actAs === undefined ? undefined : { user, actAs, password };
}
