import { parseIp } from '#shared/address/ip-address.ts';
import { rfc5322Date } from '#shared/mail/header.ts';
import type { SessionFacts } from '../contract.ts';

/** What goes into the field. `hostname` is ours; `recipients` as the client named them. */
type TraceFacts = {
  session: SessionFacts;
  hostname: string;
  queueId: string;
  recipients: readonly string[];
  smtpUtf8: boolean;
  now: Date;
};

const MAX_LINE = 78;

/**
 * The Received field (RFC 5321 §4.4) with its CRLF, ASCII only. One clause a line. Everything that the client chose
 * is reduced to characters that cannot end a clause, a comment or the field. No product, no version, no user name.
 */
export function receivedField(trace: TraceFacts): string {
  const { session, hostname, queueId, now } = trace;
  const { client, tls } = session;
  const clauses = [`from ${heloName(client.helo)} (${hostName(client.name)}${literal(client.address)})`];
  if (tls !== undefined) clauses.push(`(using ${word(tls.protocol)} with cipher ${word(tls.cipher)})`);
  clauses.push(`by ${hostname} with ${protocol(trace)} id ${queueId}`);
  const only = onlyRecipient(trace.recipients);
  if (only !== undefined) clauses.push(`for <${only}>`);
  // RFC 8314 §4.3: the name of the cipher suite in IANA's registry.
  if (tls?.suite !== undefined) clauses.push(`tls ${word(tls.suite)}`);
  clauses.push(`${clauses.pop()};`, rfc5322Date(now));
  return `Received: ${layOut(clauses)}\r\n`;
}

/** RFC 3848, with the UTF8 forms of RFC 6531 §4.3. A client that used an extension spoke ESMTP, HELO or not. */
function protocol({ session, smtpUtf8 }: TraceFacts): string {
  const { greeting, tls, user } = session;
  if (greeting === 'HELO' && !smtpUtf8 && tls === undefined && user === undefined) return 'SMTP';
  return `${smtpUtf8 ? 'UTF8SMTP' : 'ESMTP'}${tls === undefined ? '' : 'S'}${user === undefined ? '' : 'A'}`;
}

/** What the client called itself: the characters of domains and address literals (§4.1.2, §4.1.3). */
function heloName(helo: string): string {
  return helo.replace(/[^A-Za-z0-9._:[\]-]/g, '').slice(0, 255) || 'unknown';
}

function hostName(name: string | null): string {
  return name === null ? 'unknown' : heloName(name);
}

/** ` [192.0.2.1]` or ` [IPv6:2001:db8::1]` (RFC 5321 §4.1.3); '' where the text is not an address. */
function literal(text: string): string {
  const address = parseIp(text);
  if (address === undefined) return '';
  return address.kind() === 'ipv6' ? ` [IPv6:${address.toString()}]` : ` [${address.toString()}]`;
}

function word(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]/g, '') || 'unknown';
}

/**
 * The recipient, where there is only one: with several, each would learn of the others (§7.6). One that is not plain ASCII,
 * has no domain, has dots where the field knows none or could break the field is left out; the clause is optional.
 */
function onlyRecipient(recipients: readonly string[]): string | undefined {
  const [only, ...others] = recipients;
  return only !== undefined &&
    others.length === 0 &&
    /^[\x21-\x7e]+@[\x21-\x7e]+$/.test(only) &&
    !/[<>()\\;]|^\.|\.\.|\.@/.test(only)
    ? only
    : undefined;
}

/** Clauses on lines of at most 78 characters: each begins a line of its own, and is broken at spaces if it must. */
function layOut(clauses: readonly string[]): string {
  let room = MAX_LINE - 'Received: '.length;
  const lines: string[] = [];
  for (const clause of clauses) {
    let line = '';
    for (const part of clause.split(' ')) {
      if (line !== '' && line.length + 1 + part.length > room) {
        lines.push(line);
        line = '';
        // A tab counts as the one character it is.
        room = MAX_LINE - 1;
      }
      line = line === '' ? part : `${line} ${part}`;
    }
    lines.push(line);
    room = MAX_LINE - 1;
  }
  return lines.join('\r\n\t');
}
