import type { Reply } from '#shared/mail/reply.ts';
import type { RecipientResult } from '../job.ts';
import { isGreylisting } from './greylisting.ts';

/** Refusals that are about us, our address or our pace, rather than about a message or a recipient: by their words. */

const TOO_MUCH =
  /too many (?:\w+ ){0,2}(?:connections|sessions|messages|e?mails|requests|transactions)|(?:rate|connection|sending)[- ]?limit|throttl|too (?:fast|quickly)|slow down|overload|exceeded.{0,40}\b(?:rate|connections)\b|(?:server|system) (?:is )?(?:too )?busy/i;
const BLOCKED = /\bblock(?:ed|list(?:ed)?)\b|black-?list|\b(?:dns|r)bl\b|spamhaus|\breputation\b|\bbanned\b/i;
/** System not accepting messages; congestion (RFC 3463 §3.4, §3.5). */
const ENHANCED = new Set(['4.3.2', '4.4.5']);

/** The peer wants fewer connections or messages from us for now. */
export function asksForLess(said: Reply): boolean {
  const { code, enhanced, text } = said;
  if (code === 421) return true;
  if (code < 400 || code >= 500 || isGreylisting(said)) return false;
  return (enhanced !== undefined && ENHANCED.has(enhanced)) || TOO_MUCH.test(text);
}

/**
 * A refusal for good that names a list of senders' addresses. As an answer to the greeting, EHLO or MAIL it holds for all
 * mail: RFC 5321 §4.2.1 keeps a client from repeating the command in the same form, which the same command from an address
 * that is on no list any more is not. So mail waits, as it does after 554 in place of the greeting.
 */
export function isBlock({ code, text }: Reply): boolean {
  return code >= 500 && BLOCKED.test(text);
}

/** What all recipients of a message wait for, where it concerns other messages as well. */
export function commonTrouble(results: readonly RecipientResult[]): Reply | undefined {
  const concernsAll = results.every(
    ({ state, local, outcome: { reply } }) =>
      state === 'deferred' && local !== true && (asksForLess(reply) || isBlock(reply)),
  );
  return concernsAll ? results[0]?.outcome.reply : undefined;
}
