import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf, localPartOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import type { EnvelopeRecipient } from '#shared/envelope.ts';
import type { SessionFacts } from '../contract.ts';
import type { PolicyFacts } from '../facts.ts';

type RecipientRequest = { facts: SessionFacts; reversePath: string; recipient: EnvelopeRecipient };

type RecipientDeps = Pick<PolicyFacts['recipient'], 'rules' | 'directory'> & { config: Pick<Config, 'node'> };

export function recipientFacts(
  { facts: session, reversePath, recipient }: RecipientRequest,
  { rules, directory, config }: RecipientDeps,
): PolicyFacts['recipient'] {
  const bare = !recipient.address.includes('@');
  const isPostmaster = recipient.address.toLowerCase() === 'postmaster';
  const written = isPostmaster ? `${recipient.address}@${rules.firstLocal ?? config.node.hostname}` : recipient.address;
  const address = canonicalAddress(written);
  const domain = domainOf(address);
  const ours = bare || rules.isLocal(domain);
  const local = localPartOf(address);
  return { session, reversePath, recipient, address, domain, local, ours, rules, directory };
}
