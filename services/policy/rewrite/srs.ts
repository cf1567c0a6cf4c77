import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { domainOf, localPartOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';

/**
 * Sender Rewriting Scheme: a reverse-path of ours for mail of others that we send on, so that the SPF record of their domain
 * does not speak against it. The original address stands in it, signed, and its bounces come back through us.
 *
 *   SRS0=<hash>=<day>=<domain>=<local part>@ours       of an ordinary address
 *   SRS1=<hash>=<domain>=<rest of the SRS0>@ours       of the SRS0 of somebody else, who knows whether it still counts
 *   SRS1=<hash>=<domain>=<rest of the SRS0>@ours       of somebody's SRS1: the same, so that it never grows
 *
 * The form is that of libsrs2, postsrsd and Mail::SRS: the day is two characters of base32, days since 1970 modulo 1024, the
 * hash the start of the Base64 of an HMAC. Case does not count, because servers on the way may not keep that of a local part.
 * What goes into the hash is nobody else's business: here HMAC-SHA-256 over the lower-case text behind it, whose separators
 * say where the domain ends, and six characters instead of four. A forged address would relay mail to its target.
 *
 * The first key signs, all of them are taken: a node that has a new one early does not sign what others cannot check.
 * A local part may become longer than the 64 octets of RFC 5321 §4.5.3.1.1, as it does elsewhere; §4.5.3.1 asks
 * servers to take it.
 */
export type SrsOptions = {
  domain: string;
  keys: readonly [KeyObject, ...KeyObject[]];
  /** Days for which an address counts. */
  days: number;
};

const HASH_CHARACTERS = 6;
const DAY_MS = 86_400_000;
const DAYS = 1024;
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** RFC 5321 §4.5.3.1.3, without the brackets. */
const MAX_ADDRESS = 254;
const DOT_ATOM = /^[^\x00-\x20"(),:;<>@[\\\]\x7f]+$/;

export class Srs {
  readonly #options: SrsOptions;

  constructor(options: SrsOptions) {
    this.#options = options;
  }

  /**
   * The reverse-path for mail of `reversePath`; undefined where there is none for it: it is quoted, a literal, or too
   * long.
   */
  forward(reversePath: string, now: Date): string | undefined {
    const canonical = canonicalAddress(reversePath);
    const local = this.#localPart(localPartOf(canonical), domainOf(canonical), now);
    const address = `${local}@${this.#options.domain}`;
    return DOT_ATOM.test(local) && Buffer.byteLength(address) <= MAX_ADDRESS ? address : undefined;
  }

  #localPart(local: string, domain: string, now: Date): string {
    const [, srs0] = /^SRS0([=+-].+)$/is.exec(local) ?? [];
    if (srs0 !== undefined) return this.#srs1(domain, srs0);
    const [, first, rest] = /^SRS1[=+-][^=]*=([^=]+)=([=+-].+)$/is.exec(local) ?? [];
    if (first !== undefined && rest !== undefined) return this.#srs1(first, rest);
    const day = dayOf(now);
    const text = `${day}=${domain}=${local}`;
    return `SRS0=${this.#hash(text)}=${text}`;
  }

  #srs1(domain: string, rest: string): string {
    return `SRS1=${this.#hash(`${domain}=${rest}`)}=${domain}=${rest}`;
  }

  /** The address that a local part of ours stands for, or why there is none. */
  reverse(local: string, now: Date): { address: string } | { problem: 'forged' | 'expired' } {
    const [, hash = '', day = '', domain = '', user = ''] =
      /^SRS0[=+-]([^=]+)=([A-Z2-7]{2})=([^=]+)=(.+)$/is.exec(local) ?? [];
    if (user !== '') {
      if (!this.#isOurs(hash, `${day}=${domain}=${user}`)) return { problem: 'forged' };
      return this.#isRecent(day, now) ? { address: `${user}@${domain}` } : { problem: 'expired' };
    }
    const [, outer = '', first = '', rest = ''] = /^SRS1[=+-]([^=]+)=([^=]+)=([=+-].+)$/is.exec(local) ?? [];
    return rest !== '' && this.#isOurs(outer, `${first}=${rest}`)
      ? { address: `SRS0${rest}@${first}` }
      : { problem: 'forged' };
  }

  #hash(text: string, key = this.#options.keys[0]): string {
    return createHmac('sha256', key).update(text.toLowerCase()).digest('base64').slice(0, HASH_CHARACTERS);
  }

  #isOurs(hash: string, text: string): boolean {
    const given = Buffer.from(hash.toLowerCase());
    return this.#options.keys.some((key) => {
      const right = Buffer.from(this.#hash(text, key).toLowerCase());
      return given.length === right.length && timingSafeEqual(given, right);
    });
  }

  /** A day ahead is right too: the clock of another node may have passed midnight already. */
  #isRecent(day: string, now: Date): boolean {
    const [high = '', low = ''] = day.toUpperCase();
    const then = BASE32.indexOf(high) * 32 + BASE32.indexOf(low);
    const age = (daysSince1970(now) - then + DAYS) % DAYS;
    return age <= this.#options.days || age === DAYS - 1;
  }
}

/** Whether a local part claims to be of this scheme. */
export function isSrs(local: string): boolean {
  return /^SRS[01][=+-]/i.test(local);
}

const daysSince1970 = (time: Date): number => Math.floor(time.getTime() / DAY_MS) % DAYS;

function dayOf(time: Date): string {
  const days = daysSince1970(time);
  return BASE32.charAt(days >> 5) + BASE32.charAt(days & 31);
}
