import type { AddressPlace } from '#cluster/config/schema/rewrite.ts';
import { printable } from '#shared/text.ts';
import type { Directory } from '../directory/directory.ts';
import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { defer, goOn, reject } from '../verdict.ts';

/** The sender must be an address of the authenticated user (DOMINO A4). */
export const ownAddress: PolicyCheck<'sender'> = (facts) => {
  const { session, reversePath, directory } = facts;
  const { user } = session;
  if (user === undefined) return goOn(['not authenticated: any sender']);
  if (reversePath === '') return goOn(['null reverse-path: notifications have no sender (RFC 5321 §4.5.5)']);
  if (directory === undefined) {
    return defer(451, '4.3.0', 'Sender cannot be checked now, please try again later', [
      'the directory cannot be read',
    ]);
  }
  if (isOwnAddress(facts, user, reversePath, 'envelope-sender')) {
    return goOn([`${printable(reversePath)} is an address of user ${user}`]);
  }
  const text = notPermitted(reversePath, user, directory);
  return reject(553, '5.7.1', text, [text]);
};

/**
 * Whether a user may send as an address: as it is written, or as rewriting makes it at a place; undefined where no map
 * reaches it, so that it leaves as it is written.
 */
export function isOwnAddress(
  { rewriting, directory }: Pick<PolicyFacts['sender'], 'rewriting' | 'directory'>,
  user: string,
  address: string,
  place: AddressPlace | undefined,
): boolean {
  if (directory?.permits(user, address)) return true;
  return rewriting.identities(address, place, directory).some((other) => directory?.permits(user, other));
}

/**
 * The sentence of a refusal: the address that was claimed and those of the user. Cut so that the reply line stays
 * within 512 octets (RFC 5321 §4.5.3.1.5).
 */
export function notPermitted(address: string, user: string, directory: Directory | null): string {
  const own = directory?.user(user)?.addresses ?? [];
  const more = own.length > 3 ? ` and ${own.length - 3} more` : '';
  const shown = own.length === 0 ? 'none' : `${printable(own.slice(0, 3).join(', '), 160)}${more}`;
  return `Sender address ${printable(address, 160)} is not permitted for user ${printable(user, 64)}, whose addresses are: ${shown}`;
}
