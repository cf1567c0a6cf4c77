import { nearest } from '#shared/address/domains.ts';
import { claimsToBeOurs } from '../authenticity/authserv-id.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';
import { headerSoFar, tooLargeForBus } from './header.ts';

/**
 * Authentication-Results fields that claim to be ours are removed (RFC 8601 §5), unless an internal host sent the mail,
 * which may be another node. Ours: the name in the fields of this node, its host name, and all in local domains, as the
 * other nodes are.
 */
export const forgedResults: PolicyCheck<'message'> = (facts, accepted) => {
  const { session, rules, authservId, hostname } = facts;
  const isInternal = session.scope === 'internal' || rules.trustedHost(session) !== undefined;
  if (isInternal && session.user === undefined) return goOn();
  if (!facts.fields.has('authentication-results')) return goOn();
  const { fields, rest } = headerSoFar(facts, accepted);
  const isOurs = (domain: string): boolean =>
    nearest(domain, (name) => name === authservId || name === hostname || rules.isLocal(name) || undefined) === true;
  const kept = fields.filter((field) => field.name !== 'authentication-results' || !claimsToBeOurs(field, isOurs));
  const removed = fields.length - kept.length;
  if (removed === 0) return goOn();
  const header = kept.map(({ raw }) => raw).join('') + rest;
  const why = [`Authentication-Results that claim to be ours removed: ${removed}`];
  return tooLargeForBus(header, facts) ?? goOn(why, { ...accepted, header });
};
