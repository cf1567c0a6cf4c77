import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

/**
 * Passwords at rest: argon2id (RFC 9106) in the PHC string format
 * `$argon2id$v=19$m=<KiB>,t=<passes>,p=<lanes>$<salt>$<hash>`, base64 without padding.
 */
export type PasswordHash = { memory: number; passes: number; parallelism: number; salt: Buffer; hash: Buffer };

const derive = promisify(argon2);

/** OWASP's first choice for argon2id: 19 MiB, two passes, one lane. */
const PARAMETERS = { memory: 19_456, passes: 2, parallelism: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** A hash that asks for more than this is a slip or an attack on memory, not a password: 1 GiB. */
const MAX_MEMORY = 1024 * 1024;

const PHC = /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,4}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,128})\$([A-Za-z0-9+/]{16,128})$/;

/** Read a PHC string; undefined when it is not argon2id version 19 within sane bounds. */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  const [, m, t, p, salt, hash] = PHC.exec(text) ?? [];
  if (m === undefined || t === undefined || p === undefined || salt === undefined || hash === undefined)
    return undefined;
  const memory = Number(m);
  const passes = Number(t);
  const parallelism = Number(p);
  // RFC 9106 §3.1: at least 8 KiB a lane.
  if (passes < 1 || passes > 100 || parallelism < 1 || parallelism > 64) return undefined;
  if (memory < 8 * parallelism || memory > MAX_MEMORY) return undefined;
  return { memory, passes, parallelism, salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') };
}

export function formatPasswordHash(h: PasswordHash): string {
  const base64 = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
  return `$argon2id$v=19$m=${h.memory},t=${h.passes},p=${h.parallelism}$${base64(h.salt)}$${base64(h.hash)}`;
}

/** The PHC string of a new password. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await deriveKey(Buffer.from(prepare(password)), { ...PARAMETERS, salt, hash: Buffer.alloc(HASH_BYTES) });
  return formatPasswordHash({ ...PARAMETERS, salt, hash });
}

/** A hash that no password has, at the cost of a real one: verified for unknown users so that time tells nothing. */
export function decoyHash(): PasswordHash {
  return { ...PARAMETERS, salt: randomBytes(SALT_BYTES), hash: randomBytes(HASH_BYTES) };
}

/** Whether `password` (UTF-8, as it came over the wire) is the one that was hashed. Costs the same for every answer. */
export async function verifyPassword(expected: PasswordHash, password: Uint8Array): Promise<boolean> {
  const text = Buffer.from(password).toString('utf8');
  const actual = await deriveKey(Buffer.from(prepare(text)), expected);
  // Bytes that are not UTF-8 decode to replacement characters, which must not equal a password that holds those.
  const faithful = Buffer.from(text).equals(password);
  return timingSafeEqual(actual, expected.hash) && faithful && password.length > 0;
}

/** RFC 8265 §4.2.2 (OpaqueString) as far as it changes what people type: other spaces become U+0020, then NFC. */
function prepare(password: string): string {
  return password.replace(/\p{Zs}/gu, ' ').normalize('NFC');
}

function deriveKey(message: Buffer, h: PasswordHash): Promise<Buffer> {
  const { memory, passes, parallelism, salt, hash } = h;
  return derive('argon2id', { message, nonce: salt, memory, passes, parallelism, tagLength: hash.length });
}
