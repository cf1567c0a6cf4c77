import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import { neighbourhood } from '#shared/address/ip-address.ts';
import type { SessionFacts } from '../contract.ts';
import { type DomainState, domainState } from '../dns/sender-domain.ts';
import type { PolicyFacts } from '../facts.ts';
import type { RelayRules } from '../relay/relay-rules.ts';
import type { CheckSources } from './check-sources.ts';
import { exemption } from './exemptions.ts';
import { whenKnown } from './when-known.ts';

/** The facts for the checks of `checks:` at MAIL; undefined where a check is off. */

type SenderFacts = PolicyFacts['sender'];
type SenderDomainDeps = { rules: RelayRules; checks: CheckSources; config: Pick<Config, 'checks'> };

export function heloFault(session: SessionFacts, { helo, exempt }: CheckSources): SenderFacts['helo'] {
  if (!helo.any) return undefined;
  return exemption(session, exempt) ?? { fault: helo.of(session.client.helo) };
}

export function senderDomain(
  { facts: session, reversePath }: { facts: SessionFacts; reversePath: string },
  { config, rules, checks }: SenderDomainDeps,
): SenderFacts['senderDomain'] | Promise<SenderFacts['senderDomain']> {
  const { enabled, authenticated, trusted, timeout, 'on-trouble': onTrouble } = config.checks['sender-domain'];
  if (!enabled) return undefined;
  const also = { authenticated: authenticated === 'checked', trusted: trusted === 'checked' };
  const domain = domainOf(canonicalAddress(reversePath));
  const spared = exemption(session, checks.exempt, also) ?? withoutDns(reversePath, domain, rules);
  if (spared !== undefined) return spared;
  // Behind the gateway of a container network may be anybody.
  const network = session.gateway ? undefined : neighbourhood(session.client.address);
  return whenKnown(domainState(checks.senderDomains, { domain, network }, timeout), (state: DomainState) => {
    if (state.kind !== 'trouble') return state;
    checks.warn('sender-domain', { domain, error: state.error }, 'domain of a sender cannot be looked up');
    return { ...state, onTrouble };
  });
}

/** Why DNS is not asked about a reverse-path. */
function withoutDns(reversePath: string, domain: string, rules: RelayRules): { exempt: string } | undefined {
  if (reversePath === '') return { exempt: 'null reverse-path' };
  if (domain.startsWith('[')) return { exempt: 'address literal' };
  return rules.isLocal(domain) ? { exempt: `${domain} is local` } : undefined;
}
