import { createHash, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { SealpostError } from '../errors.ts';

/**
 * A named encryption key (NEK): 256 bits that wrap the private DKIM keys and the hashes of passwords. Only signer, policy
 * and credential-store processes read it. Its text form is one line, `sealpost-nek:<name>:<base64 of 32 bytes>`. A file
 * has one line for each NEK of a node: both, while one replaces the other.
 *
 * The key itself is in a `KeyObject`, which no log, JSON or inspection shows. The fingerprint (the first 8 bytes of the
 * key's SHA-256, hex) distinguishes two keys of one name and may be shown to anyone.
 */
export type Nek = { name: string; fingerprint: string; key: KeyObject };

const BYTES = 32;
const FORMAT = /^sealpost-nek:([^:\r\n]*):([^:\r\n]*)$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
const HOW = 'a NEK is one line, sealpost-nek:<name>:<base64 of 32 bytes>, as "sealpost keys nek <name>" prints it';

/**
 * The content of a new NEK file. Fails with `nek-invalid` when the name has other characters than letters, digits, -
 * and _.
 */
export function generateNek(name: string): string {
  assertName(name);
  return `sealpost-nek:${name}:${randomBytes(BYTES).toString('base64')}\n`;
}

/** Read the text of a NEK. Fails with `nek-invalid`; no part of the key is in the error. */
export function parseNek(text: string): Nek {
  const [, name, base64] = FORMAT.exec(text.replace(/\r?\n$/, '')) ?? [];
  if (name === undefined || base64 === undefined) throw new SealpostError('nek-invalid', `not a NEK: ${HOW}`);
  assertName(name);
  const bytes = Buffer.from(base64, 'base64');
  // Buffer skips characters that are not base64: only a text that encodes back to itself was whole.
  if (bytes.toString('base64') !== base64) {
    throw new SealpostError('nek-invalid', `the key of NEK ${name} is not base64, or is cut off: ${HOW}`);
  }
  if (bytes.length !== BYTES) {
    throw new SealpostError('nek-invalid', `NEK ${name} has ${bytes.length} bytes instead of ${BYTES}: ${HOW}`);
  }
  const nek = { name, fingerprint: fingerprint(bytes), key: createSecretKey(bytes) };
  bytes.fill(0);
  return nek;
}

/**
 * Read a text of one or several NEKs, one per line; lines may be blank. Fails with `nek-invalid` when a line is not a
 * NEK, when two have the same name or the same key, or when there is none; the error names the line.
 */
export function parseNeks(text: string): Nek[] {
  const lines: { nek: Nek; line: number }[] = [];
  for (const [i, content] of text.split(/\r?\n/).entries()) {
    if (/^[ \t]*$/.test(content)) continue;
    const line = i + 1;
    const nek = parseLine(content, line);
    const same = lines.find((l) => l.nek.name === nek.name || l.nek.fingerprint === nek.fingerprint);
    if (same !== undefined) {
      const what = same.nek.fingerprint === nek.fingerprint ? 'the key of NEK' : 'another NEK of the name';
      throw new SealpostError(
        'nek-invalid',
        `line ${line} has ${what} ${same.nek.name} of line ${same.line}: keep one`,
      );
    }
    lines.push({ nek, line });
  }
  if (lines.length === 0) throw new SealpostError('nek-invalid', `there is no NEK: ${HOW}`);
  return lines.map((l) => l.nek);
}

function parseLine(content: string, line: number): Nek {
  try {
    return parseNek(content);
  } catch (error) {
    throw error instanceof SealpostError ? new SealpostError(error.code, `line ${line}: ${error.message}`) : error;
  }
}

/** The NEK with a fingerprint, which alone identifies it: a name may be used twice in the course of years. */
export function findNek(neks: readonly Nek[], fingerprint: string): Nek | undefined {
  return neks.find((nek) => nek.fingerprint === fingerprint);
}

/** `edge (0123456789abcdef)`: a NEK for people. */
export function describeNek(nek: { name: string; fingerprint: string }): string {
  return `${nek.name} (${nek.fingerprint})`;
}

/** `edge (0123456789abcdef), old (fedcba9876543210)`, or `none`. */
export function describeNeks(neks: readonly { name: string; fingerprint: string }[]): string {
  return neks.length === 0 ? 'none' : neks.map(describeNek).join(', ');
}

function assertName(name: string): void {
  if (NAME.test(name)) return;
  throw new SealpostError(
    'nek-invalid',
    `"${name}" is not a name for a NEK: use up to 63 letters, digits, - and _, beginning with a letter or digit`,
  );
}

function fingerprint(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest().subarray(0, 8).toString('hex');
}
