import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import type { Job } from '../../job.ts';
import type { Extensions, Limits } from '../extensions.ts';

/** MAIL and RCPT with the parameters that the peer offers. Nothing in an envelope can end a line early. */

/** Of a value in characters (RFC 3461 §4.2, §4.4): a peer may refuse the command for a longer one. */
const LONGEST_ORCPT = 500;
const LONGEST_ENVID = 100;

const ADDRESS = /^(?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^\x00-\x20"<>@\x7f]+)(?:@[^\x00-\x20"<>@\x7f]+)?$/;

/** Whether an address can stand between `<` and `>` in a command: no control character, no bare space or bracket. */
export function isSendable(address: string): boolean {
  return address.length <= 1000 && ADDRESS.test(address);
}

/** Whether a transaction takes another recipient (RFC 9422 §4.2, §4.3), asked for one address after the other. */
export function within({ recipients, domains }: Limits): (address: string) => boolean {
  if (recipients === Number.POSITIVE_INFINITY && domains === Number.POSITIVE_INFINITY) return () => true;
  const seen = new Set<string>();
  let count = 0;
  return (address) => {
    const domain = address.slice(address.lastIndexOf('@') + 1).toLowerCase();
    if (count >= recipients || (!seen.has(domain) && seen.size >= domains)) return false;
    seen.add(domain);
    count++;
    return true;
  };
}

/**
 * `MAIL FROM:<…>` with SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), RET and ENVID (RFC 3461), and, where the
 * session is fit for it, REQUIRETLS (RFC 8689).
 */
export function mailCommand(job: Job, size: number, peer: Extensions, requireTls = false): string {
  let line = `MAIL FROM:<${job.reversePath}>`;
  if (peer.size.offered) line += ` SIZE=${size}`;
  // RFC 6531 §3.6: internationalized header fields are 8-bit content as well.
  if ((job.eightBitBody || job.smtpUtf8) && peer.eightBitMime) line += ' BODY=8BITMIME';
  if (job.smtpUtf8) line += ' SMTPUTF8';
  if (peer.dsn && job.ret !== undefined) line += ` RET=${job.ret}`;
  const envid = job.envid !== undefined && isAscii(job.envid) ? xtext(job.envid) : '';
  if (peer.dsn && envid !== '' && envid.length <= LONGEST_ENVID) line += ` ENVID=${envid}`;
  if (requireTls) line += ' REQUIRETLS';
  return `${line}\r\n`;
}

/** `RCPT TO:<…>` with NOTIFY and ORCPT (RFC 3461 §4.1, §4.2). */
export function rcptCommand(recipient: EnvelopeRecipient, peer: Extensions): string {
  let line = `RCPT TO:<${recipient.address}>`;
  if (!peer.dsn) return `${line}\r\n`;
  if (recipient.notify !== undefined && recipient.notify.length > 0) line += ` NOTIFY=${recipient.notify.join(',')}`;
  const orcpt = originalRecipient(recipient);
  if (orcpt !== undefined && orcpt.length <= LONGEST_ORCPT) line += ` ORCPT=${orcpt}`;
  return `${line}\r\n`;
}

/**
 * ORCPT as received; else the address that the client's RCPT named, where an alias changed it (RFC 3461 §5.2.1 (c)).
 */
function originalRecipient(recipient: EnvelopeRecipient): string | undefined {
  const text = recipient.orcpt ?? (recipient.original === undefined ? undefined : `rfc822;${recipient.original}`);
  const match = text === undefined ? null : /^([a-z0-9-]+);(.+)$/is.exec(text);
  const [, type = '', address = ''] = match ?? [];
  if (match === null) return undefined;
  if (type.toLowerCase() === 'utf-8') return `${type};${utf8Xtext(address)}`;
  // A non-ASCII address has no form under any other type (RFC 6533 §3): no ORCPT is better than a wrong one.
  return isAscii(address) ? `${type};${xtext(address)}` : undefined;
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}

/** RFC 3461 §4: characters outside `!`–`~`, and `+` and `=`, become `+XX`. */
export function xtext(text: string): string {
  return text.replace(/[^!-*,-<>-~]/g, (c) => `+${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/** RFC 6533 §3, utf-8-addr-xtext: every character that xtext would change, or that is not ASCII, becomes `\x{HEX}`. */
export function utf8Xtext(text: string): string {
  return text.replace(/[^!-*,-<>-[\]-~]/gu, (c) => `\\x{${(c.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`);
}
