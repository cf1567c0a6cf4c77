import { z } from 'zod';
import { domain } from '../values.ts';
import { reportMailbox } from './dmarc.ts';

/** The section `dsn`: the notices (RFC 3464) that senders get of their mail. */

/** Languages that notices can be written in, by their names of RFC 5646. */
export const DSN_LANGUAGES = ['en', 'de', 'fr', 'ja'] as const;
export type DsnLanguage = (typeof DSN_LANGUAGES)[number];

export const dsnSection = z
  .strictObject({
    language: z
      .enum(DSN_LANGUAGES)
      .default('en')
      .describe('language of notices: English, German, French or Japanese; the part for programs is the same in each'),
    languages: z
      .record(domain, z.enum(DSN_LANGUAGES))
      .prefault({})
      .describe('another one for readers in a domain, and in those below it: the most specific domain counts')
      .meta({ kind: `domain: ${DSN_LANGUAGES.join(' | ')}` }),
    'relay-reports': z
      .boolean()
      .default(true)
      .describe(
        'a sender who asked for reports of success is told that mail went to a server without DSN, which sends none (RFC 3461 §5.2.2)',
      ),
    postmaster: reportMailbox
      .optional()
      .describe('address of those who look after mail, as it is delivered: aliases and groups are not looked up'),
    copies: z
      .enum(['none', 'failures'])
      .default('none')
      .describe(
        'what the postmaster gets of the notices that senders get: nothing, or those of failure without the body',
      ),
    'null-reverse-path': z
      .enum(['none', 'hold', 'postmaster'])
      .default('none')
      .describe(
        'mail from elsewhere that fails and has nobody to return it to (MAIL FROM:<>): its receipt says so, it is kept for an operator, or the postmaster gets a notice',
      ),
  })
  .prefault({});
