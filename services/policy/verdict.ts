import type { Authenticity } from '#shared/mail/authenticity.ts';
import { reply } from '#shared/mail/reply.ts';
import { printable } from '#shared/text.ts';
import type { Refusal } from './contract.ts';
import type { BlockedUser } from './directory/directory.ts';

/**
 * What a check makes of the facts. `why` is its reasoning, step by step; the last step is the reason.
 *
 * - go-on: nothing against it; the next check is asked. `accepted`, where there is one, replaces what the phase will
 *   accept with.
 * - reject, defer: the verdict; no other check is asked. `authenticity`: what a message is refused for.
 */
export type Step<Accepted> = { action: 'go-on'; accepted?: Accepted; why: string[] } | Refused;
export type Refused = Refusal & { authenticity?: Authenticity };

type Rejected = Extract<Refusal, { action: 'reject' }>;
type Deferred = Extract<Refusal, { action: 'defer' }>;

export function goOn<Accepted>(why: string[] = [], accepted?: Accepted): Step<Accepted> {
  return accepted === undefined ? { action: 'go-on', why } : { action: 'go-on', accepted, why };
}

/** Permanent: the code is 5xx. `enhanced` is the RFC 3463 code. */
export function reject(code: number, enhanced: string, text: string, why: string[]): Rejected {
  return { action: 'reject', reply: reply(code, enhanced, text), why };
}

/** Temporary: the code is 4xx. */
export function defer(code: number, enhanced: string, text: string, why: string[]): Deferred {
  return { action: 'defer', reply: reply(code, enhanced, text), why };
}

/**
 * A refusal of a client that is not one of ours: temporary where it may be one after all (`nameMatters`), by the name that
 * DNS did not give.
 */
export function refuseStranger(nameMatters: boolean | undefined, rejected: Rejected): Refusal {
  if (!nameMatters) return rejected;
  const why = [...rejected.why, 'the name of the client could not be looked up, and may exempt it'];
  return defer(451, '4.4.3', NAME_UNKNOWN, why);
}

/**
 * To a user who is blocked (RFC 5248 §4, X.7.13: User Account Disabled). It is the same whether the password is right, and
 * tells an honest client what a wrong password would not: that another one is of no use.
 */
export const BLOCKED = reply(535, '5.7.13', 'This user is blocked, please ask your administrator');

/** The same for administrators. */
export function blockText(user: string, { reason, since }: BlockedUser): string {
  const when = since === undefined ? '' : ` since ${new Date(since).toISOString()}`;
  return `user ${printable(user)}: blocked${when}${reason ? `: ${printable(reason)}` : ''}`;
}

export const NAME_UNKNOWN = 'Name of your host cannot be looked up now, please try again later';
