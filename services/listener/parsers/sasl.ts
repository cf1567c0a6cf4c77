import { isUtf8 } from 'node:buffer';

/** The messages of the SASL mechanisms PLAIN (RFC 4616), LOGIN, OAUTHBEARER (RFC 7628) and XOAUTH2, decoded strictly. */

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

/** `user` is what the client calls itself, '' where it does not say; `token` is '' where it only asks for the challenge. */
export type Bearer = { user: string; token: string };

/** RFC 6750 §2.1 (b64token). The name of the scheme is case-insensitive. */
const AUTHORIZATION = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/**
 * RFC 7628 §3.1: gs2-header, then pairs `key=value` that each end with ^A, then ^A. Keys besides `auth` (`host`, `port`, …)
 * say nothing that a bearer token needs. Without a value of `auth` the client asks where it gets a token (§3.2.2).
 */
export function parseOauthBearer(message: Buffer): Bearer | undefined {
  const [header = '', ...pairs] = message.toString('utf8').split('\x01');
  if (!isUtf8(message) || pairs.pop() !== '' || pairs.pop() !== '') return undefined;
  const token = tokenIn(pairs);
  // RFC 5801 §4; `p=` demands a channel binding, which this mechanism does not have.
  const authzid = /^[ny],(?:a=([^,]+))?,$/.exec(header);
  if (authzid === null || token === undefined) return undefined;
  const user = saslName(authzid[1] ?? '');
  return user === undefined ? undefined : { user, token };
}

/** What Google and Microsoft specify: `user=` and `auth=` in place of the gs2-header, and the end is the same. */
export function parseXoauth2(message: Buffer): Bearer | undefined {
  const [first = '', ...pairs] = message.toString('utf8').split('\x01');
  if (!isUtf8(message) || pairs.pop() !== '' || pairs.pop() !== '' || !first.startsWith('user=')) return undefined;
  const token = tokenIn(pairs);
  const name = userName(Buffer.from(first.slice('user='.length)));
  return name === undefined || token === undefined ? undefined : { user: name, token };
}

/** Of `auth`, which occurs once at most; undefined where a pair is malformed. */
function tokenIn(pairs: readonly string[]): string | undefined {
  // RFC 7628 §3.1: key = 1*ALPHA, value = *(VCHAR / SP / HTAB / CR / LF).
  if (!pairs.every((pair) => /^[A-Za-z]+=[\x20-\x7e\t\r\n]*$/.test(pair))) return undefined;
  const [value = '', ...more] = pairs.flatMap((pair) => (/^auth=/i.test(pair) ? [pair.slice('auth='.length)] : []));
  if (more.length > 0) return undefined;
  return value === '' ? '' : AUTHORIZATION.exec(value)?.[1];
}

/** RFC 5801 §4: `=2C` is a comma and `=3D` an equals sign; no other `=` occurs. '' stays ''. */
function saslName(text: string): string | undefined {
  if (text === '') return '';
  if (/=(?!2C|3D)/.test(text)) return undefined;
  return userName(Buffer.from(text.replaceAll('=2C', ',').replaceAll('=3D', '=')));
}
