import { randomBytes } from 'node:crypto';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Person } from '../api/access.ts';
import { digestOf, type Proof } from './people.ts';

/**
 * Links that sign one browser in: made at the command line, valid once and for ten minutes. The secret stands in the fragment
 * of the address, which browsers send to nobody, so that no log has it.
 */

export const LINK_VALID_MS = 600_000;
const MOST_LINKS = 100;

export class Links {
  /** By the digest of the secret. */
  readonly #links = new BoundedMap<string, { person: Person; until: number }>(MOST_LINKS);

  create(origin: string, person: Person): string {
    const secret = randomBytes(32).toString('base64url');
    this.#links.set(keyOf(secret), { person, until: performance.now() + LINK_VALID_MS });
    return `${origin}/sign-in/link#${secret}`;
  }

  /** Once; undefined where there is no such link any more. */
  redeem(secret: string): Proof | undefined {
    const key = keyOf(secret);
    const link = this.#links.get(key);
    this.#links.delete(key);
    return link === undefined || performance.now() > link.until ? undefined : { by: 'link', ...link.person };
  }
}

const keyOf = (secret: string): string => digestOf(secret).toString('base64url');
