import { reply } from '#shared/mail/reply.ts';
import { NOT_IMPLEMENTED, OK } from '../../replies.ts';
import type { CommandHandler } from '../handler.ts';

/** Commands with nothing to decide. */

export const rset: CommandHandler = (session) => {
  session.transaction = undefined;
  return OK;
};

export const noop: CommandHandler = () => OK;

export const quit: CommandHandler = () => reply(221, '2.0.0', 'Bye');

/** Reveals nothing about any mailbox: lists of valid mailboxes are sold to spammers (RFC 5321 §7.3). */
export const vrfy: CommandHandler = (_, argument) =>
  argument.trim() === ''
    ? reply(501, '5.5.4', 'Syntax: VRFY address')
    : reply(252, '2.0.0', 'Cannot verify the mailbox, but will take mail for it if it exists');

export const notImplemented: CommandHandler = () => NOT_IMPLEMENTED;
