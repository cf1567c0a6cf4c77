import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf, localPartOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import type { SessionFacts } from '../contract.ts';
import type { AnyDirectory, AskDirectory } from '../directory/directory.ts';
import type { PolicyFacts } from '../facts.ts';
import type { CheckSources } from './check-sources.ts';
import { nameMatters } from './exemptions.ts';
import { type Group, groupAt } from './group.ts';
import { attempt, listsFound } from './recipient-checks.ts';
import { senderMailbox } from './sender-mailbox.ts';
import { whenAllKnown, whenKnown } from './when-known.ts';

type RecipientRequest = { facts: SessionFacts; reversePath: string; recipient: EnvelopeRecipient };

type Lists = PolicyFacts['recipient']['dnsLists'];
type RecipientDeps = Pick<PolicyFacts['recipient'], 'rules' | 'rewriting' | 'incoming' | 'srs' | 'now'> & {
  ask: AskDirectory;
  /** Why `ask` could not be answered, for administrators. */
  unread?: () => string | undefined;
  checks: CheckSources;
  config: Pick<Config, 'node' | 'directory'>;
};

/** What the recipient becomes comes first; then directory and DNS lists are asked about that concurrently. */
export function recipientFacts(
  request: RecipientRequest,
  deps: RecipientDeps,
): PolicyFacts['recipient'] | Promise<PolicyFacts['recipient']> {
  const { rules, rewriting, ask, config } = deps;
  const { address } = request.recipient;
  const isPostmaster = address.toLowerCase() === 'postmaster';
  const written = isPostmaster ? `${address}@${rules.firstLocal ?? config.node.hostname}` : address;
  const named = canonicalAddress(written);
  if (!rewriting.rewrites('envelope-recipient')) return factsAbout(request, named, named, deps);
  return whenKnown(ask({ maps: rewriting.maps }), (maps: AnyDirectory) =>
    factsAbout(request, named, rewriting.canonical(named, 'envelope-recipient', maps), deps),
  );
}

/** `canonical`: what the canonical maps make of it; undefined where they cannot be read. */
function factsAbout(
  { facts: session, reversePath, recipient }: RecipientRequest,
  named: string,
  canonical: string | undefined,
  deps: RecipientDeps,
): PolicyFacts['recipient'] | Promise<PolicyFacts['recipient']> {
  const { rules, rewriting, incoming, srs, now, ask, checks } = deps;
  const bare = !recipient.address.includes('@');
  const written = canonical === undefined || canonical === named ? named : canonicalAddress(canonical);
  const address = rewriting.inLocalDomain(written);
  const domain = domainOf(address);
  const ours = (bare && written === named) || rules.isLocal(domain);
  const namedOurs = bare || rules.isLocal(domainOf(named));
  const place = { named, namedOurs, address, domain, local: localPartOf(address), ours };
  const rewritten = { mapsUnread: canonical === undefined, rewriting, srs };
  const said = { session, reversePath, recipient, ...place, ...rewritten, rules, incoming, now };
  // Only recipients of our own domains are looked up.
  const known = ask({ addresses: ours ? [address, ...incoming.exceptGroups] : [] });
  const group = whenKnown(known, (directory: AnyDirectory) => groupAt(address, directory, deps));
  return whenAllKnown(
    [known, group, senderMailbox(session, reversePath, deps), listsFound(said, checks)],
    (directory: AnyDirectory, group: Group | 'unknown', senderMailbox: string | undefined, dnsLists: Lists) => ({
      ...{ ...said, senderMailbox, dnsLists, greylist: attempt(said, checks) },
      nameMatters: nameMatters(session, checks.exempt, rules),
      ...(group === 'unknown' ? { directory: undefined } : { directory, group }),
      ...(group === 'unknown' || directory === undefined ? { unread: deps.unread?.() } : {}),
    }),
  );
}
