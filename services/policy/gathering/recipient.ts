import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf, localPartOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import type { EnvelopeRecipient } from '#shared/envelope.ts';
import type { SessionFacts } from '../contract.ts';
import type { AskDirectory } from '../directory/directory.ts';
import type { PolicyFacts } from '../facts.ts';
import type { CheckSources } from './check-sources.ts';
import { listsFound } from './recipient-checks.ts';
import { whenKnown } from './when-known.ts';

type RecipientRequest = { facts: SessionFacts; reversePath: string; recipient: EnvelopeRecipient };

type RecipientDeps = Pick<PolicyFacts['recipient'], 'rules'> & {
  ask: AskDirectory;
  checks: CheckSources;
  config: Pick<Config, 'node'>;
};

/** Directory and DNS lists are asked concurrently. */
export function recipientFacts(
  { facts: session, reversePath, recipient }: RecipientRequest,
  { rules, ask, checks, config }: RecipientDeps,
): PolicyFacts['recipient'] | Promise<PolicyFacts['recipient']> {
  const bare = !recipient.address.includes('@');
  const isPostmaster = recipient.address.toLowerCase() === 'postmaster';
  const written = isPostmaster ? `${recipient.address}@${rules.firstLocal ?? config.node.hostname}` : recipient.address;
  const address = canonicalAddress(written);
  const domain = domainOf(address);
  const ours = bare || rules.isLocal(domain);
  const local = localPartOf(address);
  const said = { session, reversePath, recipient, address, domain, local, ours, rules };
  const found = listsFound(said, checks);
  // Only recipients of our own domains are looked up.
  return whenKnown(ask({ addresses: ours ? [address] : [] }), (directory) =>
    whenKnown(found, (dnsLists) => ({ ...said, directory, dnsLists })),
  );
}
