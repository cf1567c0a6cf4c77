import { parseAddressList } from '#shared/address/address-list.ts';
import { fieldValue, type HeaderField } from '#shared/header.ts';
import type { PolicyCheck } from '../facts.ts';
import { notPermitted } from '../sender/own-address.ts';
import { defer, goOn, reject } from '../verdict.ts';
import { isSubmitted } from './submission-fields.ts';

/** One From field (RFC 5322 §3.6); for a user, Sender, or From where there is none, must be an address of the user (DOMINO A4). */
export const author: PolicyCheck<'message'> = ({ session, fields, directory }) => {
  const { user } = session;
  const from = fields.get('from') ?? [];
  const sender = fields.get('sender') ?? [];
  if (from.length > 1) return malformed(`${from.length} From fields`, 'The message has more than one From field');
  if (isSubmitted(session) && from.length === 0) return malformed('no From field', 'The message has no From field');
  if (user === undefined) return goOn();
  if (directory === undefined) {
    return defer(451, '4.3.0', 'Author cannot be checked now, please try again later', [
      'the users file cannot be read',
    ]);
  }
  if (directory?.permitsAny(user)) return goOn([`user ${user} may write as anybody`]);
  if (sender.length > 1) {
    return malformed(`${sender.length} Sender fields`, 'The message has more than one Sender field');
  }
  const field = sender[0] ?? from[0];
  const name = sender[0] === undefined ? 'From' : 'Sender';
  const authors = field === undefined ? undefined : mailboxesOf(field);
  if (authors === undefined || authors.length === 0) {
    return malformed(`${name} names no mailbox`, `The ${name} field names no mailbox that can be checked`);
  }
  const foreign = authors.find((address) => !directory?.permits(user, address));
  if (foreign === undefined) return goOn([`${name} is an address of user ${user}`]);
  const text = `${name}: ${notPermitted(foreign, user, directory)}`;
  return reject(550, '5.7.1', text, [text]);
};

/** The addresses of a field, which may be UTF-8 (RFC 6532). */
function mailboxesOf(field: HeaderField): string[] | undefined {
  return parseAddressList(Buffer.from(fieldValue(field), 'latin1').toString('utf8'));
}

function malformed(step: string, text: string) {
  return reject(550, '5.6.0', text, [step]);
}
