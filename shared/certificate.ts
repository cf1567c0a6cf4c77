import { createHash } from 'node:crypto';

/**
 * What node:crypto does not tell of a certificate, read from its bytes (RFC 5280 §4.1, DER): its public key exactly as it
 * stands there, which a TLSA record is the digest of, and the extensions that must be understood.
 *
 *   certificate   SEQUENCE { tbs, algorithm, signature }
 *   tbs           SEQUENCE { [0] version?, serial, algorithm, issuer, validity, subject, key, …, [3] extensions? }
 *   extension     SEQUENCE { id, BOOLEAN critical?, OCTET STRING }
 */

type Element = { tag: number; content: Buffer; whole: Buffer };

const BOOLEAN = 0x01;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
/** Place of the key among the elements from the serial number on. */
const KEY = 5;

/** The SubjectPublicKeyInfo, and the ids of critical extensions, in hex. Fails with `RangeError` on other bytes. */
export function readCertificate(raw: Buffer): { key: Buffer; critical: string[] } {
  const [certificate] = elements(raw);
  const [tbs] = elements(certificate?.content);
  const all = elements(tbs?.content);
  const key = all[all[0]?.tag === VERSION ? KEY + 1 : KEY];
  if (key === undefined) throw new RangeError('the certificate has no key');
  const [extensions] = elements(all.find(({ tag }) => tag === EXTENSIONS)?.content);
  const critical = elements(extensions?.content).flatMap(({ content }) => {
    const [id, flag] = elements(content);
    return flag?.tag === BOOLEAN && flag.content[0] !== 0 && id !== undefined ? [id.content.toString('hex')] : [];
  });
  return { key: key.whole, critical };
}

/** SHA-256 of the public key in hex, as TLSA records 3 1 1 have it (RFC 6698 §2.1). Fails like `readCertificate`. */
export function keyDigest(raw: Buffer): string {
  return createHash('sha256').update(readCertificate(raw).key).digest('hex');
}

/**
 * The elements that stand one after the other in these bytes. A length has one form in DER (X.690 §10.1); libraries read
 * others too, and whoever makes such a certificate could have this reader see another key in it than they do.
 */
function elements(bytes: Buffer = Buffer.alloc(0)): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes.readUInt8(at);
    const short = bytes.readUInt8(at + 1);
    // A long length: how many bytes it has, then these.
    const size = short < 0x80 ? 0 : short - 0x80;
    if (short === 0x80 || size > 4) throw new RangeError('a length is not as DER has it');
    const length = size === 0 ? short : bytes.readUIntBE(at + 2, size);
    if (size > 0 && (length < 0x80 || length < 2 ** (8 * (size - 1))))
      throw new RangeError('a length is not as DER has it');
    const start = at + 2 + size;
    if (start + length > bytes.length) throw new RangeError('an element ends after the bytes that it is in');
    found.push({ tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(at, start + length) });
    at = start + length;
  }
  return found;
}
