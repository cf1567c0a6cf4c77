import { withoutSecret } from '#shared/transcript/transcripts.ts';
import type { CommandLine } from '../parsers/command-lines.ts';
import * as replies from '../replies.ts';
import { auth } from './commands/auth.ts';
import { data } from './commands/data.ts';
import { ehlo, helo } from './commands/ehlo.ts';
import { mail } from './commands/mail.ts';
import { rcpt } from './commands/rcpt.ts';
import { noop, notImplemented, quit, rset, vrfy } from './commands/simple.ts';
import { starttls } from './commands/starttls.ts';
import type { CommandHandler, CommandSession, PolicyQuestion } from './handler.ts';
import { requiresTls } from './offers.ts';
import type { CommandResult } from './session-reply.ts';

/** What must be so before a command runs, or the reply that says that it is not. */
type Check = (session: CommandSession, line: CommandLine) => CommandResult;

const ascii: Check = (_, line) => (line.ascii ? undefined : replies.NOT_ASCII);
/** For commands that carry an address, which may be UTF-8 (RFC 6531 §3.3, §3.7.3). */
const utf8: Check = (_, line) => (!line.ascii && line.text.includes('\ufffd') ? replies.NOT_UTF8 : undefined);
/** TLS comes first where the listener requires it; RFC 3207 §4 names the commands that need none. */
const tls: Check = (session, { text }) =>
  session.secure || !requiresTls(session)
    ? undefined
    : session.log.refused('command refused: TLS is required', replies.TLS_FIRST, { command: text.slice(0, 4) });
/** EHLO or HELO comes first (RFC 5321 §4.1.4). */
const helloSaid: Check = ({ facts }) => (facts.client.helo === '' ? replies.HELO_FIRST : undefined);

/**
 * A row of the table: `check` holds before `run` looks at the argument; `policy` names the questions that policy answers
 * before the command takes effect. A command cannot ask another one: its session has no other.
 */
type Row<Asks extends PolicyQuestion> = { check: readonly Check[]; policy: readonly Asks[]; run: CommandHandler<Asks> };
type Command =
  | { check: readonly Check[]; policy?: undefined; run: CommandHandler }
  | { [Asks in PolicyQuestion]: Row<Asks> }[PolicyQuestion]
  | Row<'user-authenticate' | 'token-authenticate'>;

/**
 * Every verb that the listener knows. Those of other extensions are refused as such; all others are unknown. A verb with an
 * argument alone is a row here and a file in commands/ (and a keyword in commands/ehlo.ts). One that carries bytes of the
 * message, as BDAT does, also needs session.ts, smtp-server/stream.ts and a decoder beside parsers/data-decoder.ts.
 */
const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['EHLO', { check: [], run: ehlo }],
  ['HELO', { check: [], run: helo }],
  ['STARTTLS', { check: [ascii, helloSaid], run: starttls }],
  // At the end of the exchange.
  ['AUTH', { check: [ascii, tls, helloSaid], policy: ['user-authenticate', 'token-authenticate'], run: auth }],
  ['MAIL', { check: [utf8, tls, helloSaid], policy: ['sender-check'], run: mail }],
  ['RCPT', { check: [utf8, tls, helloSaid], policy: ['recipient-check'], run: rcpt }],
  // At the end of the message.
  ['DATA', { check: [ascii, tls, helloSaid], policy: ['message-check'], run: data }],
  ['RSET', { check: [ascii], run: rset }],
  ['NOOP', { check: [ascii], run: noop }],
  ['VRFY', { check: [utf8, tls], run: vrfy }],
  ['QUIT', { check: [ascii], run: quit }],
  ...['BDAT', 'ETRN', 'EXPN', 'HELP', 'SAML', 'SEND', 'SOML', 'TURN', 'XCLIENT', 'XFORWARD'].map(
    (verb): [string, Command] => [verb, { check: [ascii, tls], run: notImplemented }],
  ),
]);

/**
 * A web browser that was tricked into speaking to a mail server: a request line or a header field. Not one of our verbs
 * followed by a colon: no SMTP command has one.
 */
const HTTP = /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|CONNECT|PATCH) |^[A-Za-z][A-Za-z-]*:(?: |$)/i;

/** Run one line of a client. */
export function dispatch(
  session: CommandSession<PolicyQuestion>,
  line: CommandLine,
): CommandResult | Promise<CommandResult> {
  // Whatever this line is, it ends the wait for a step of AUTH: the next one is a command again.
  const { continuation } = session;
  session.continuation = undefined;
  if (line.problem !== undefined) session.log.command(`(refused: ${line.problem})`);
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
  if (continuation !== undefined) {
    session.log.command('***');
    return continuation(line.text);
  }
  const { text } = line;
  if (Buffer.byteLength(text) + 2 > session.limits['command-length'] && !/^auth /i.test(text))
    return replies.LINE_TOO_LONG;
  const space = text.indexOf(' ');
  const verb = (space < 0 ? text : text.slice(0, space)).toUpperCase();
  const command = COMMANDS.get(verb);
  // Never the argument of AUTH, nor anything unknown: a client out of step sends its password as a command.
  session.log.command(command === undefined ? '(unknown)' : withoutSecret(text));
  if (command === undefined) return HTTP.test(text) ? replies.HTTP_REFUSED : replies.UNRECOGNIZED;
  for (const check of command.check) {
    const refusal = check(session, line);
    if (refusal !== undefined) return refusal;
  }
  return command.run(session, space < 0 ? '' : text.slice(space + 1), line.ascii);
}
