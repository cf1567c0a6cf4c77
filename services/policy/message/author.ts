import type { AddressPlace } from '#cluster/config/schema/rewrite.ts';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { type Authors, authorsOf } from '#shared/address/authors.ts';
import type { PolicyCheck, PolicyFacts } from '../facts.ts';
import { isOwnAddress, mayWriteFor, notPermitted } from '../sender/own-address.ts';
import { defer, goOn, reject } from '../verdict.ts';
import { placeOf } from './canonical-header.ts';
import { isSubmitted } from './submission-fields.ts';

type MessageStep = ReturnType<PolicyCheck<'message'>>;

/**
 * One From field (RFC 5322 §3.6). For a user (DOMINO A4):
 *
 * - Every author that a reader could see in From is permitted: an address of the user, or one that the user may write
 *   on behalf of, where Sender is an address of the user.
 * - Sender, where there is one, is an address of the user.
 * - Or the user resends the mail of somebody else (`resends`).
 */
export const author: PolicyCheck<'message'> = (facts) => {
  const { session, fields, directory } = facts;
  const { user } = session;
  const from = fields.get('from') ?? [];
  if (from.length > 1) return malformed(`${from.length} From fields`, 'The message has more than one From field');
  if (isSubmitted(session) && from.length === 0) return malformed('no From field', 'The message has no From field');
  if (user === undefined) return goOn();
  if (directory === undefined) {
    return defer(451, '4.3.0', 'Author cannot be checked now, please try again later', [
      'the directory cannot be read',
    ]);
  }
  if (directory?.permitsAny(user)) return goOn([`user ${user} may write as anybody`]);
  if (resends(facts)) return goOn([`Resent-From is an address of user ${user}`]);
  return ownAuthor(facts, user);
};

/**
 * Whether the user resends the mail of somebody else (RFC 5322 §3.6.6): Resent-From is the user's address, From is not.
 * It is not signed for the author's domain, which it left where the author sent it. An author of a local domain cannot be
 * resent by others: readers there rely on this server, and few see the Resent- fields. So one that can be read in different
 * ways is nobody's to resend.
 */
export function resends(facts: PolicyFacts['message']): boolean {
  const { fields, directory, rules } = facts;
  const { user } = facts.session;
  const [resentFrom] = fields.get('resent-from') ?? [];
  const [from] = fields.get('from') ?? [];
  if (user === undefined || !directory || resentFrom === undefined || from === undefined) return false;
  if (directory.permitsAny(user)) return false;
  const isOwn = (address: string, place?: AddressPlace): boolean => isOwnAddress(facts, user, address, place);
  const areOwn = ({ addresses, problem }: Authors, place?: AddressPlace): boolean =>
    problem === undefined && addresses.length > 0 && addresses.every((address) => isOwn(address, place));
  const isLocal = (address: string): boolean => rules.isLocal(normalizeDomain(domainOf(address)));
  const authors = authorsOf(from);
  if (authors.problem !== undefined || areOwn(authors, placeOf(facts, from))) return false;
  // What is resent is not rewritten.
  return areOwn(authorsOf(resentFrom)) && authors.addresses.every((address) => isOwn(address) || !isLocal(address));
}

function ownAuthor(facts: PolicyFacts['message'], user: string): MessageStep {
  const { fields, directory } = facts;
  const [from] = fields.get('from') ?? [];
  const [sender, ...more] = fields.get('sender') ?? [];
  if (more.length > 0) {
    return malformed(`${more.length + 1} Sender fields`, 'The message has more than one Sender field');
  }
  for (const [name, field] of [['Sender', sender] as const, ['From', from] as const]) {
    if (field === undefined) continue;
    const { addresses, problem } = authorsOf(field);
    if (problem !== undefined || addresses.length === 0) {
      const why = problem ?? 'it has no address';
      return malformed(`${name}: ${why}`, `The ${name} field can be read in different ways: ${why}`);
    }
    const place = placeOf(facts, field);
    const isOwn = (address: string): boolean => isOwnAddress(facts, user, address, place);
    const isOnBehalf = (address: string): boolean =>
      name === 'From' && sender !== undefined && mayWriteFor(facts, user, address, place);
    const foreign = addresses.find((address) => !isOwn(address) && !isOnBehalf(address));
    if (foreign === undefined) continue;
    const text = `${name}: ${notPermitted(foreign, user, directory ?? null)}`;
    return reject(550, '5.7.1', text, [text]);
  }
  const who = sender === undefined ? 'From is an address' : 'From is permitted, and Sender is an address';
  return goOn([`${who} of user ${user}`]);
}

function malformed(step: string, text: string): MessageStep {
  return reject(550, '5.6.0', text, [step]);
}
