import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { defer, goOn, reject } from '../verdict.ts';
import { recipientsAt } from './as-named.ts';
import { holdsRoute, mayRoute, refuseRoute } from './source-routes.ts';

/** A recipient of a local domain: does it exist, and where does its mail go? The checks after it can still refuse it. */
export const knownMailbox: PolicyCheck<'recipient'> = (facts, accepted) => {
  const { ours, address, local, directory } = facts;
  if (!ours || accepted !== undefined) return goOn();
  if (directory === undefined) {
    return defer(451, '4.3.0', 'Recipient cannot be checked now, please try again later', [
      `the directory cannot be read${facts.unread === undefined ? '' : ` (${facts.unread})`}`,
    ]);
  }
  const found = directory?.resolve(address);
  const trace = directory?.trace(address) ?? [];
  if (found?.kind === 'endless') {
    return defer(451, '4.2.4', 'Mailing list expansion problem', [...trace, `the list at ${address} ${found.problem}`]);
  }
  if (found !== undefined && found.kind !== 'ambiguous') {
    // A tag is the sender's own text, and goes on to the next mail system.
    if (found.kind === 'tagged' && holdsRoute(tagOf(local, facts.rewriting.delimiter)) && !mayRoute(facts))
      return refuseRoute(facts);
    const isList = found.kind === 'alias' || found.kind === 'group';
    const step = isList ? `${found.kind} to ${found.addresses.length} addresses` : 'mailbox of a user';
    return goOn([...trace, step], { recipients: recipientsAt(inLocalDomains(found.addresses, facts), facts) });
  }
  if (local.toLowerCase() === 'postmaster') {
    return goOn(['postmaster is always accepted'], { recipients: recipientsAt([address], facts) });
  }
  if (found?.kind === 'ambiguous') {
    // RFC 3463 §3.2.
    const why = [...trace, `${address} belongs to several users or groups`];
    return reject(550, '5.1.4', 'Recipient address is ambiguous', why);
  }
  if (directory?.namesRecipients) {
    return reject(550, '5.1.1', 'No such user here', [...trace, 'neither a mailbox nor an alias of the directory']);
  }
  return goOn(['no recipients are in a directory: every recipient of a local domain is accepted']);
};

/** Members that are written with another name of a local domain, where they are known under that, each once. */
function inLocalDomains(addresses: readonly string[], { rewriting, directory }: PolicyFacts['recipient']): string[] {
  const ends = addresses.flatMap((address) => {
    const local = rewriting.inLocalDomain(address);
    return local === address ? [address] : (directory?.resolve(local)?.addresses ?? [local]);
  });
  return [...new Set(ends)];
}

/** `+tag` of a local part that has one. */
function tagOf(local: string, delimiter: string): string {
  return local.slice(local.indexOf(delimiter));
}
