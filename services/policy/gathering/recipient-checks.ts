import type { SessionFacts } from '../contract.ts';
import type { PolicyFacts } from '../facts.ts';
import { namedBy } from '../relay/host-list.ts';
import type { RelayRules } from '../relay/relay-rules.ts';
import type { CheckSources } from './check-sources.ts';
import { BEHIND_GATEWAY, type Exempt, exemption } from './exemptions.ts';

/** The facts for the checks of `checks:` at RCPT; undefined where a check is off. */

type Facts = PolicyFacts['recipient'];
type Recipient = Pick<Facts, 'session' | 'reversePath' | 'address' | 'ours' | 'local'>;

export function listsFound(
  recipient: Recipient,
  { lists, listAnswers, exempt }: CheckSources,
): Facts['dnsLists'] | Promise<Facts['dnsLists']> {
  if (!lists.any) return undefined;
  const { session } = recipient;
  return exemption(session, exempt) ?? withoutChecks(recipient) ?? lists.about(session.client.address, listAnswers);
}

export function attempt(recipient: Recipient, { greylist, undelayed, exempt }: CheckSources): Facts['greylist'] {
  if (!greylist.enabled) return undefined;
  const { session, reversePath, address } = recipient;
  const spared = exemption(session, exempt) ?? withoutChecks(recipient);
  if (spared !== undefined) return spared;
  const client = namedBy(undelayed.clients, session);
  if (client !== undefined) return { exempt: `client is in checks.greylist.clients (${client})` };
  const entry = undelayed.recipients.match(address);
  if (entry !== undefined) return { exempt: `recipient is in checks.greylist.recipients (${entry})` };
  return greylist.look(session.client.address, reversePath, address);
}

/**
 * Ask the DNS lists about a client that has just connected, and do not wait: they will have answered when its first
 * recipient comes.
 */
export function askAhead({ address, kind, gateway }: Client, rules: RelayRules, checks: CheckSources): void {
  const { lists, exempt, listAnswers } = checks;
  if (!lists.any || kind !== 'relay' || gateway) return;
  const client = { client: { address, name: null } };
  const ours = namedBy(exempt, client) ?? rules.internalHost(client) ?? rules.trustedHost(client);
  if (ours === undefined) void lists.about(address, listAnswers);
}

type Client = Pick<SessionFacts, 'kind' | 'gateway'> & { address: string };

/** Whoever is refused must be able to say so to somebody (RFC 5321 §4.5.1). */
function withoutChecks({ session, ours, local }: Recipient): Exempt | undefined {
  if (ours && local.toLowerCase() === 'postmaster') return { exempt: 'postmaster hears everybody' };
  return session.gateway ? BEHIND_GATEWAY : undefined;
}
