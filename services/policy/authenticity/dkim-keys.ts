import { createPublicKey, type KeyObject } from 'node:crypto';
import {
  getPublicKey,
  type KeyCache,
  type KeyOptions,
  type Lookup,
  type PublicKey,
  toALabel,
} from 'mailauth/lib/tools.js';
import { BoundedMap } from '#shared/bounded-map.ts';
import { errorCode } from '#shared/errors.ts';

/** RFC 8301 §3.2. */
export const LEAST_BITS = 1024;
/**
 * A signature takes the longer to verify the longer modulus and exponent are. No signer uses more; a stranger may publish
 * what takes a hundred times as long.
 */
const MOST_BITS = 8192;
const LARGEST_EXPONENT = 2n ** 32n;

/** Characters of a record; a key of 8192 bits has about 1400. */
const LONGEST_RECORD = 16_384;
/** Those of an answer of the cache, and its entries. */
const LONGEST_KEPT = 2048;
const MOST_KEPT = 1000;

/**
 * Public keys of signatures (RFC 6376 §3.6.1, RFC 8463), by the text of their record: how long that holds is for DNS to
 * say, and what it means does not change.
 */
export class DkimKeys {
  readonly #known = new BoundedMap<string, Promise<PublicKey>>(MOST_KEPT);

  /** For the signatures of one message. */
  asked(lookup: Lookup): KeyCache {
    return {
      resolver: lookup,
      get: (type, name, leastBits, options) => {
        const key = this.#get({ type, name, leastBits, options }, lookup);
        // mailauth asks for the keys of a chain before it waits for any.
        key.catch(() => undefined);
        return key;
      },
    };
  }

  async #get({ type, name, leastBits, options }: Wanted, lookup: Lookup): Promise<PublicKey> {
    const record = textOf(await recordsOf(toALabel(name), lookup));
    if (record.length > LONGEST_RECORD) throw invalid(`key record has ${record.length} characters`);
    const kept = `${options.hashAlgo} ${record}`;
    const known = this.#known.get(kept);
    if (known !== undefined) return known;
    const key = getPublicKey(type, name, leastBits, async () => [record], options).then(usable);
    if (record.length <= LONGEST_KEPT) this.#known.set(kept, key);
    return key;
  }
}

type Wanted = { type: string; name: string; leastBits: number; options: KeyOptions };

/** A name that DNS cannot carry has no key, whenever it is asked for; mailauth would take it for trouble that passes. */
async function recordsOf(name: string, lookup: Lookup): Promise<unknown[]> {
  try {
    return await lookup(name, 'TXT');
  } catch (error) {
    if (errorCode(error) === 'EBADNAME') throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    throw error;
  }
}

/** The first of several records: the signature may be of any (RFC 6376 §3.6.2.2 leaves it open). */
function textOf([record]: unknown[]): string {
  return Array.isArray(record) ? record.join('') : String(record ?? '');
}

/** With the key as an object, which is not parsed again for every signature. */
function usable(found: PublicKey): PublicKey {
  const publicKey: KeyObject = createPublicKey(found.publicKey as string);
  const { modulusLength = 0, publicExponent = 3n } = publicKey.asymmetricKeyDetails ?? {};
  if (modulusLength > MOST_BITS) throw invalid(`key has ${modulusLength} bits`);
  if (publicExponent > LARGEST_EXPONENT) throw invalid('exponent of the key is too large');
  return { ...found, publicKey };
}

/** As mailauth says that a key is not one. */
function invalid(text: string): Error {
  return Object.assign(new Error(text), { code: 'EINVALIDVAL' });
}
