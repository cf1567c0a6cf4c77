import { canonicalAddress, mailboxKey, withoutTag } from '#shared/address/canonical-address.ts';
import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { goOn } from '../verdict.ts';

/**
 * `authenticity.junk.except` (DOMINO I6): who gets mail in the mailbox though the message is marked as junk, whatever marks
 * it. That is each recipient that the list names, all to whom a named alias or group leads, and each member of a named group.
 */
export const neverJunk: PolicyCheck<'recipient'> = (facts, accepted) => {
  if (accepted === undefined) return goOn();
  const named = entryFor(facts, facts.named) ?? entryFor(facts, facts.address);
  const members = named === undefined ? membersOf(facts) : new Map<string, string>();
  const entries = new Set<string>();
  const recipients = accepted.recipients.map((recipient) => {
    const address = canonicalAddress(recipient.address);
    const bare = withoutTag(address, facts.rewriting.delimiter) ?? address;
    const entry =
      named ?? entryFor(facts, address) ?? members.get(mailboxKey(address)) ?? members.get(mailboxKey(bare));
    if (entry === undefined) return recipient;
    entries.add(entry);
    return { ...recipient, neverJunk: true };
  });
  if (entries.size === 0) return goOn();
  return goOn([`never junk: authenticity.junk.except has ${[...entries].join(', ')}`], { recipients });
};

function entryFor({ incoming, rewriting }: PolicyFacts['recipient'], address: string): string | undefined {
  return incoming.exceptFromJunk(address, rewriting.delimiter);
}

/** The members of the groups in the list, and the entry that each is a member of. */
function membersOf({ incoming, directory }: PolicyFacts['recipient']): Map<string, string> {
  const members = new Map<string, string>();
  for (const entry of incoming.exceptGroups) {
    const found = directory?.resolve(canonicalAddress(entry));
    if (found?.kind !== 'group') continue;
    for (const address of found.addresses) members.set(mailboxKey(canonicalAddress(address)), entry);
  }
  return members;
}
