import type { CommandHandler, CommandSession } from '../handler.ts';
import { authOffer, mechanisms, offersRequireTls, tlsOffer } from '../offers.ts';

/** EHLO and HELO (RFC 5321 §4.1.1.1). Their replies carry no enhanced status code (RFC 2034 §4). */

export const ehlo: CommandHandler = (session, argument) => {
  const name = nameIn(argument);
  if (name === undefined) return { code: 501, text: 'Syntax: EHLO hostname' };
  session.greeted('EHLO', name);
  return { code: 250, lines: [session.hostname, ...extensions(session)] };
};

export const helo: CommandHandler = (session, argument) => {
  const name = nameIn(argument);
  if (name === undefined) return { code: 501, text: 'Syntax: HELO hostname' };
  session.greeted('HELO', name);
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
  if (offersRequireTls(session)) offered.push('REQUIRETLS'); // RFC 8689
  if (authOffer(session) === 'offered' && session.facts.user === undefined) {
    offered.push(`AUTH ${mechanisms(session).join(' ')}`); // RFC 4954
  }
  return offered;
}

/**
 * Real clients give addresses without brackets, the names of Windows machines (`BÜRO-PC`, `HP LaserJet`) and worse, which
 * says nothing about their mail (RFC 5321 §4.1.4). Only printable ASCII comes in, because the name ends up in Received: `?`
 * for everything else.
 */
function nameIn(argument: string): string | undefined {
  const name = argument.trim().replace(/[^\x21-\x7e]+/g, '?');
  return name === '' || name.length > 255 ? undefined : name;
}
