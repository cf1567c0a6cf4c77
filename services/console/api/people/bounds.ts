import { userKey } from '#shared/directory/values.ts';
import { SealpostError } from '#shared/errors.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import type { Asked } from '../route.ts';

/** Which users a domain administrator sees and changes. */

type User = { name: string; addresses: readonly string[]; onBehalfOf: readonly string[] };

/** Those who have addresses in her domains, and none elsewhere. */
export function isHers({ bounds }: Pick<Asked, 'bounds'>, { addresses, onBehalfOf }: Omit<User, 'name'>): boolean {
  if (bounds.domains === undefined) return true;
  return addresses.length > 0 && [...addresses, ...onBehalfOf].every((address) => bounds.hasAddress(address));
}

/** A group without addresses is one of the whole cluster. */
export function isHerGroup(
  { bounds }: Pick<Asked, 'bounds'>,
  { addresses }: { addresses: readonly string[] },
): boolean {
  if (bounds.domains === undefined) return true;
  return addresses.length > 0 && addresses.every((address) => bounds.hasAddress(address));
}

/** Fails with `forbidden` where she may not see this user. */
export function demandSeen({ bounds }: Pick<Asked, 'bounds'>, user: User): void {
  if (isHers({ bounds }, user)) return;
  const text = `user ${user.name} has addresses outside your domains, or none: ask an operator of all domains`;
  throw new SealpostError('forbidden', text);
}

/**
 * Fails with `forbidden` where she may not make or change this user. With the password of somebody who may do more in the
 * console than she, she could sign in as them, so nobody's of `console.people` is hers to set unless they are bounded to
 * domains of hers; a log-in by an address finds the same entry.
 */
export function demandChange({ bounds, config }: Pick<Asked, 'bounds' | 'config'>, user: User): void {
  demandSeen({ bounds }, user);
  if (bounds.domains === undefined) return;
  const keys = [user.name, ...user.addresses].map(userKey);
  const more = config.console?.people.some(
    (person) =>
      keys.includes(userKey(person.user)) &&
      (person.domains === undefined || !person.domains.every((domain) => bounds.has(domain))),
  );
  if (!more) return;
  const text = `${user.name} may do more in the console than you: ask an operator of all domains`;
  throw new SealpostError('forbidden', text);
}

/** The user as the cluster's directory has it. Fails with `not-found`. */
export async function userOf(store: CredentialStore, name: string) {
  const { entry } = await store['entry-show']({ kind: 'user', name });
  if (entry.kind !== 'user') throw new SealpostError('not-found', `there is no user ${name}`);
  return entry;
}
