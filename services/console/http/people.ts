import { createHash, timingSafeEqual } from 'node:crypto';
import type { Config } from '#cluster/config/schema/schema.ts';
import { userKey } from '#shared/directory/values.ts';
import type { Person } from '../api/access.ts';

/**
 * How somebody proved who they are. Role and domains come from the configuration at every request, so that a change of it
 * counts immediately, and whoever is not in it any more is signed out.
 */
export type Proof =
  /** `user`: as the entry of `console.people` has it. `names`: all by which the user is known. */
  | { by: 'password' | 'openid'; user: string; names: readonly string[] }
  | { by: 'token'; name: string; digest: Buffer }
  /** From an operator at the command line, for one session. */
  | ({ by: 'link' } & Person);

export function personOf(proof: Proof, { console: section }: Config): Person | undefined {
  if (section === undefined) return undefined;
  switch (proof.by) {
    case 'password':
    case 'openid': {
      const entry = section.people.find(({ user }) => userKey(user) === userKey(proof.user));
      return entry && { name: entry.user, role: entry.role, domains: entry.domains };
    }
    case 'token': {
      const entry = section.tokens.find(({ name }) => name === proof.name);
      if (entry === undefined || !timingSafeEqual(digestOf(entry.token.reveal()), proof.digest)) return undefined;
      return { name: `token ${entry.name}`, role: entry.role, domains: entry.domains };
    }
    case 'link':
      return { name: proof.name, role: proof.role, domains: proof.domains };
  }
}

/** Digests have one length, so that secrets can be compared in constant time. */
export const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

/** The entry of `console.tokens` that a program bears. Every one is compared. */
export function tokenProof(given: string, { console: section }: Config): Proof | undefined {
  const digest = digestOf(given);
  const found = section?.tokens.filter(({ token }) => timingSafeEqual(digestOf(token.reveal()), digest)) ?? [];
  return found[0] && { by: 'token', name: found[0].name, digest };
}

/** The entry of `console.people` for a user who has one of these names. */
export function userProof(
  by: 'password' | 'openid',
  names: readonly string[],
  { console: section }: Config,
): Proof | undefined {
  const keys = names.map(userKey);
  const entry = section?.people.find(({ user }) => keys.includes(userKey(user)));
  return entry && { by, user: entry.user, names: [entry.user, ...names] };
}
