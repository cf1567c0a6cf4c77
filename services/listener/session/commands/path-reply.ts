import { type Reply, reply } from '#shared/mail/reply.ts';
import type { PathProblem } from '../../parsers/mail-path.ts';

/** The reply to a path that cannot be used; `enhanced` says whether it is the sender's or the recipient's. */
export function pathReply(problem: PathProblem, enhanced: '5.1.3' | '5.1.7'): Reply {
  switch (problem) {
    case 'syntax':
      return reply(501, enhanced, 'Bad address syntax: an address stands in angle brackets, as in <user@example.com>');
    case 'too-long':
      return reply(501, enhanced, 'Address is longer than 254 octets');
    case 'source-route':
      // RFC 5321 §3.3 and §3.6.1 let a server decline these; only relay testers send them.
      return reply(553, enhanced, 'Source routes are not accepted');
  }
}
