import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';
import { LOCAL_ERROR, type Reply, reply } from '#shared/mail/reply.ts';
import type { Defect } from './parsers/data-decoder.ts';

/**
 * The listener's own replies, where more than one place gives them or a test must know them; one that a single command
 * gives stands in its file in commands/. What policy refuses has its reply in services/policy. session.ts compares some of
 * these by identity: they are not copied.
 */

export const OK = reply(250, '2.0.0', 'OK');
export const BEGIN_TLS = reply(220, '2.0.0', 'Ready to start TLS');
export const GO_AHEAD: Reply = { code: 354, text: 'End data with <CR><LF>.<CR><LF>' };

export const TOO_SOON = reply(421, '4.7.0', 'Commands before the greeting are not allowed');
export const STOPPING = reply(421, '4.3.2', 'Server is going down, please try again later');
export const TIMED_OUT = reply(421, '4.4.2', 'Timeout: nothing was received for too long');
export const TOO_MANY_SESSIONS = reply(421, '4.3.2', 'Too many sessions, please try again later');
export const TOO_MANY_FROM_CLIENT = reply(421, '4.7.0', 'Too many sessions from your address, please try again later');
/** By the limit that a connection would exceed. */
export const EXCEEDED = { sessions: TOO_MANY_SESSIONS, 'sessions-per-client': TOO_MANY_FROM_CLIENT };
export const BAD_PROXY_HEADER = reply(
  421,
  '4.3.5',
  'PROXY header expected: the proxy or this server is set up wrongly',
);
export const UNEXPECTED_TLS = reply(421, '4.7.0', 'This port begins in clear text: TLS comes with STARTTLS');
export const UNEXPECTED_PROXY = reply(421, '4.3.5', 'PROXY header from an address that is not in listeners[].proxy');
export const TOO_MANY_ERRORS = reply(421, '4.7.0', 'Too many errors in this session');
export const TOO_MANY_LOGINS = reply(421, '4.7.0', 'Too many failed authentications in this session');
export const HTTP_REFUSED = reply(421, '4.7.0', 'This is SMTP, not HTTP');
export const POLICY_AWAY = reply(421, '4.3.0', 'Local error in processing, please try again later');

export const LINE_TOO_LONG = reply(500, '5.5.2', 'Line too long');
export const RESPONSE_TOO_LONG = reply(500, '5.5.6', 'Authentication exchange line is too long'); // RFC 4954 §6
export const BARE_LF = reply(500, '5.5.2', 'Bare LF in a command: lines end with CRLF');
export const BARE_CR = reply(500, '5.5.2', 'Bare CR in a command: lines end with CRLF');
export const NUL_IN_COMMAND = reply(500, '5.5.2', 'NUL in a command');
export const NOT_ASCII = reply(500, '5.5.2', 'Octets above 127 are not allowed in this command');
export const NOT_UTF8 = reply(500, '5.5.2', 'Command is not valid UTF-8');
export const UNRECOGNIZED = reply(500, '5.5.2', 'Command not recognized');
export const NOT_IMPLEMENTED = reply(502, '5.5.1', 'Command not implemented');
export const TLS_FIRST = reply(530, '5.7.0', 'Must issue a STARTTLS command first');
export const HELO_FIRST = reply(503, '5.5.1', 'Send EHLO or HELO first');
export const NON_ASCII_ADDRESS = reply(553, '5.6.7', 'Address is not ASCII: the SMTPUTF8 parameter of MAIL is needed');
export const TOO_MANY_RECIPIENTS = reply(452, '4.5.3', 'Too many recipients in one message');
export const HEADER_TOO_BIG = reply(552, '5.3.4', 'Message header is larger than this server takes');

const DEFECTS: Record<Defect, Reply> = {
  'bare-lf': reply(550, '5.6.11', 'Message contains a bare LF: lines must end with CRLF'),
  'bare-cr': reply(550, '5.6.11', 'Message contains a bare CR: lines must end with CRLF'),
  nul: reply(550, '5.6.0', 'Message contains a NUL octet'),
};

export function defectReply(defect: Defect): Reply {
  return DEFECTS[defect];
}

/** The reply when the router did not take a message. Always temporary: nothing is the client's fault. */
export function routerRefusal(error: unknown): Reply {
  switch (errorCode(error)) {
    case 'full':
      return reply(452, '4.3.1', 'Insufficient system storage, please try again later');
    case 'not-accepting':
    case CALL_ERRORS.unavailable:
      return reply(451, '4.3.0', 'Queue does not take mail right now, please try again later');
    case CALL_ERRORS.busy:
    case CALL_ERRORS.timeout:
      return reply(451, '4.3.0', 'Queue is busy, please try again later');
    default:
      return LOCAL_ERROR;
  }
}
