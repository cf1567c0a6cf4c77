import { z } from 'zod';
import { domainOf, isSameOrSubdomain, normalizeDomain } from '../address/address.ts';
import { canonicalAddress, mailboxKey } from '../address/canonical-address.ts';
import type { EnvelopeRecipient, RecipientStatus } from '../mail/envelope.ts';
import { QueueState } from '../mail/queue-entry.ts';
import { formatReply, type Reply } from '../mail/reply.ts';
import { replyPattern } from './reply-pattern.ts';

/** Queue ids in one filter. */
export const MOST_IDS = 5000;

/**
 * Which messages of the queue an operator means: what is given must all be so; nothing given is all mail. What is said of
 * recipients must be so of one and the same recipient that has no final status yet.
 */
export const QueueFilter = z.object({
  ids: z.array(z.string().max(100)).min(1).max(MOST_IDS).optional(),
  state: QueueState.optional(),
  /** Of a recipient, with everything below it. */
  domain: z.string().optional(),
  /** An address, without regard to case, or a domain with everything below it; `''` is the null reverse-path. */
  sender: z.string().max(1000).optional(),
  /** The same, also as the recipient was before aliases. */
  recipient: z.string().max(1000).optional(),
  /**
   * The last reply begins with this code or has this enhanced code; what is no code is contained in it, or is its pattern
   * (reply-pattern.ts), as a summary lists it.
   */
  reply: z.string().min(1).max(1000).optional(),
  /** A next hop as it is listed, or its host or domain alone. */
  nextHop: z.string().min(1).max(1000).optional(),
  /** It arrived at this time or later, and before that (ms since 1970). */
  since: z.number().optional(),
  before: z.number().optional(),
});
export type QueueFilter = z.infer<typeof QueueFilter>;

type Recipient = { recipient: EnvelopeRecipient; status: RecipientStatus };
export type Filtered<R extends Recipient> = {
  queueId: string;
  state: z.infer<typeof QueueState>;
  arrived: number;
  reversePath: string;
  recipients: readonly R[];
};
/** `hopOf`: the next hop of a recipient, as it is listed. */
export type QueueTest = <R extends Recipient>(message: Filtered<R>, hopOf: (recipient: R) => string) => boolean;

/** Whether a message is meant. */
export function testOf(filter: QueueFilter): QueueTest {
  const { ids, state, since = Number.NEGATIVE_INFINITY, before = Number.POSITIVE_INFINITY } = filter;
  const named = ids === undefined ? undefined : new Set(ids);
  const isSender = filter.sender === undefined ? undefined : partyTest(filter.sender);
  const isRecipient = recipientTest(filter);
  return (message, hopOf) => {
    if (named?.has(message.queueId) === false || (state !== undefined && message.state !== state)) return false;
    if (message.arrived < since || message.arrived >= before) return false;
    const { reversePath, recipients } = message;
    if (isSender !== undefined && ![reversePath, ...ownPaths(recipients)].some(isSender)) return false;
    return isRecipient === undefined || recipients.some((one) => isRecipient(one, hopOf));
  };
}

function ownPaths(recipients: readonly Recipient[]): string[] {
  return recipients.flatMap(({ recipient: { reversePath } }) => reversePath ?? []);
}

/** Undefined where the filter says nothing about recipients. */
function recipientTest({ domain, recipient, reply, nextHop }: QueueFilter) {
  if ([domain, recipient, reply, nextHop].every((condition) => condition === undefined)) return undefined;
  const isIn = domain === undefined ? undefined : partyTest(`@${domain}`);
  const isNamed = recipient === undefined ? undefined : partyTest(recipient);
  const isReply = reply === undefined ? undefined : replyTest(reply);
  const isHop = nextHop === undefined ? undefined : hopTest(nextHop);
  return <R extends Recipient>(one: R, hopOf: (recipient: R) => string): boolean => {
    const { status } = one;
    const { address, original } = one.recipient;
    if (status.state !== 'waiting' && status.state !== 'deferred') return false;
    if (isIn?.(address) === false) return false;
    if (isNamed !== undefined && !isNamed(address) && !(original !== undefined && isNamed(original))) return false;
    if (isReply !== undefined && !(status.state === 'deferred' && isReply(status.outcome.reply))) return false;
    return isHop === undefined || isHop(hopOf(one));
  };
}

/** `@example.net` is a domain as well. */
function partyTest(party: string): (address: string) => boolean {
  if (party === '') return (address) => address === '';
  if (party.indexOf('@') > 0) {
    const key = mailboxKey(canonicalAddress(party));
    return (address) => mailboxKey(canonicalAddress(address)) === key;
  }
  const domain = normalizeDomain(party.replace(/^@/, ''));
  return (address) => isSameOrSubdomain(normalizeDomain(domainOf(address)), domain);
}

function replyTest(wanted: string): (reply: Reply) => boolean {
  // RFC 3463 §2: class.subject.detail; RFC 5321 §4.2: three digits.
  if (/^[245]\.\d+(\.\d+)?$/.test(wanted))
    return ({ enhanced }) => enhanced === wanted || enhanced?.startsWith(`${wanted}.`) === true;
  const isPattern = /[#…]/.test(wanted) ? (reply: Reply) => replyPattern(reply) === wanted : () => false;
  if (/^[245](\d?|\d\d( .*)?)$/.test(wanted))
    return (reply) => formatReply(reply).startsWith(wanted) || isPattern(reply);
  const text = wanted.toLowerCase();
  return (reply) => formatReply(reply).toLowerCase().includes(text) || isPattern(reply);
}

/** The name stands in the text of the next hop, and is not a part of a longer one. */
function hopTest(wanted: string): (hop: string) => boolean {
  const name = wanted.toLowerCase();
  const isPart = (character: string | undefined): boolean => character !== undefined && /[\w.-]/.test(character);
  return (hop) => {
    const text = hop.toLowerCase();
    for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1))
      if (!isPart(text[at - 1]) && !isPart(text[at + name.length])) return true;
    return false;
  };
}
