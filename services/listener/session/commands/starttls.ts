import { reply } from '#shared/mail/reply.ts';
import { NOT_IMPLEMENTED } from '../../replies.ts';
import type { CommandHandler } from '../handler.ts';
import { tlsOffer } from '../offers.ts';

/** STARTTLS (RFC 3207 §4). */
export const starttls: CommandHandler = (session, argument) => {
  if (session.secure) return reply(503, '5.5.1', 'TLS is active already');
  switch (tlsOffer(session)) {
    case 'none':
      return NOT_IMPLEMENTED;
    case 'no-certificate':
      return reply(454, '4.7.0', 'TLS is not available right now');
    case 'offered':
      if (argument.trim() !== '') return reply(501, '5.5.4', 'STARTTLS takes no parameters');
      session.startTls();
      return undefined;
  }
};
