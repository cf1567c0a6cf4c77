import { isIP } from 'node:net';
import { needsSmtpUtf8 } from '#shared/address/address.ts';
import { newId } from '#shared/ids.ts';
import type { Outcome, RecipientStatus } from '#shared/mail/envelope.ts';
import { fieldValue, foldField, rfc5322Date, splitHeader } from '#shared/mail/header.ts';
import { describeMessageTls, needsTls } from '#shared/mail/message-tls.ts';
import { formatReply, type Reply } from '#shared/mail/reply.ts';
import { oneLine } from '#shared/text.ts';
import { quotedPrintable } from '../delivery/seven-bit/encoders.ts';
import { utf8Xtext } from '../delivery/smtp/commands.ts';
import type { MessageRecord } from '../store/records.ts';
import type { NoticeKind, StatusChange } from './notices.ts';
import { hasShortLines, isAscii, isSevenBit, quote } from './quotation.ts';

/**
 * Delivery status notifications: multipart/report (RFC 6522) of a text for people, a message/delivery-status for
 * programs (RFC 3464), and the original's header or the original itself; in their international forms where the
 * sender declared SMTPUTF8 (RFC 6533). Pure but for the boundary.
 *
 * A notice has the null reverse-path: one that a next hop refuses is lost in silence. So it is 7-bit whatever it quotes,
 * and what is not ASCII is in quoted-printable; a message/delivery-status may not be (RFC 3464 §2.1.1), so its fields are
 * ASCII and short from the start. Only where the address of the sender needs SMTPUTF8, which comes with
 * 8BITMIME (RFC 6531 §3.1), is it 8-bit.
 *
 * All texts for people stand in this file. Header fields go out as they are written here: a subject that is not ASCII would
 * have to be encoded (RFC 2047).
 */

export type NoticeFacts = {
  kind: NoticeKind;
  /** The message that the notice is about. */
  about: { id: string; record: MessageRecord };
  /** Who hears of it. */
  to: string;
  changes: readonly StatusChange[];
  /** Its first bytes: all of it, or its header block; undefined when it cannot be read. */
  original: Buffer | undefined;
  hostname: string;
  /** ms since 1970 */
  now: number;
  /** ms since 1970: until when it is tried. */
  until: number;
};

const CRLF = '\r\n';
/** Of the words of others. */
const LONGEST_TEXT = 900;

const SUBJECTS: Record<NoticeKind, string> = {
  failed: 'Undelivered Mail Returned to Sender',
  delayed: 'Delayed Mail (still being retried)',
  succeeded: 'Successful Mail Delivery Report',
};

/** A whole notice, and the length of its header block with the empty line. `queueId` is the notice's own. */
export function buildDsn(queueId: string, facts: NoticeFacts): { bytes: Buffer; headerBytes: number } {
  const { about, kind, hostname, now, to } = facts;
  const boundary = `=_${newId(24)}`;
  const quoted = quote(about.record, kind, facts.original);
  const eightBit = needsSmtpUtf8(to);
  const parts = [textPart(facts), statusPart(facts), ...(quoted === undefined ? [] : [quoted])].map((part) =>
    encoded(part, eightBit),
  );
  const header = [
    `Date: ${rfc5322Date(now)}`,
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${to}>`,
    `Subject: ${SUBJECTS[kind]}`,
    `Message-ID: <${queueId}@${hostname}>`,
    ...references(facts.original),
    // RFC 3834 §5
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status;${CRLF}\tboundary="${boundary}"`,
    ...(parts.some(({ encoding }) => encoding === '8bit') ? ['Content-Transfer-Encoding: 8bit'] : []),
    '',
    '',
  ].join(CRLF);
  const body: Buffer[] = [Buffer.from(`This is a MIME-encapsulated message.${CRLF}${CRLF}`)];
  for (const { description, type, encoding, content } of parts) {
    const transfer = encoding === '7bit' ? '' : `${CRLF}Content-Transfer-Encoding: ${encoding}`;
    body.push(
      Buffer.from(
        `--${boundary}${CRLF}Content-Description: ${description}${CRLF}Content-Type: ${type}${transfer}${CRLF}${CRLF}`,
      ),
      content,
      Buffer.from(CRLF),
    );
  }
  body.push(Buffer.from(`--${boundary}--${CRLF}`));
  const head = Buffer.from(header);
  return { bytes: Buffer.concat([head, ...body]), headerBytes: head.length };
}

type Part = { description: string; type: string; content: Buffer };
type EncodedPart = Part & { encoding: '7bit' | '8bit' | 'quoted-printable' };

function encoded(part: Part, eightBit: boolean): EncodedPart {
  if (isSevenBit(part.content)) return { ...part, encoding: '7bit' };
  if (eightBit && hasShortLines(part.content)) return { ...part, encoding: '8bit' };
  return { ...part, encoding: 'quoted-printable', content: quotedPrintable(part.content) };
}

const OPENINGS: Record<NoticeKind, string[]> = {
  failed: ['Your message could not be delivered to the recipients below.', 'It will not be tried again.'],
  delayed: ['Your message has not been delivered yet to the recipients below.', 'You need not send it again:'],
  succeeded: ['Your message was handed on for the recipients below.'],
};

function textPart({ kind, about, changes, hostname, until }: NoticeFacts): Part {
  const lines = [`This is the mail system at ${hostname}.`, '', ...OPENINGS[kind]];
  if (kind === 'delayed') lines.push(`it is tried until ${rfc5322Date(until)}.`);
  const { tls } = about.record;
  if (kind !== 'succeeded' && tls !== undefined && needsTls(tls)) {
    lines.push(`It must be sent with ${describeMessageTls(tls)}.`);
  }
  lines.push('', `Queue id: ${about.id}`, `Arrived: ${rfc5322Date(about.record.arrived)}`, '');
  for (const { recipient, status, notice } of changes) {
    const { address, original } = recipient.recipient;
    lines.push(`<${clean(address)}>${original === undefined ? '' : ` (sent to <${clean(original)}>)`}`);
    lines.push(...explain(status, notice).map((l) => `    ${l}`), '');
  }
  const content = Buffer.from(lines.join(CRLF));
  const type = `text/plain; charset=${isAscii(content) ? 'us-ascii' : 'utf-8'}`;
  return { description: 'Notification', type, content };
}

function explain(status: RecipientStatus, notice: StatusChange['notice']): string[] {
  const outcome = outcomeOf(status);
  if (outcome === undefined) return ['has not been tried yet'];
  const said = `${outcome.host === undefined ? '' : `${clean(outcome.host)} said: `}${clean(formatReply(outcome.reply))}`;
  if (status.state === 'expired') return ['gave up because its time in the queue is over; the last answer was', said];
  if (status.state !== 'delivered') return [said];
  const fate =
    notice === 'final'
      ? 'delivered to the mailbox'
      : 'handed to a server that sends no delivery reports; nothing more will be heard of it';
  return [fate, said];
}

/** RFC 3464 §2: a group of fields about the message, then one for each recipient. */
function statusPart(facts: NoticeFacts): Part {
  const { about, changes, hostname } = facts;
  const { record } = about;
  const { envid = '' } = record;
  const values = changes.flatMap(({ recipient: { recipient: r } }) => [r.address, r.original ?? '', r.orcpt ?? '']);
  // RFC 6533 §4: the international form where addresses need it and the sender showed that it understands them.
  const international = record.smtpUtf8 && values.some((v) => !isAscii(v));
  const groups = [
    [
      foldField('Reporting-MTA', `dns; ${hostname}`),
      // RFC 3461 §4.4: it is ASCII.
      ...(envid === '' || !isAscii(envid) ? [] : [foldField('Original-Envelope-Id', clean(envid))]),
      foldField('Arrival-Date', rfc5322Date(record.arrived)),
    ],
    ...changes.map((change) => recipientGroup(change, facts, international)),
  ];
  const content = Buffer.from(groups.map((fields) => fields.join('')).join(CRLF));
  const type = international ? 'message/global-delivery-status' : 'message/delivery-status';
  return { description: 'Delivery report', type, content };
}

/** RFC 3464 §2.3. */
function recipientGroup(change: StatusChange, { kind, until }: NoticeFacts, international: boolean): string[] {
  const { address, original, orcpt } = change.recipient.recipient;
  const outcome = outcomeOf(change.status);
  const fields: string[] = [];
  const put = (name: string, value: string): number => fields.push(foldField(name, value));
  // §2.3.1: only what the sender specified, which an address before its rewriting by this router was, too. Programs
  // compare it: a part of it would be another address.
  const specified = orcpt ?? (original === undefined ? undefined : `rfc822;${original}`);
  const whole = specified === undefined ? '' : typedAddress(specified, international);
  if (whole !== '' && whole.length <= LONGEST_TEXT) put('Original-Recipient', whole);
  put('Final-Recipient', shortened(typedAddress(`rfc822;${address}`, international)));
  put('Action', action(kind, change.notice));
  put('Status', statusCode(change.status, outcome?.reply));
  const remote = remoteMta(outcome?.host);
  if (remote !== undefined) put('Remote-MTA', `dns; ${remote}`);
  if (outcome !== undefined) {
    const text = clean(formatReply(outcome.reply));
    // §2.3.6: `smtp` is what a peer said; our own words have a type of their own.
    const type = outcome.host === undefined ? 'X-Sealpost' : 'smtp';
    put('Diagnostic-Code', `${type}; ${international ? text : text.replace(/[^\x20-\x7e]/g, '?')}`);
    put('Last-Attempt-Date', rfc5322Date(outcome.at));
  }
  if (kind === 'delayed') put('Will-Retry-Until', rfc5322Date(until));
  return fields;
}

/** §2.3.5: the host in `mx.example.net[192.0.2.1]:25`; other kinds of next hop (`maildir`) have none. */
function remoteMta(host = ''): string | undefined {
  const name = /^([\x21-\x5a\x5e-\x7e]+)\[[^\]]*\]:\d+$/.exec(host)?.[1];
  if (name === undefined || isIP(name) === 0) return name;
  return isIP(name) === 6 ? `[IPv6:${name}]` : `[${name}]`;
}

function action(kind: NoticeKind, notice: StatusChange['notice']): string {
  if (kind === 'succeeded') return notice === 'final' ? 'delivered' : 'relayed';
  return kind;
}

function statusCode(status: RecipientStatus, last: Reply | undefined): string {
  // RFC 3463 §3.5: X.4.7, delivery time expired; class 4, because none of the answers was final.
  if (status.state === 'expired') return '4.4.7';
  const digit = status.state === 'delivered' ? '2' : status.state === 'failed' ? '5' : '4';
  // A peer may contradict itself (`550 4.1.1`); the class must be the one that came true.
  return last?.enhanced === undefined ? `${digit}.0.0` : digit + last.enhanced.slice(1);
}

/**
 * `type; address` (RFC 3464 §2.1.2); '' where there is no address. A non-ASCII address is of type utf-8: as it is in an
 * international report, with what is not plain in it as \x{HEX} in another one (RFC 6533 §3, utf-8-addr-xtext).
 */
function typedAddress(text: string, international: boolean): string {
  const [, type = '', given = ''] = /^([a-z0-9-]+);(.+)$/is.exec(text) ?? [];
  const address = oneLine(given, given.length).trim();
  if (address === '') return '';
  const isUtf8 = type.toLowerCase() === 'utf-8' || !isAscii(address);
  return isUtf8 ? `utf-8; ${international ? address : utf8Xtext(address)}` : `${type}; ${address}`;
}

/** A typed address that fits into a line: cut like `clean` does it, but not inside of `\x{HEX}`. */
function shortened(typed: string): string {
  if (typed.length <= LONGEST_TEXT) return typed;
  return `${typed.slice(0, LONGEST_TEXT).replace(/(?:\\(?:x(?:\{[0-9A-F]*)?)?|[\ud800-\udbff])$/, '')}...`;
}

/** The notice belongs to the thread of the message that it is about (RFC 5322 §3.6.4). */
function references(original: Buffer | undefined): string[] {
  if (original === undefined) return [];
  const field = splitHeader(original.toString('latin1')).find((f) => f.name === 'message-id');
  const id = field === undefined ? '' : fieldValue(field);
  return /^<[\x21-\x3b\x3d\x3f-\x7e]{1,900}>$/.test(id) ? [`In-Reply-To: ${id}`, `References: ${id}`] : [];
}

function outcomeOf(status: RecipientStatus): Outcome | undefined {
  return status.state === 'waiting' ? undefined : status.outcome;
}

/** Words of others inside a field or a line of text. Where they are cut stands `...`: a plain report stays plain. */
function clean(text: string): string {
  return text.length > LONGEST_TEXT ? `${oneLine(text, LONGEST_TEXT).slice(0, -1)}...` : oneLine(text, LONGEST_TEXT);
}
