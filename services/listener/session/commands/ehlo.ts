import type { CommandHandler, CommandSession } from '../handler.ts';
import { authOffer, tlsOffer } from '../offers.ts';

/** EHLO and HELO (RFC 5321 §4.1.1.1). Their replies carry no enhanced status code (RFC 2034 §4). */

export const ehlo: CommandHandler = (session, argument) => {
  if (!isName(argument)) return { code: 501, text: 'Syntax: EHLO hostname' };
  session.greeted('EHLO', argument.trim());
  return { code: 250, lines: [session.hostname, ...extensions(session)] };
};

export const helo: CommandHandler = (session, argument) => {
  if (!isName(argument)) return { code: 501, text: 'Syntax: HELO hostname' };
  session.greeted('HELO', argument.trim());
  return { code: 250, text: session.hostname };
};

function extensions(session: CommandSession): string[] {
  const offered = [
    'PIPELINING', // RFC 2920
    `SIZE ${session.limits['message-size']}`, // RFC 1870
    '8BITMIME', // RFC 6152
    'SMTPUTF8', // RFC 6531
    'DSN', // RFC 3461
    'ENHANCEDSTATUSCODES', // RFC 2034
  ];
  if (tlsOffer(session) === 'offered') offered.push('STARTTLS'); // RFC 3207
  if (authOffer(session) === 'offered' && session.facts.user === undefined) offered.push('AUTH PLAIN LOGIN'); // RFC 4954
  return offered;
}

/**
 * Real clients give addresses without brackets, Windows machine names and worse, which says nothing about their mail.
 * Only printable ASCII may come in: the name ends up in Received.
 */
function isName(argument: string): boolean {
  return /^[\x21-\x7e]{1,255}$/.test(argument.trim());
}
