import { needsSmtpUtf8 } from '#shared/address/address.ts';
import { newId } from '#shared/ids.ts';
import { encodedWords } from '#shared/mail/encoded-words.ts';
import { fieldValue, rfc5322Date, splitHeader } from '#shared/mail/header.ts';
import { Base64, quotedPrintable } from '../delivery/seven-bit/encoders.ts';
import type { MessageRecord } from '../store/records.ts';
import { deliveryStatus } from './delivery-status.ts';
import { explanation } from './explanation.ts';
import type { NoticeFacts } from './facts.ts';
import { TEXTS } from './languages/tables.ts';
import { hasShortLines, isAscii, isSevenBit, quote } from './quotation.ts';
import { LOOP_FIELD } from './readers.ts';

/**
 * Delivery status notifications: multipart/report (RFC 6522) of a text for people (explanation.ts), a message/delivery-status
 * for programs (delivery-status.ts), and the original's header or the original itself (quotation.ts). Pure but for the
 * boundary.
 *
 * A notice has the null reverse-path: one that a next hop refuses is lost in silence. So it is 7-bit whatever it quotes,
 * and what is not ASCII is encoded. Only where the address of the sender needs SMTPUTF8, which comes with 8BITMIME
 * (RFC 6531 §3.1), is it 8-bit.
 */

const CRLF = '\r\n';

/** A whole notice, and the length of its header block with the empty line. `queueId` is the notice's own. */
export function buildDsn(queueId: string, facts: NoticeFacts): { bytes: Buffer; headerBytes: number } {
  const boundary = `=_${newId(24)}`;
  const parts = partsOf(facts);
  const header = Buffer.from(headerOf(queueId, facts, boundary, parts));
  const body: Buffer[] = [Buffer.from(`This is a MIME-encapsulated message.${CRLF}${CRLF}`)];
  for (const { fields, encoding, content } of parts) {
    const transfer = encoding === '7bit' ? [] : [`Content-Transfer-Encoding: ${encoding}`];
    body.push(Buffer.from([`--${boundary}`, ...fields, ...transfer, '', ''].join(CRLF)), content, Buffer.from(CRLF));
  }
  body.push(Buffer.from(`--${boundary}--${CRLF}`));
  return { bytes: Buffer.concat([header, ...body]), headerBytes: header.length };
}

function headerOf(
  queueId: string,
  { kind, hostname, now, to, language, original, postmaster }: NoticeFacts,
  boundary: string,
  parts: readonly EncodedPart[],
): string {
  const texts = TEXTS[language];
  return [
    `Date: ${rfc5322Date(now)}`,
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${to}>`,
    `Subject: ${subject(postmaster === undefined ? texts.subject[kind] : texts.postmaster.subject)}`,
    `Message-ID: <${queueId}@${hostname}>`,
    ...references(original),
    ...(postmaster === undefined ? [] : [`${LOOP_FIELD}: ${to}`]),
    // RFC 3834 §5
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status;${CRLF}\tboundary="${boundary}"`,
    ...(parts.some(({ encoding }) => encoding === '8bit') ? ['Content-Transfer-Encoding: 8bit'] : []),
    '',
    '',
  ].join(CRLF);
}

/** `fields`: its header without the encoding. */
type Part = { fields: string[]; content: Buffer };
type EncodedPart = Part & { encoding: '7bit' | '8bit' | 'quoted-printable' | 'base64' };

function partsOf(facts: NoticeFacts): EncodedPart[] {
  const status = deliveryStatus(facts);
  const { record } = facts.about;
  // What people wrote to each other is not for the postmaster.
  const quotable: MessageRecord = facts.postmaster === undefined ? record : { ...record, ret: 'HDRS' };
  const quoted = quote(quotable, facts.kind, facts.original);
  const parts = [
    textPart(facts),
    part('Delivery report', status),
    ...(quoted === undefined ? [] : [part(quoted.description, quoted)]),
  ];
  const eightBit = needsSmtpUtf8(facts.to);
  return parts.map((one) => encoded(one, eightBit));
}

function part(description: string, { type, content }: { type: string; content: Buffer }): Part {
  return { fields: [`Content-Description: ${description}`, `Content-Type: ${type}`], content };
}

function encoded(part: Part, eightBit: boolean): EncodedPart {
  const { content } = part;
  if (isSevenBit(content)) return { ...part, encoding: '7bit' };
  if (eightBit && hasShortLines(content)) return { ...part, encoding: '8bit' };
  // The shorter one: three characters for a byte that is not ASCII, or four for each three bytes.
  const others = content.reduce((count, byte) => count + (byte > 127 ? 1 : 0), 0);
  if (others * 6 < content.length) {
    return { ...part, encoding: 'quoted-printable', content: quotedPrintable(content) };
  }
  const encoder = new Base64();
  return { ...part, encoding: 'base64', content: Buffer.concat([encoder.push(content), encoder.end()]) };
}

/** RFC 2047, and folded, where it is not ASCII. */
function subject(text: string): string {
  return isAscii(text) ? text : encodedWords(Buffer.from(text).toString('latin1'));
}

function textPart(facts: NoticeFacts): Part {
  const content = Buffer.from(explanation(facts).join(CRLF));
  const type = `text/plain; charset=${isAscii(content) ? 'us-ascii' : 'utf-8'}`;
  const { fields } = part('Notification', { type, content });
  return { fields: [`Content-Language: ${facts.language}`, ...fields], content };
}

/** The notice belongs to the thread of the message that it is about (RFC 5322 §3.6.4). */
function references(original: Buffer | undefined): string[] {
  if (original === undefined) return [];
  const field = splitHeader(original.toString('latin1')).find((f) => f.name === 'message-id');
  const id = field === undefined ? '' : fieldValue(field);
  return /^<[\x21-\x3b\x3d\x3f-\x7e]{1,900}>$/.test(id) ? [`In-Reply-To: ${id}`, `References: ${id}`] : [];
}
