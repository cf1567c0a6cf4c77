import type { CommandLine } from '../parsers/command-lines.ts';
import type { Answer } from './answer.ts';
import { auth } from './commands/auth.ts';
import { data } from './commands/data.ts';
import { ehlo, helo } from './commands/ehlo.ts';
import { mail } from './commands/mail.ts';
import { rcpt } from './commands/rcpt.ts';
import { noop, notImplemented, quit, rset, vrfy } from './commands/small.ts';
import { starttls } from './commands/starttls.ts';
import * as replies from './replies.ts';
import type { Session } from './session.ts';

/** `argument` is what stands behind the verb and its space. */
export type Handler = (session: Session, argument: string, ascii: boolean) => Answer | Promise<Answer>;

type Command = {
  run: Handler;
  /** Needs TLS first where the listener requires TLS (RFC 3207 §4 names those that do not). */
  guarded?: true;
  /** Needs EHLO or HELO first (RFC 5321 §4.1.4). */
  afterHelo?: true;
  /** Carries an address, which may be UTF-8 (RFC 6531 §3.3, §3.7.3). */
  address?: true;
};

/** Every verb that the listener knows. Those of other extensions are refused as such; all others are unknown. */
const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['EHLO', { run: ehlo }],
  ['HELO', { run: helo }],
  ['STARTTLS', { run: starttls, afterHelo: true }],
  ['AUTH', { run: auth, guarded: true, afterHelo: true }],
  ['MAIL', { run: mail, guarded: true, afterHelo: true, address: true }],
  ['RCPT', { run: rcpt, guarded: true, afterHelo: true, address: true }],
  ['DATA', { run: data, guarded: true, afterHelo: true }],
  ['RSET', { run: rset }],
  ['NOOP', { run: noop }],
  ['VRFY', { run: vrfy, guarded: true, address: true }],
  ['QUIT', { run: quit }],
  ...['BDAT', 'ETRN', 'EXPN', 'HELP', 'SAML', 'SEND', 'SOML', 'TURN', 'XCLIENT', 'XFORWARD'].map(
    (verb): [string, Command] => [verb, { run: notImplemented, guarded: true }],
  ),
]);

/**
 * A web browser that was tricked into speaking to a mail server: a request line or a header field. Not a name of ours
 * with a colon behind it: no SMTP command has one.
 */
const HTTP = /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|CONNECT|PATCH) |^[A-Za-z][A-Za-z-]*:(?: |$)/i;

/** Answer one line of a client. */
export function dispatch(session: Session, line: CommandLine): Answer | Promise<Answer> {
  // Whatever this line is, it ends the wait for a step of AUTH: the next one is a command again.
  const { continuation } = session;
  session.continuation = undefined;
  switch (line.problem) {
    case 'too-long':
      return continuation === undefined ? replies.LINE_TOO_LONG : replies.RESPONSE_TOO_LONG;
    case 'bare-lf':
      return replies.BARE_LF;
    case 'bare-cr':
      return replies.BARE_CR;
    case 'nul':
      return replies.NUL_IN_COMMAND;
  }
  if (continuation !== undefined) return continuation(line.text);
  const { text, ascii } = line;
  const space = text.indexOf(' ');
  const verb = (space < 0 ? text : text.slice(0, space)).toUpperCase();
  const command = COMMANDS.get(verb);
  // Never the argument of AUTH, nor anything unknown: a client out of step sends its password as a command.
  session.log.chatter({ command: command === undefined ? '(unknown)' : verb === 'AUTH' ? verb : text });
  if (command === undefined) return HTTP.test(text) ? replies.HTTP_REFUSED : replies.UNRECOGNIZED;
  if (!ascii) {
    if (!command.address) return replies.NOT_ASCII;
    if (text.includes('\ufffd')) return replies.NOT_UTF8;
  }
  if (command.guarded && session.listener.tls === 'starttls-required' && !session.secure) return replies.TLS_FIRST;
  if (command.afterHelo && session.facts.client.helo === '') return replies.HELO_FIRST;
  return command.run(session, space < 0 ? '' : text.slice(space + 1), ascii);
}
