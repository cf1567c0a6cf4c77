import { isAscii } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Settings } from '#cluster/config/settings.ts';
import { domainOf, needsSmtpUtf8 } from '#shared/address/address.ts';
import { encodedWords } from '#shared/mail/encoded-words.ts';
import { fieldValue, type HeaderField, rfc5322Date, splitHeader } from '#shared/mail/header.ts';
import type { Bodies } from '../store/bodies.ts';
import { contentOf, sizeOf } from '../store/content.ts';
import type { Message } from '../store/message.ts';

/**
 * A journal report: what an archive gets in place of the message itself (`form: report`), in the form that archives know from
 * Exchange. A multipart/mixed of a text with the envelope, one recipient a line, those of Bcc as well, and of the message as a
 * message/rfc822.
 *
 * It is made anew at each attempt from the records of the message: so nothing of it lies on disk, and it has the same Message-ID on a node
 * that takes the message over. The Received fields of the message stand in its header too: where a
 * report comes back to us, they add up as those of any mail, and limits.hops ends a loop.
 */

const CRLF = '\r\n';

/**
 * What stands before the stored bytes of a message, without the first `replaced` of them, and behind them; `size`: of all of it.
 * It is sent byte for byte, so never converted to 7 bit, and unsigned: this server is its author. Rejects like `Bodies.piece`.
 */
export async function openReport(
  message: Message,
  { bodies, settings }: { bodies: Bodies; settings: Settings },
): Promise<{ head: Buffer; replaced: number; tail: Buffer; size: number }> {
  const { record } = message;
  const { front, replaced } = contentOf(record);
  const header = replaced > 0 ? front : Buffer.concat([front, await bodies.head(message, record.facts.headerBytes)]);
  const { head, tail } = journalReport(message, header, settings.current.node.hostname);
  const size = head.length + sizeOf(record) + tail.length;
  return { head: Buffer.concat([head, front]), replaced, tail, size };
}

/** What stands in front of the message, and behind it. `header`: of the message as it goes out. */
function journalReport(message: Message, header: Buffer, hostname: string): { head: Buffer; tail: Buffer } {
  const { id, record } = message;
  const fields = splitHeader(header.toString('latin1'));
  const boundary = `=_${createHash('sha256').update(`${id} ${record.trace}`).digest('hex').slice(0, 40)}`;
  const text = Buffer.from(`${envelopeLines(message, fields).join(CRLF)}${CRLF}`);
  const { eightBitBody } = record.facts;
  const eightBitHeader = !isAscii(header);
  const outer = [
    ...fields.filter(({ name }) => name === 'received').map(({ raw }) => asciiOf(raw).trimEnd()),
    `Date: ${rfc5322Date(record.arrived)}`,
    `From: Journal <MAILER-DAEMON@${hostname}>`,
    'To: undisclosed-recipients:;',
    `Subject: ${subjectOf(fields)}`,
    `Message-ID: <${id}.journal@${archiveDomain(message)}>`,
    'Auto-Submitted: auto-generated',
    'X-MS-Journal-Report:',
    'MIME-Version: 1.0',
    `Content-Type: multipart/mixed;${CRLF}\tboundary="${boundary}"`,
    ...(eightBitBody || eightBitHeader || !isAscii(text) ? ['Content-Transfer-Encoding: 8bit'] : []),
    '',
    `--${boundary}`,
    `Content-Type: text/plain; charset=${isAscii(text) ? 'us-ascii' : 'utf-8'}`,
    ...(isAscii(text) ? [] : ['Content-Transfer-Encoding: 8bit']),
    '',
    '',
  ];
  const part = [
    `--${boundary}`,
    // RFC 6532 §3.7: a message whose header is not ASCII.
    `Content-Type: message/${eightBitHeader ? 'global' : 'rfc822'}`,
    ...(eightBitBody || eightBitHeader ? ['Content-Transfer-Encoding: 8bit'] : []),
    '',
    '',
  ];
  const head = Buffer.concat([Buffer.from(outer.join(CRLF)), text, Buffer.from(CRLF + part.join(CRLF))]);
  return { head, tail: Buffer.from(`${CRLF}--${boundary}--${CRLF}`) };
}

/** Whether a peer must offer 8BITMIME for the report. */
export function isEightBitReport({ record, recipients }: Message): boolean {
  const { eightBitBody, eightBitHeader } = record.facts;
  const names = recipients.flatMap(({ recipient: { address, original = '' } }) => [address, original]);
  return eightBitBody || eightBitHeader || [record.reversePath, ...names].some(needsSmtpUtf8);
}

function envelopeLines({ record, recipients }: Message, fields: readonly HeaderField[]): string[] {
  const valuesOf = (name: string): string[] =>
    fields
      .filter((f) => f.name === name)
      .slice(0, 1)
      .map(fieldValue);
  return [
    `Sender: ${record.reversePath || '<>'}`,
    ...valuesOf('subject').map((value) => `Subject: ${Buffer.from(value, 'latin1').toString()}`),
    ...valuesOf('message-id').map((value) => `Message-Id: ${value}`),
    ...recipients.flatMap(({ recipient: { address, original, journal } }) => {
      // The archive is a recipient only where the sender named it.
      if (journal !== undefined && original === undefined) return [];
      return [
        `Recipient: ${address}${original === undefined || original === address ? '' : `, Expanded: ${original}`}`,
      ];
    }),
  ];
}

/** The same on every node, unlike our own name. */
function archiveDomain({ recipients }: Message): string {
  const archive = recipients.find(({ recipient: { journal } }) => journal?.form === 'report');
  return domainOf(archive?.recipient.address ?? '');
}

function subjectOf(fields: readonly HeaderField[]): string {
  const field = fields.find(({ name }) => name === 'subject');
  if (field === undefined) return '';
  const value = field.raw.slice(field.raw.indexOf(':') + 1).trim();
  return isAscii(Buffer.from(value, 'latin1')) ? value : encodedWords(value);
}

/** A field of a trace, in which characters that are not ASCII say nothing that counts. */
function asciiOf(raw: string): string {
  return raw.replace(/[\u0080-\u00ff]/g, '?');
}
