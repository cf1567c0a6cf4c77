import { z } from 'zod';
import type { Authenticity } from '../authenticity.ts';
import { MOST_DOMAINS } from '../message-search.ts';

/**
 * What was found out about mail that came from elsewhere and was accepted, added up. A softfail of SPF counts as a failure; of
 * several signatures one that passes is enough. What neither passed nor failed had no record or signature, or DNS did not answer.
 */

export const AuthenticationCounts = z.object({
  messages: z.number().int(),
  spfPass: z.number().int(),
  spfFail: z.number().int(),
  dkimPass: z.number().int(),
  dkimFail: z.number().int(),
  dmarcPass: z.number().int(),
  dmarcFail: z.number().int(),
  /** What DMARC had done with them; a message that was rejected is in no count. */
  quarantine: z.number().int(),
  /** When the last of them came, ms since 1970. */
  last: z.number(),
});
export type AuthenticationCounts = z.infer<typeof AuthenticationCounts>;

export const AuthenticationTotal = AuthenticationCounts.extend({
  /** That of the author; where there is not one author, the one that SPF was asked about. */
  domain: z.string(),
  /** The address of the client. */
  source: z.string(),
});
export type AuthenticationTotal = z.infer<typeof AuthenticationTotal>;

/** What a router is asked for, a page at a time, newest first. */
export const AuthenticationRequest = z.object({
  /** It arrived then or later, ms since 1970. */
  since: z.number(),
  /**
   * Only what these domains have to do with, without those below them: mail that claims to be from one of them, and mail to
   * their recipients.
   */
  domains: z.array(z.string().max(255)).min(1).max(MOST_DOMAINS).optional(),
  /** The `next` of the page before. */
  below: z.string().max(100).optional(),
});
export type AuthenticationRequest = z.infer<typeof AuthenticationRequest>;

export const AuthenticationPage = z.object({
  totals: z.array(AuthenticationTotal),
  /** Records that are damaged. */
  unreadable: z.number().int(),
  next: z.string().optional(),
});
export type AuthenticationPage = z.infer<typeof AuthenticationPage>;

type Found = {
  spf: Pick<Authenticity['spf'], 'result'>;
  dkim: readonly Pick<Authenticity['dkim'][number], 'result'>[];
  dmarc: Pick<Authenticity['dmarc'], 'result' | 'disposition'>;
};

/** Of one message that came at `last`. */
export function countsOf({ spf, dkim, dmarc }: Found, last: number): AuthenticationCounts {
  const one = (is: boolean): number => (is ? 1 : 0);
  const isSigned = dkim.some(({ result }) => result === 'pass');
  return {
    messages: 1,
    spfPass: one(spf.result === 'pass'),
    spfFail: one(spf.result === 'fail' || spf.result === 'softfail'),
    dkimPass: one(isSigned),
    dkimFail: one(dkim.length > 0 && !isSigned),
    dmarcPass: one(dmarc.result === 'pass'),
    dmarcFail: one(dmarc.result === 'fail'),
    quarantine: one(dmarc.disposition === 'quarantine'),
    last,
  };
}

export function sumOfCounts(a: AuthenticationCounts, b: AuthenticationCounts): AuthenticationCounts {
  return {
    messages: a.messages + b.messages,
    spfPass: a.spfPass + b.spfPass,
    spfFail: a.spfFail + b.spfFail,
    dkimPass: a.dkimPass + b.dkimPass,
    dkimFail: a.dkimFail + b.dkimFail,
    dmarcPass: a.dmarcPass + b.dmarcPass,
    dmarcFail: a.dmarcFail + b.dmarcFail,
    quarantine: a.quarantine + b.quarantine,
    last: Math.max(a.last, b.last),
  };
}
