import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Role } from '../contract.ts';

/** Who asks, and what they may see. */

/** Somebody who is signed in, or a program with a token; as the configuration has them now. */
export type Person = {
  /** What the audit log calls them: a user, a token, or who asked for a link. */
  name: string;
  role: Role;
  /** Of a domain administrator: the domains that are all that she sees and changes. */
  domains?: readonly string[] | undefined;
};

export function mayActAs({ role }: Person, wanted: Role): boolean {
  return wanted === 'viewer' || role === 'operator';
}

/**
 * What of the cluster a person sees. A route that answers domain administrators (`domains: 'filtered'`) shows nothing that
 * these functions do not let through. A subdomain is a domain of its own.
 */
export class Bounds {
  readonly #domains: ReadonlySet<string> | undefined;

  constructor({ domains }: Pick<Person, 'domains'>) {
    this.#domains = domains && new Set(domains.map(normalizeDomain));
  }

  /** Undefined: every domain. */
  get domains(): string[] | undefined {
    return this.#domains && [...this.#domains];
  }

  has(domain: string): boolean {
    return this.#domains === undefined || this.#domains.has(normalizeDomain(domain));
  }

  /** A mail address; the null reverse-path belongs to no domain. */
  hasAddress(address: string): boolean {
    return this.has(domainOf(address));
  }

  /** Fails with `forbidden`: the request names the domain, so that it exists is no secret of ours. */
  demand(domain: string): void {
    if (this.has(domain)) return;
    throw new SealpostError(
      'forbidden',
      `${normalizeDomain(domain)} is not a domain of yours: ask an operator of all domains`,
    );
  }
}
