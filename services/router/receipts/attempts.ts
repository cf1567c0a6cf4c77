import type { Attempt, EarlierAttempts, TriedHost } from '#shared/mail/attempt.ts';
import { cut } from '#shared/text.ts';
import type { Message, Recipient } from '../store/message.ts';

/**
 * The history of a recipient. Its status has the last attempt; when another one ends, what the status has joins the earlier
 * ones, in the recipient's own record, which is written then anyway. So it costs nothing where the first attempt delivers,
 * and it travels with the second copy, a take-over and the receipt.
 *
 * The first attempts and the last ones are kept: the first say why the mail waits at all, the last what it waits for now. A
 * message with many recipients keeps fewer of each, so that its receipt stays a record that can be sent. So it is with the
 * hosts that an attempt tried before the one that decided.
 */

const FIRST = 3;
const LAST = 20;
/** Attempts of all recipients of a message together. */
const MOST_OF_MESSAGE = 1000;
/** Characters of a reply. */
const LONGEST_REPLY = 500;
/** Hosts of an attempt beside the one that decided, and of all attempts of a message together. */
const OTHERS = 4;
const OTHERS_OF_MESSAGE = 1000;
/** Characters of what such a host said. */
const LONGEST_OTHER_REPLY = 200;

/** Another attempt for this recipient has ended: before its status changes, keep what that says. */
export function keepAttempt({ recipients }: Pick<Message, 'recipients'>, recipient: Recipient): void {
  const { status, nextHop, signatures, others, earlier } = recipient;
  if (status.state === 'waiting') return;
  const { at, host, reply, tls } = status.outcome;
  const attempt: Attempt = {
    at,
    nextHop,
    host,
    reply: { ...reply, text: cut(reply.text, LONGEST_REPLY) },
    tls,
    others: keptHosts(others, recipients.length * (FIRST + LAST)),
    signatures,
  };
  recipient.earlier = withAttempt(earlier, attempt, recipients.length);
  recipient.others = undefined;
}

/** As many of the other hosts of an attempt as are kept where a message may have so many attempts. */
export function keptHosts(others: readonly TriedHost[] = [], attempts: number): TriedHost[] | undefined {
  const most = Math.min(OTHERS, Math.floor(OTHERS_OF_MESSAGE / attempts));
  const kept = others.slice(0, most).map(({ host, reply }) => ({
    ...(host !== undefined && { host }),
    reply: { ...reply, text: cut(reply.text, LONGEST_OTHER_REPLY) },
  }));
  return kept.length > 0 ? kept : undefined;
}

/** One attempt more, within the bounds of a message with that many recipients. */
export function withAttempt(
  { attempts, leftOut = 0 }: EarlierAttempts = { attempts: [] },
  attempt: Attempt,
  recipients = 1,
): EarlierAttempts {
  const most = Math.max(2, Math.min(FIRST + LAST, Math.floor(MOST_OF_MESSAGE / recipients)));
  const first = Math.min(FIRST, Math.floor(most / 2));
  const all = [...attempts, attempt];
  const surplus = all.length - most;
  if (surplus <= 0) return leftOut === 0 ? { attempts: all } : { attempts: all, leftOut };
  all.splice(first, surplus);
  return { attempts: all, leftOut: leftOut + surplus };
}

/** The attempts of several recipients in at most so many characters of JSON: each keeps as many of the last as the others. */
export function shortened(
  all: readonly (EarlierAttempts | undefined)[],
  characters: number,
): (EarlierAttempts | undefined)[] {
  const size = (some: readonly (EarlierAttempts | undefined)[]): number => JSON.stringify(some).length;
  let kept = [...all];
  for (let most = FIRST + LAST; size(kept) > characters; most--) {
    kept = all.map((one) => one && lastOf(one, Math.max(0, most)));
    if (most <= 0) break;
  }
  return kept;
}

function lastOf({ attempts, leftOut = 0 }: EarlierAttempts, most: number): EarlierAttempts {
  const dropped = Math.max(0, attempts.length - most);
  if (dropped === 0) return leftOut === 0 ? { attempts } : { attempts, leftOut };
  return { attempts: attempts.slice(dropped), leftOut: leftOut + dropped };
}
