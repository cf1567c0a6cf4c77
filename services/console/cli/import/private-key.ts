import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { open } from 'node:fs/promises';
import { unreadable } from '#cluster/config/secrets.ts';
import { algorithmNameOf, KEY_TYPES, keyTypeOfKey } from '#shared/dkim/algorithms.ts';
import { publicKeyFingerprint, publishedBytes } from '#shared/dkim/public-key.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { KeyAlgorithm } from '#shared/keys/key.ts';
import { decodeText } from './text-file.ts';

/**
 * A private key that another program made, in the forms that DKIM signers read: PEM (PKCS#8, PKCS#1), the same DER on its
 * own or in base64, and what `rspamadm dkim_keygen -t ed25519` writes, base64 of the 32 bytes of an Ed25519 key
 * or of these and its public key. No error holds any part of a key.
 */
export type PrivateKey = {
  privateKey: KeyObject;
  algorithm: KeyAlgorithm;
  /** The p= value, and its fingerprint; see `KeyInfo`. */
  publicKey: string;
  fingerprint: string;
};

/** An RSA key of 16,384 bits has 13 KB. */
const LARGEST_FILE = 64 * 1024;
/** What stands before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410 §10.3). */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const ED25519_BYTES = 32;

/** Read the one private key of a file. Fails with `key-unreadable` or `key-invalid`; the text names the file. */
export async function readPrivateKey(file: string): Promise<PrivateKey> {
  const bytes = await readKeyFile(file);
  const der = isDer(bytes) ? decodeDer(bytes) : undefined;
  return der === undefined ? parsePrivateKey(decodeText(bytes), file) : examine(der, file);
}

async function readKeyFile(file: string): Promise<Buffer> {
  try {
    await using handle = await open(file);
    const buffer = Buffer.alloc(LARGEST_FILE + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read) {
      ({ bytesRead: read } = await handle.read(buffer, length));
    }
    if (length > LARGEST_FILE) throw invalid(file, `is larger than ${LARGEST_FILE / 1024} KB`);
    return buffer.subarray(0, length);
  } catch (error) {
    if (error instanceof SealpostError) throw error;
    throw new SealpostError('key-unreadable', unreadable(file, error));
  }
}

/** Read a private key from its text; `from` says where it stands. Fails with `key-invalid`. */
export function parsePrivateKey(text: string, from: string): PrivateKey {
  return examine(decode(text, from), from);
}

function examine(privateKey: KeyObject, from: string): PrivateKey {
  const algorithm = algorithmOf(privateKey, from);
  const publicKey = createPublicKey(privateKey);
  assertWorks(privateKey, publicKey, from);
  const published = publishedBytes(publicKey);
  return {
    privateKey,
    algorithm,
    publicKey: published.toString('base64'),
    fingerprint: publicKeyFingerprint(published),
  };
}

function decode(text: string, from: string): KeyObject {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: *4,ENCRYPTED/m.test(text)) {
    throw invalid(from, `is encrypted with a password: openssl pkey -in ${from} -out <new file> decrypts it`);
  }
  const labels = [...text.matchAll(/^-----BEGIN ([A-Z0-9 ]+)-----/gm)].map(([, label = '']) => label);
  const privateLabels = labels.filter((label) => label.endsWith('PRIVATE KEY'));
  if (labels.includes('OPENSSH PRIVATE KEY')) throw invalid(from, 'is a key of OpenSSH, not one of DKIM');
  if (privateLabels.length > 1) throw invalid(from, `holds ${privateLabels.length} private keys, and one is needed`);
  try {
    if (privateLabels.length === 1) return createPrivateKey({ key: text, format: 'pem' });
  } catch {
    throw invalid(from, 'is damaged: there is no key between its BEGIN and END lines');
  }
  if (labels.length > 0) throw invalid(from, `holds a ${labels.join(' and a ').toLowerCase()}, not a private key`);
  if (/v=DKIM1|_domainkey/i.test(text)) throw invalid(from, 'holds a DNS record, not a private key');
  return decodeBase64(text.replace(/\s/g, ''), from);
}

function decodeBase64(base64: string, from: string): KeyObject {
  const bytes = Buffer.from(base64, 'base64');
  // Buffer skips what is not base64: only a text that comes back unchanged was whole.
  if (base64 !== '' && bytes.toString('base64') === base64) {
    if (bytes.length === ED25519_BYTES || bytes.length === 2 * ED25519_BYTES) return ed25519Key(bytes, from);
    const key = decodeDer(bytes);
    if (key !== undefined) return key;
  }
  throw invalid(
    from,
    'holds no private key: PEM or DER (PKCS#8 or PKCS#1) is needed, RSA or Ed25519, without a password',
  );
}

/**
 * Whether bytes are one whole SEQUENCE (X.690 §8.1): the tag, and a length that is theirs. Base64 may look so by
 * chance.
 */
function isDer(bytes: Buffer): boolean {
  const [tag, length = 0] = bytes;
  if (tag !== 0x30 || bytes.length < 4) return false;
  if (length < 0x80) return bytes.length === 2 + length;
  const size = length & 0x7f;
  return size >= 1 && size <= 3 && bytes.length === 2 + size + bytes.readUIntBE(2, size);
}

function decodeDer(bytes: Buffer): KeyObject | undefined {
  for (const type of ['pkcs8', 'pkcs1'] as const) {
    try {
      return createPrivateKey({ key: bytes, format: 'der', type });
    } catch {
      // It may be the other form.
    }
  }
  return undefined;
}

function ed25519Key(bytes: Buffer, from: string): KeyObject {
  const der = Buffer.concat([ED25519_PKCS8, bytes.subarray(0, ED25519_BYTES)]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  const publicPart = bytes.subarray(ED25519_BYTES);
  if (publicPart.length > 0 && !publishedBytes(key).equals(publicPart)) {
    throw invalid(from, 'is damaged: its two halves do not belong together');
  }
  return key;
}

function algorithmOf(key: KeyObject, from: string): KeyAlgorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const name = algorithmNameOf(key);
  const algorithm = KeyAlgorithm.options.find((a) => a === name);
  if (algorithm !== undefined) return algorithm;
  if (type === 'rsa') {
    throw invalid(
      from,
      `is an RSA key of ${details?.modulusLength} bits: Sealpost takes 1024, 2048, 3072 and 4096; make a new key with "sealpost keys create"`,
    );
  }
  throw invalid(from, `is a key of type ${type}, and DKIM knows RSA and Ed25519 alone`);
}

/** A key whose parts do not fit together loads, and would be found out only when nobody can verify its signatures. */
function assertWorks(privateKey: KeyObject, publicKey: KeyObject, from: string): void {
  const { digest } = KEY_TYPES[keyTypeOfKey(privateKey)];
  const challenge = randomBytes(32);
  try {
    if (verify(digest, challenge, publicKey, sign(digest, challenge, privateKey))) return;
  } catch (error) {
    throw invalid(from, `cannot sign: ${errorText(error)}`);
  }
  throw invalid(from, 'is damaged: what it signs does not verify');
}

function invalid(from: string, reason: string): SealpostError {
  return new SealpostError('key-invalid', `${from} ${reason}`);
}
