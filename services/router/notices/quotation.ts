import { type HeaderField, splitHeader } from '#shared/mail/header.ts';
import { needsTls } from '#shared/mail/message-tls.ts';
import type { MessageRecord } from '../store/records.ts';
import type { NoticeKind } from './notices.ts';

/**
 * What a notice quotes of the message that it is about (RFC 6522 §3; RFC 3461 §6.2).
 *
 * A notice may reach somebody who never sent the message: so a header is quoted up to a limit, and all of the message
 * only where a client asked for it that is trusted (intake/transfer.ts).
 */

/** Bytes of a quoted header. */
const QUOTED_HEADER_BYTES = 10 * 1024;

const LONGEST_LINE = 998;

/** By these a person, or a program, finds the message: they are quoted before all others where not all have room. */
const IDENTIFYING = new Set(['from', 'sender', 'to', 'cc', 'date', 'subject', 'message-id', 'reply-to']);

export type Quotation = { type: string; description: string; content: Buffer };

/**
 * All that is quoted of mail that may travel in TLS only: the way back to its sender may have none, and the report is not to
 * be lost for that (RFC 8689 §5).
 */
const HARMLESS = new Set(['from', 'to', 'date', 'message-id']);

/** `original`: the first bytes of the message, all of its header at least. Undefined: nothing is quoted. */
export function quote(
  { facts, ret, smtpUtf8, tls }: MessageRecord,
  kind: NoticeKind,
  original: Buffer | undefined,
): Quotation | undefined {
  if (original === undefined) return undefined;
  const header = original.subarray(0, facts.headerBytes);
  // RFC 6533 §6.3: a header in UTF-8 is of type global; raw octets of undeclared mail stay what they were.
  const global = smtpUtf8 && facts.eightBitHeader;
  // RFC 3461 §4.3: RET speaks of failures. A message/rfc822 that is not 7-bit cannot be encoded (RFC 2045 §6.4), and not
  // every server takes it as it is: then its header alone comes back. A message/global can (RFC 6532 §3.7).
  if (kind === 'failed' && ret === 'FULL' && original.length === facts.size && (global || isSevenBit(original))) {
    const type = global ? 'message/global' : 'message/rfc822';
    return { description: 'Undelivered message', type, content: original };
  }
  const { content, complete } = shortenedHeader(header, needsTls(tls) ? HARMLESS : undefined);
  return {
    description: complete ? 'Message header' : 'Message header, shortened',
    type: global ? 'message/global-headers' : 'text/rfc822-headers',
    content,
  };
}

/** The fields for which there is room, in their order, without the empty line; `only`: of those with these names. */
export function shortenedHeader(header: Buffer, only?: ReadonlySet<string>): { content: Buffer; complete: boolean } {
  const fields = splitHeader(header.toString('latin1'));
  const chosen = new Set<HeaderField>();
  let room = QUOTED_HEADER_BYTES;
  const choose = (field: HeaderField): void => {
    if (field.raw.length > room || only?.has(field.name) === false) return;
    room -= field.raw.length;
    chosen.add(field);
  };
  for (const field of fields) if (IDENTIFYING.has(field.name)) choose(field);
  for (const field of fields) if (!IDENTIFYING.has(field.name)) choose(field);
  const text = fields.flatMap((field) => (chosen.has(field) ? [field.raw] : [])).join('');
  return { content: Buffer.from(text, 'latin1'), complete: chosen.size === fields.length };
}

export function isAscii(value: string | Uint8Array): boolean {
  return typeof value === 'string' ? /^[\x00-\x7f]*$/.test(value) : value.every((byte) => byte < 128);
}

/** ASCII, in lines of at most 998 characters (RFC 5322 §2.1.1). */
export function isSevenBit(content: Buffer): boolean {
  return isAscii(content) && hasShortLines(content);
}

export function hasShortLines(content: Buffer): boolean {
  return content
    .toString('latin1')
    .split('\r\n')
    .every((line) => line.length <= LONGEST_LINE);
}
