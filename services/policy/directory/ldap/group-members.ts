import { canonicalAddress } from '#shared/address/canonical-address.ts';
import { isMailbox } from '#shared/directory/values.ts';
import type { Group } from '../directory.ts';
import { type LdapEntry, MOST_MEMBERS } from './entry.ts';

/**
 * The members of a group: what is named by a DN is read, groups in it too, each once, so that a circle ends. Addresses and
 * names of users stay as they are. More than `MOST_MEMBERS`, counted with the groups on the way, are too many.
 */

export type Expanded = {
  group: Group;
  /** Members that are users with an address here. */
  users: readonly LdapEntry[];
  /** DNs of members that are not there, or have no address. */
  lost: readonly string[];
};

/** What is asked concurrently for one question; `LdapServers` limits it further. */
export const BATCH = 100;

export async function expandGroup(
  top: LdapEntry,
  atDn: (dn: string) => Promise<LdapEntry | undefined>,
): Promise<Expanded> {
  const name = top.dn;
  const members = new Set<string>();
  const users: LdapEntry[] = [];
  const lost: string[] = [];
  const seen = new Set([dnKey(top.dn)]);
  const work = [...(top.members ?? [])];
  while (work.length > 0) {
    if (work.length > MOST_MEMBERS || members.size > MOST_MEMBERS || seen.size > MOST_MEMBERS) {
      const problem = `leads to more than ${MOST_MEMBERS} addresses: use a mailing list`;
      return { group: { name, members: [], problem }, users: [], lost };
    }
    const batch = work.splice(0, BATCH);
    const entries = await Promise.all(batch.map((member) => (isDn(member) ? atDn(member) : undefined)));
    for (const [i, member] of batch.entries()) {
      if (!isDn(member)) {
        members.add(canonicalAddress(member));
        continue;
      }
      const entry = entries[i];
      if (entry !== undefined && seen.has(dnKey(entry.dn))) continue;
      if (entry !== undefined) seen.add(dnKey(entry.dn));
      if (entry?.members !== undefined) work.push(...entry.members);
      else if (entry !== undefined && entry.targets.length > 0) for (const target of entry.targets) members.add(target);
      else {
        const address = entry?.addresses[0] ?? addressInDn(member);
        if (address === undefined) lost.push(member);
        else members.add(address);
        if (entry !== undefined && address !== undefined) users.push(entry);
      }
    }
  }
  // A user may be an alias and keep a copy; a group that names itself has no mailbox.
  for (const address of top.addresses) members.delete(address);
  const problem = members.size === 0 ? 'has no member with an address' : undefined;
  return { group: { name, members: [...members], problem }, users, lost };
}

export const dnKey = (dn: string): string => dn.toLowerCase();

const isDn = (member: string): boolean => !isMailbox(member) && member.includes('=');

/** Domino writes a member of the Internet as `CN=a@b.example`. */
function addressInDn(dn: string): string | undefined {
  const [, address = ''] = /^cn=([^,=]+)$/i.exec(dn) ?? [];
  return isMailbox(address) ? canonicalAddress(address) : undefined;
}
