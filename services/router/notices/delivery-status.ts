import { isIP } from 'node:net';
import type { RecipientStatus } from '#shared/mail/envelope.ts';
import { foldField, rfc5322Date } from '#shared/mail/header.ts';
import { formatReply, type Reply } from '#shared/mail/reply.ts';
import { oneLine } from '#shared/text.ts';
import { utf8Xtext } from '../delivery/smtp/transaction/commands.ts';
import { clean, LONGEST_TEXT, type NoticeFacts, outcomeOf } from './facts.ts';
import { isOfList, type NoticeKind, type StatusChange } from './notices.ts';
import { isAscii } from './quotation.ts';

/**
 * The part of a notice for programs: message/delivery-status (RFC 3464), or its international form where the sender declared
 * SMTPUTF8 (RFC 6533). A message/delivery-status has no transfer encoding (RFC 3464 §2.1.1), so its fields are ASCII and short
 * from the start, in English whatever the language of the notice.
 */

const CRLF = '\r\n';

/** RFC 3464 §2: a group of fields about the message, then one for each recipient. */
export function deliveryStatus(facts: NoticeFacts): { type: string; content: Buffer } {
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
  return { type, content };
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
  // RFC 3463 §3.2: X.1.5, the address is a valid destination.
  put('Status', isOfList(change) ? '2.1.5' : statusCode(change.status, outcome?.reply));
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
  if (kind !== 'succeeded') return kind;
  if (notice === 'expanded') return 'expanded';
  return notice === 'relayed' ? 'relayed' : 'delivered';
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
