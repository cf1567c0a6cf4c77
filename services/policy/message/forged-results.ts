import { nearest } from '#shared/address/domains.ts';
import type { HeaderField } from '#shared/mail/header.ts';
import { claimsToBeOurs } from '../authenticity/authserv-id.ts';
import type { PolicyCheck } from '../facts.ts';
import { goOn } from '../verdict.ts';
import { headerSoFar, tooLargeForBus } from './header.ts';

/** Far more than a message collects on its way; of one with more, none is read and none stays. */
const MOST_FIELDS = 500;

/**
 * Authentication-Results fields that claim to be ours are removed (RFC 8601 §5), unless an internal host sent the mail,
 * which may be another node. Ours: the name in the fields of this node, its host name, and all in local domains, as the
 * other nodes are.
 */
export const forgedResults: PolicyCheck<'message'> = (facts, accepted) => {
  const { session, rules, authservId, hostname } = facts;
  const isInternal = session.scope === 'internal' || rules.trustedHost(session) !== undefined;
  if (isInternal && session.user === undefined) return goOn();
  const results = facts.fields.get('authentication-results');
  if (results === undefined) return goOn();
  const isTooMany = results.length > MOST_FIELDS;
  const { fields, rest } = headerSoFar(facts, accepted);
  const isOurs = (domain: string): boolean =>
    nearest(domain, (name) => name === authservId || name === hostname || rules.isLocal(name) || undefined) === true;
  const isForged = (field: HeaderField) => isTooMany || claimsToBeOurs(field, isOurs);
  const kept = fields.filter((field) => field.name !== 'authentication-results' || !isForged(field));
  const removed = fields.length - kept.length;
  if (removed === 0) return goOn();
  const header = kept.map(({ raw }) => raw).join('') + rest;
  const why = [`Authentication-Results that claim to be ours removed: ${removed}`];
  return tooLargeForBus(header, facts) ?? goOn(why, { ...accepted, header });
};
