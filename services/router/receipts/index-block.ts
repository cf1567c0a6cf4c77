/**
 * The form of a record of the index (search-index.ts), inside its seal:
 *
 *   4 bytes    how long the ids are
 *   …          queue ids in their order, with commas between them
 *   5 bytes each, as numbers in their order: 3 bytes of the hash of a term, 2 bytes of the place of an id that has it
 *
 * A term whose hash is that of another one finds a message too many, once in thousands of records: the messages that are
 * found are read anyway, and looked at again. Pure.
 */

/** By what a message is found: the hashes of its terms. */
export type Entry = { id: string; terms: readonly number[] };

/** In place of the terms of a message that cannot be read: every search finds it, and says that it is damaged. */
export const UNKNOWN = 0;

const POSTING_BYTES = 5;
const HEAD_BYTES = 4;

/** Of a block. */
export const MOST_ENTRIES = 0x1_00_00;
const PLACES = MOST_ENTRIES;

/** FNV-1a, folded to 24 bits. */
export function hashOf(term: string): number {
  let hash = 0x81_1c_9d_c5;
  for (let n = 0; n < term.length; n++) hash = Math.imul(hash ^ term.charCodeAt(n), 0x01_00_01_93);
  return (hash >>> 24) ^ (hash & 0xff_ff_ff);
}

/** At most `MOST_ENTRIES`, in the order of their ids. */
export function encodeBlock(entries: readonly Entry[]): Buffer {
  const postings = new Float64Array(entries.reduce((sum, { terms }) => sum + terms.length, 0));
  let count = 0;
  for (const [place, { terms }] of entries.entries())
    for (const hash of terms) postings[count++] = hash * PLACES + place;
  const ids = Buffer.from(entries.map(({ id }) => id).join(','), 'latin1');
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + ids.length + postings.length * POSTING_BYTES);
  bytes.writeUInt32BE(ids.length);
  bytes.set(ids, HEAD_BYTES);
  let at = HEAD_BYTES + ids.length;
  for (const posting of postings.sort()) at = bytes.writeUIntBE(posting, at, POSTING_BYTES);
  return bytes;
}

/** The ids that have one of the terms of each list. */
export function idsInBlock(bytes: Buffer, wanted: readonly (readonly number[])[]): string[] {
  const idBytes = bytes.readUInt32BE();
  const postings = new Postings(bytes.subarray(HEAD_BYTES + idBytes));
  let places: Set<number> | undefined;
  for (const hashes of wanted) {
    const some = new Set(hashes.flatMap((hash) => postings.placesOf(hash)));
    places = places?.intersection(some) ?? some;
    if (places.size === 0) return [];
  }
  const ids = bytes.toString('latin1', HEAD_BYTES, HEAD_BYTES + idBytes).split(',');
  return [...(places ?? [])].flatMap((place) => ids[place] ?? []);
}

class Postings {
  readonly #bytes: Buffer;
  readonly #count: number;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#count = Math.floor(bytes.length / POSTING_BYTES);
  }

  placesOf(hash: number): number[] {
    const places: number[] = [];
    for (let n = this.#first(hash * PLACES); n < this.#count; n++) {
      const posting = this.#at(n);
      if (posting >= (hash + 1) * PLACES) break;
      places.push(posting % PLACES);
    }
    return places;
  }

  /** The place of the first posting that is not less. */
  #first(posting: number): number {
    let [low, high] = [0, this.#count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#at(middle) < posting) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #at(n: number): number {
    return this.#bytes.readUIntBE(n * POSTING_BYTES, POSTING_BYTES);
  }
}
