import { reply } from '#shared/reply.ts';
import type { Handler } from '../dispatch.ts';
import { NOT_IMPLEMENTED, OK } from '../replies.ts';

/** Commands with nothing to decide. */

export const rset: Handler = (session) => {
  session.transaction = undefined;
  return OK;
};

export const noop: Handler = () => OK;

export const quit: Handler = () => reply(221, '2.0.0', 'Bye');

/** Says nothing about any mailbox: lists of those that exist are worth money (RFC 5321 §7.3). */
export const vrfy: Handler = (_, argument) =>
  argument.trim() === ''
    ? reply(501, '5.5.4', 'Syntax: VRFY address')
    : reply(252, '2.0.0', 'Cannot verify the mailbox, but will take mail for it if it exists');

export const notImplemented: Handler = () => NOT_IMPLEMENTED;
