import { isAscii } from 'node:buffer';
import { createHash } from 'node:crypto';
import { domainOf } from '#shared/address/address.ts';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { encodedWords } from '#shared/mail/encoded-words.ts';
import { fieldValue, type HeaderField, rfc5322Date, splitHeader } from '#shared/mail/header.ts';
import type { Converted } from '../../delivery/seven-bit/conversion.ts';
import { Base64, quotedPrintable } from '../../delivery/seven-bit/encoders.ts';
import { isSevenBit } from '../../notices/quotation.ts';
import { contentOf } from '../../store/content.ts';
import type { Message } from '../../store/message.ts';

/**
 * A journal report: what an archive gets in place of the message itself (`form: report`), in the form that archives know from
 * Exchange. A multipart/mixed of a text with the envelope, one recipient a line, those of Bcc as well, and of the message, byte for
 * byte as it was accepted.
 *
 * It is made anew at each attempt from the records of the message: so nothing of it lies on disk, and it has the same Message-ID on a node
 * that takes the message over. This server is its author and signs it as its other mail. The Received fields of the message stand
 * in its header too: where a report comes back to us, they add up as those of any mail, and limits.hops ends a loop.
 *
 * A message that is not 7-bit needs 8BITMIME as message/rfc822, which must not be encoded (RFC 2046 §5.2.1). For a peer without it
 * the message goes as message/global, which may hold whatever message/rfc822 does and be encoded (RFC 6532 §3.7), in base64. So
 * what an archive keeps is what was accepted, with signatures that can be verified, where a conversion of the parts inside would
 * change it; and no route has to allow it, as nothing of others is converted.
 */

const CRLF = '\r\n';
/** What some readers take for the end of a line: the envelope has one fact a line, and a sender writes none of them. */
const LINE_ENDS = /[\p{Cc}\p{Zl}\p{Zp}]+/gu;

/** `hostname`: of this node. `sevenBit`: for a peer without 8BITMIME. */
export type ReportOptions = { hostname: string; sevenBit: boolean };

/**
 * The report around a message. `header`: of the message as it goes out; `content`: all of that. Rejects like `content`, which is
 * read once to hash the report, and again to send it.
 */
export async function journalReport(
  message: Message,
  { header, content }: { header: Buffer; content: () => AsyncIterable<Uint8Array> },
  { hostname, sevenBit }: ReportOptions,
): Promise<Converted> {
  const boundary = boundaryOf(message);
  const fields = splitHeader(header.toString('latin1'));
  const eightBit = isEightBit(message);
  const outer = headerOf(message, { fields, boundary, hostname, eightBit: eightBit && !sevenBit });
  const front = frontOf(message, { fields, boundary, header, eightBit, sevenBit });
  const attached = eightBit && sevenBit ? () => base64(content()) : content;
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield front;
    yield* attached();
    yield Buffer.from(`${CRLF}--${boundary}--${CRLF}`);
  };
  const hash = new RelaxedBodyHash();
  let size = outer.length;
  for await (const bytes of body()) {
    hash.update(bytes);
    size += bytes.length;
  }
  return { header: outer, size, bodyHash: hash.digest(), body };
}

/** Whether the message inside is not 7-bit, so that a peer must offer 8BITMIME for its report as it is. */
export function isEightBit({ record }: Message): boolean {
  const { eightBitBody, eightBitHeader } = record.facts;
  return eightBitBody || eightBitHeader || !isAscii(contentOf(record).front);
}

async function* base64(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const encoder = new Base64();
  for await (const bytes of content) yield encoder.push(bytes);
  yield encoder.end();
}

/** It does not occur in the message, whose sender cannot know it, and is the same at each attempt. */
function boundaryOf({ id, record }: Message): string {
  return `=_${createHash('sha256').update(`${id} ${record.trace}`).digest('hex').slice(0, 40)}`;
}

function headerOf(
  message: Message,
  {
    fields,
    boundary,
    hostname,
    eightBit,
  }: { fields: readonly HeaderField[]; boundary: string; hostname: string; eightBit: boolean },
): Buffer {
  const lines = [
    ...fields.filter(({ name }) => name === 'received').map(({ raw }) => folded(asciiOf(raw))),
    `Date: ${rfc5322Date(message.record.arrived)}`,
    `From: Journal <MAILER-DAEMON@${hostname}>`,
    'To: undisclosed-recipients:;',
    `Subject: ${subjectOf(fields)}`,
    `Message-ID: <${message.id}.journal@${archiveDomain(message)}>`,
    'Auto-Submitted: auto-generated',
    'X-MS-Journal-Report:',
    'MIME-Version: 1.0',
    `Content-Type: multipart/mixed;${CRLF}\tboundary="${boundary}"`,
    ...(eightBit ? ['Content-Transfer-Encoding: 8bit'] : []),
  ];
  return Buffer.from(lines.join(CRLF) + CRLF + CRLF);
}

type FrontOf = {
  fields: readonly HeaderField[];
  boundary: string;
  header: Buffer;
  eightBit: boolean;
  sevenBit: boolean;
};

/** What stands between the header and the message: the text, 7-bit for every peer, and the header of the other part. */
function frontOf(message: Message, { fields, boundary, header, eightBit, sevenBit }: FrontOf): Buffer {
  const text = Buffer.from(`${envelopeLines(message, fields).join(CRLF)}${CRLF}`);
  const plain = isSevenBit(text);
  // RFC 6532 §3.7 for a header that is not ASCII, too.
  const global = !isAscii(header) || (eightBit && sevenBit);
  const lines = [
    `--${boundary}`,
    `Content-Type: text/plain; charset=${isAscii(text) ? 'us-ascii' : 'utf-8'}`,
    ...(plain ? [] : ['Content-Transfer-Encoding: quoted-printable']),
    '',
    (plain ? text : quotedPrintable(text)).toString('latin1'),
    `--${boundary}`,
    `Content-Type: message/${global ? 'global' : 'rfc822'}`,
    ...(eightBit ? [`Content-Transfer-Encoding: ${sevenBit ? 'base64' : '8bit'}`] : []),
    '',
    '',
  ];
  return Buffer.from(lines.join(CRLF), 'latin1');
}

function envelopeLines({ record, recipients }: Message, fields: readonly HeaderField[]): string[] {
  const valuesOf = (name: string): string[] =>
    fields
      .filter((f) => f.name === name)
      .slice(0, 1)
      .map((field) => Buffer.from(fieldValue(field), 'latin1').toString());
  const lines = [
    `Sender: ${record.reversePath || '<>'}`,
    ...valuesOf('subject').map((value) => `Subject: ${value}`),
    ...valuesOf('message-id').map((value) => `Message-Id: ${value}`),
    ...recipients.flatMap(({ recipient: { address, original, journal } }) => {
      // The archive is a recipient only where the sender named it.
      if (journal !== undefined && original === undefined) return [];
      return [
        `Recipient: ${address}${original === undefined || original === address ? '' : `, Expanded: ${original}`}`,
      ];
    }),
  ];
  return lines.map((line) => line.replace(LINE_ENDS, ' '));
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
  return isAscii(Buffer.from(value, 'latin1')) ? folded(value) : encodedWords(value);
}

/**
 * A field is one of the report too, whatever its sender wrote: a line that is neither a field nor its fold would end the header
 * for the archive, which would then find no report.
 */
function folded(raw: string): string {
  const [first = '', ...others] = raw.split(CRLF).map((line) => line.trimEnd());
  const rest = others.filter((line) => line !== '').map((line) => (/^[ \t]/.test(line) ? line : ` ${line}`));
  return [first, ...rest].join(CRLF);
}

/** A field of a trace, in which characters that are not ASCII say nothing that counts. */
function asciiOf(raw: string): string {
  return raw.replace(/[\u0080-\u00ff]/g, '?');
}
