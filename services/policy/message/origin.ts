import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';

/** Whether the mail enters the mail system at this server: a user or a trusted host sent it. Only such mail is signed. */
export const origin: PolicyCheck<'message'> = ({ session, rules }, accepted) => {
  const originating = { ...accepted, originating: true };
  if (session.user !== undefined) return goOn([`originates at this server: user ${session.user}`], originating);
  const trusted = rules.trustedHost(session);
  return trusted === undefined
    ? goOn(['comes from outside'])
    : goOn([`originates at this server: client in relay.allow.hosts (${trusted})`], originating);
};
