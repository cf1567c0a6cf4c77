import { createPublicKey, X509Certificate } from 'node:crypto';

/** TLSA records (RFC 6698 §2.1), and which of them count for SMTP. */

/**
 * - usage: 2 is DANE-TA, the authority that the certificate comes from; 3 is DANE-EE, the certificate itself. 0 and 1 need
 *   public authorities besides, and are not for SMTP (RFC 7672 §3.1.3).
 * - selector: what is compared. 0: the certificate, 1: its public key
 * - matching: how `data` names it. 0: as it is, 1: by SHA-256, 2: by SHA-512
 */
export type TlsaRecord = { usage: number; selector: number; matching: number; data: Buffer };

/** Records that are looked at: each may cost a check of a signature for each certificate. Domains have two or four. */
const MOST_RECORDS = 32;
const DIGEST_BYTES: Record<number, number> = { 1: 32, 2: 64 };

export function parseTlsa(rdata: Buffer): TlsaRecord {
  const [usage = -1, selector = -1, matching = -1] = rdata;
  return { usage, selector, matching, data: rdata.subarray(3) };
}

/** The records that count, of all that a host has. */
export function usableRecords(records: readonly TlsaRecord[]): TlsaRecord[] {
  return strongest(records.slice(0, MOST_RECORDS).filter(isUsable));
}

function isUsable(record: TlsaRecord): boolean {
  const { usage, selector, matching, data } = record;
  if ((usage !== 2 && usage !== 3) || (selector !== 0 && selector !== 1)) return false;
  return matching === 0 ? isWhole(record) : data.length === DIGEST_BYTES[matching];
}

/** Whether the data is a certificate or a key. */
function isWhole({ selector, data }: TlsaRecord): boolean {
  try {
    if (selector === 0) new X509Certificate(data);
    else createPublicKey({ key: data, format: 'der', type: 'spki' });
    return true;
  } catch {
    return false;
  }
}

/**
 * Digest agility (RFC 7671 §9): of the digests for one usage and selector only the strongest counts, so that a weaker one
 * beside it opens nothing. What stands there as it is always counts.
 */
function strongest(records: readonly TlsaRecord[]): TlsaRecord[] {
  return records.filter(
    ({ usage, selector, matching }) =>
      matching === 0 ||
      !records.some((other) => other.usage === usage && other.selector === selector && other.matching > matching),
  );
}
