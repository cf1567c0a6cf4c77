import { z } from 'zod';
import { duration, size } from '../values.ts';
import { parseFilterUrl } from './url.ts';

/** The entries of `filters`: programs beside this server that look at whole messages on their way in. */

/** Clients wait ten minutes for the reply to a message (RFC 5321 §4.5.3.2.6), and policy and queue take their part of it. */
const LONGEST_WAIT_MS = 5 * 60_000;

export const filterEntry = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is made of letters, digits, ".", "_" and "-"')
    .describe('name in logs and in the mark of messages that it did not see'),
  type: z
    .enum(['rspamd', 'clamd', 'milter'])
    .describe(
      'rspamd: its normal worker, by HTTP; clamd: the daemon of ClamAV, by INSTREAM; milter: a filter made for sendmail and Postfix (OpenDKIM …), which may change header fields and put mail on hold, but not change bodies or recipients',
    ),
  url: z
    .string()
    .refine((url) => parseFilterUrl(url) !== undefined, {
      // No value in the message: a password may stand in front of the host.
      error: 'a filter listens at http://host:port, tcp://host:port or unix:/path',
    })
    .describe('where it listens: http://host:port for rspamd; tcp://host:port or unix:/path for clamd and milters'),
  listeners: z.array(z.string()).optional().describe('listeners whose mail it sees, by name; default: all'),
  kind: z.enum(['relay', 'submission']).optional().describe('kind of listeners whose mail it sees; default: both'),
  direction: z
    .enum(['incoming', 'outgoing'])
    .optional()
    .describe('incoming: mail from outside; outgoing: mail of users and of internal hosts; default: both'),
  'max-size': size('50MB', 1024).describe('larger messages pass without it, with a mark (X-Sealpost-Unfiltered)'),
  timeout: duration('30s', 100, LONGEST_WAIT_MS).describe(
    'how long it may keep one message waiting in all, at most 5m; not the time in which the client sends',
  ),
  'on-trouble': z
    .enum(['defer', 'accept'])
    .default('defer')
    .describe(
      'what it means that it is away, too slow or gives no clear answer: 451, or the message passes with a mark',
    ),
  'on-reject': z
    .enum(['reject', 'junk', 'discard'])
    .default('reject')
    .describe('what its rejection means: 550; delivery as junk; or the message is accepted and thrown away'),
});
export type FilterConfig = z.output<typeof filterEntry>;
