import type { SessionFacts } from '../contract.ts';
import { type HostList, namedBy } from '../relay/host-list.ts';
import type { RelayRules } from '../relay/relay-rules.ts';

/** Why a client is not checked. */
export type Exempt = { exempt: string };

/** Whether a name, which DNS did not give, might make the client one of ours or exempt it. */
export function nameMatters(session: SessionFacts, hosts: HostList, rules: RelayRules): boolean {
  return session.nameFailed === true && !session.gateway && (hosts.named || rules.nameCouldAllow(session, ''));
}

/** Others come in through its address (services/listener/gateways.ts): it is nobody's. */
export const BEHIND_GATEWAY: Exempt = { exempt: 'other clients come in through this address' };

/** Who is checked although it is one of ours. */
type Also = { authenticated?: boolean; trusted?: boolean };

/**
 * Why the checks of `checks:` do not look at a client: it is one of ours, or `checks.exempt` (`hosts`) names it. undefined:
 * it is to be checked.
 */
export function exemption(session: SessionFacts, hosts: HostList, also: Also = {}): Exempt | undefined {
  const { kind, user, scope } = session;
  if (user !== undefined) return also.authenticated ? undefined : { exempt: `user ${user} is authenticated` };
  if (kind === 'submission') return { exempt: 'client is on a submission listener' };
  if (scope === 'internal') return also.trusted ? undefined : { exempt: 'client is internal' };
  const entry = namedBy(hosts, session);
  return entry === undefined ? undefined : { exempt: `client is in checks.exempt (${entry})` };
}
