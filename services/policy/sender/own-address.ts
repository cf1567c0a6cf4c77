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

type Addresses = Pick<PolicyFacts['sender'], 'rewriting' | 'directory'>;

/**
 * Whether a user may send as an address. What rewriting makes of it at `place` counts, because it is what leaves; and the
 * address as it is written, where that is one of the user's by name. Of a whole domain it does not: a map would give the
 * user the addresses of another one. `place` undefined: no map reaches it, it leaves as it is written.
 */
export function isOwnAddress(
  facts: Addresses,
  user: string,
  address: string,
  place: AddressPlace | undefined,
): boolean {
  const { rewriting, directory } = facts;
  const leaves = leavesAs(facts, address, place);
  return (
    rewriting.namesOf(leaves).some((name) => directory?.permits(user, name)) ||
    rewriting.namesOf(address).some((name) => directory?.owns(user, name))
  );
}

/** Whether a user whose own address is in Sender may write for an author (`on-behalf-of`): by the same rule. */
export function mayWriteFor(facts: Addresses, user: string, address: string, place: AddressPlace | undefined): boolean {
  const { directory } = facts;
  if (!directory) return false;
  const leaves = leavesAs(facts, address, place);
  return directory.permitsOnBehalfOf(user, leaves) || directory.namesOnBehalfOf(user, address);
}

function leavesAs({ rewriting, directory }: Addresses, address: string, place: AddressPlace | undefined): string {
  return (place && rewriting.canonical(address, place, directory)) ?? address;
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
