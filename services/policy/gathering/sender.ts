import type { Config } from '#cluster/config/schema/schema.ts';
import type { SessionFacts } from '../contract.ts';
import type { AnyDirectory, AskDirectory } from '../directory/directory.ts';
import type { PolicyFacts } from '../facts.ts';
import type { CheckSources } from './check-sources.ts';
import { nameMatters } from './exemptions.ts';
import { heloFault, senderDomain } from './sender-checks.ts';
import { whenAllKnown } from './when-known.ts';

type SenderRequest = { facts: SessionFacts; reversePath: string; size?: number | undefined };
type SenderDeps = Pick<PolicyFacts['sender'], 'anonymous' | 'rules' | 'rewriting'> & {
  ask: AskDirectory;
  checks: CheckSources;
  config: Pick<Config, 'limits' | 'checks'>;
};

/** Directory and DNS are asked concurrently. */
export function senderFacts(
  request: SenderRequest,
  deps: SenderDeps,
): PolicyFacts['sender'] | Promise<PolicyFacts['sender']> {
  const { reversePath, size } = request;
  const {
    ask,
    anonymous,
    rules,
    rewriting,
    config: { limits },
  } = deps;
  const isOurs = rules.trustedCertificate(request.facts) !== undefined;
  const session: SessionFacts = isOurs ? { ...request.facts, scope: 'internal' } : request.facts;
  const { user } = session;
  const about = user === undefined ? {} : { users: [user], addresses: rewriting.tagged([reversePath]) };
  const helo = heloFault(session, deps.checks);
  return whenAllKnown(
    [ask({ ...about, maps: rewriting.maps }), senderDomain({ facts: session, reversePath }, deps)],
    (directory: AnyDirectory, senderDomain: PolicyFacts['sender']['senderDomain']) => ({
      ...{ session, reversePath, size, limits, anonymous, rules, rewriting, directory },
      ...{ helo, senderDomain, nameMatters: nameMatters(session, deps.checks.exempt, rules) },
    }),
  );
}
