import { fieldValue, splitHeader } from '#shared/mail/header.ts';
import { shortenedHeader } from '../../../notices/quotation.ts';

/**
 * What a failure report shows of the header of a message. Pure.
 *
 * The reader is the owner of the domain in From, who need not have sent the message: it must not learn who got it, or what
 * else is in it. So it gets the fields that tell where the message came from and what SPF, DKIM and DMARC look at; To, Cc and
 * all others, which name recipients or may, are left out. Where an address of a recipient stands in what is left, `redacted`
 * stands for its local part (RFC 6590), and in Received for the one that it names.
 */

const SHOWN = new Set([
  ...['from', 'sender', 'reply-to', 'date', 'subject', 'message-id', 'resent-from', 'resent-sender', 'list-id'],
  ...['received', 'received-spf', 'authentication-results', 'dkim-signature'],
  ...['arc-seal', 'arc-message-signature', 'arc-authentication-results'],
  ...['mime-version', 'content-type', 'content-transfer-encoding', 'user-agent', 'x-mailer'],
]);

/** Bytes of a header that are looked at. */
export const MOST_READ = 64 * 1024;

/** May be, or hold, an address. */
const WORD = /[^\s<>"(),:;[\]\\]+/g;
/** RFC 5321 §4.4, For; some write it without brackets. */
const FOR = /\bfor\s+(?:<[^<>]*>|[^\s;()]+)/gi;

/** Whether the message is a report itself: about such a message none is made. */
export function isReport(header: Buffer): boolean {
  const type = splitHeader(header.toString('latin1')).find(({ name }) => name === 'content-type');
  return type !== undefined && /^multipart\/report\b/i.test(fieldValue(type));
}

/** `header`: the first bytes of a message, of its header block at most. Whole fields, without the empty line. */
export function quotedHeader(header: Buffer, recipients: readonly string[]): Buffer {
  const redact = redactor(recipients);
  const fields = splitHeader(header.toString('latin1'))
    // The last one may be cut off.
    .filter(({ name, raw }) => SHOWN.has(name) && raw.endsWith('\r\n'))
    // A line end alone, or NUL, means something else to each reader.
    .map(({ name, raw }) => ({ name, raw: raw.replace(/\r(?!\n)|(?<!\r)\n|\0/g, ' ') }))
    .map(({ name, raw }) => redact(name === 'received' ? raw.replace(FOR, 'for redacted') : raw));
  return shortenedHeader(Buffer.from(fields.join(''), 'latin1')).content;
}

/** Puts `redacted` into a text for the local parts of these addresses. */
export function redactor(recipients: readonly string[]): (text: string) => string {
  const known = new Set(recipients.map((address) => latin1(address).toLowerCase()));
  return (text) =>
    text.replace(WORD, (word) => (isOneOf(word, known) ? `redacted${word.slice(word.lastIndexOf('@'))}` : word));
}

/** An address, also at the end of a sentence, in single quotes, or as the value of something. */
function isOneOf(word: string, known: ReadonlySet<string>): boolean {
  if (!word.includes('@')) return false;
  const address = word.toLowerCase().replace(/[.'=]$/, '');
  const value = address.slice(Math.max(address.lastIndexOf('='), address.lastIndexOf("'")) + 1);
  return known.has(address) || known.has(value);
}

/** As the bytes of a header are read. */
function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}
