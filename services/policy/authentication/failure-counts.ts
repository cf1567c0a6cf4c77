import { isInNetwork, parseNetwork } from '#shared/address/ip-address.ts';
import { printable } from '#shared/text.ts';

/**
 * What failed log-ins are counted by: a user from a network, a network, a user. The key of a count begins with the network,
 * or `*`, so that no name that a client makes up is the key of another count.
 */

export type Scope =
  | { user: string; network: string }
  | { user: string; network?: undefined }
  | { user?: undefined; network: string };

/** `user` is as `userKey` makes it, `network` as `neighbourhood` does. */
export function failureKey({ user, network }: Scope): `failures ${string}` {
  return user === undefined ? `failures from ${network}` : `failures of ${network ?? '*'} ${user}`;
}

/** Undefined where it is the key of something else. */
export function parseFailureKey(key: string): Scope | undefined {
  const [, ofNetwork, user, network = ''] = /^failures (?:of (\S+) (.*)|from (\S+))$/s.exec(key) ?? [];
  if (user !== undefined && ofNetwork === '*') return { user };
  if (parseNetwork(ofNetwork ?? network) === undefined) return undefined;
  return user === undefined ? { network } : { user, network: ofNetwork ?? '' };
}

/** The name of a limit in `authentication.limits`. */
export function limitName({ user, network }: Scope): 'user' | 'network' | 'user-from-network' {
  if (user === undefined) return 'network';
  return network === undefined ? 'user' : 'user-from-network';
}

/** Whose failures: "of user alice from 192.0.2.0/24". */
export function scopeText({ user, network }: Scope): string {
  const words = [
    user === undefined ? [] : `of user ${printable(user)}`,
    network === undefined ? [] : `from ${network}`,
  ];
  return words.flat().join(' ');
}

/** Whether one of two networks, or addresses, is part of the other. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [parseNetwork(one), parseNetwork(other)];
  return a !== undefined && b !== undefined && (isInNetwork(a[0], b) || isInNetwork(b[0], a));
}
