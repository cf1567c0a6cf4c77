import { reply } from '#shared/reply.ts';

/** Refusals as the contract has them. `why` is the steps so far; the last of them is the reason. */

type Refused<Action extends 'reject' | 'defer'> = { action: Action; reply: ReturnType<typeof reply>; why: string[] };

export function reject(code: number, enhanced: string, text: string, why: string[]): Refused<'reject'> {
  return { action: 'reject', reply: reply(code, enhanced, text), why };
}

export function defer(code: number, enhanced: string, text: string, why: string[]): Refused<'defer'> {
  return { action: 'defer', reply: reply(code, enhanced, text), why };
}
