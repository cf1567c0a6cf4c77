import type { SessionFacts } from '../contract.ts';
import type { PolicyCheck } from '../facts.ts';
import type { RelayRules } from '../relay/relay-rules.ts';
import { goOn } from '../verdict.ts';
import { resends } from './author.ts';
import { isSubmitted } from './submission-fields.ts';

/**
 * Whether the mail enters the mail system at this server: a user or a trusted host sent it. Only such mail is signed. What
 * a user resends entered it where its author sent it.
 */
export const origin: PolicyCheck<'message'> = (facts, accepted) => {
  const { session, rules } = facts;
  const originating = { ...accepted, originating: true };
  if (resends(facts)) return goOn([`user ${session.user} resends the mail of another author`]);
  if (session.user !== undefined) return goOn([`originates at this server: user ${session.user}`], originating);
  const trusted = rules.trustedHost(session);
  return trusted === undefined
    ? goOn(['comes from outside'])
    : goOn([`originates at this server: client in ${trusted}`], originating);
};

/** Whether somebody outside sent the mail, neither a user nor an internal host: what such mail says of itself is checked. */
export function isIncoming(session: SessionFacts, rules: RelayRules): boolean {
  return !isSubmitted(session) && session.scope === 'external' && rules.trustedHost(session) === undefined;
}
