import { isIP } from 'node:net';
import { domainOf, isSameOrSubdomain } from '#shared/address/address.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { authenticationResults } from '#shared/mail/authenticity-fields.ts';
import { foldField, rfc5322Date } from '#shared/mail/header.ts';
import { quotedPrintable } from '../../../delivery/seven-bit/encoders.ts';
import { isSevenBit } from '../../../notices/quotation.ts';
import { plainAddress } from '../../names.ts';
import type { Failed } from './asked.ts';
import { redactor } from './quoted-header.ts';

/**
 * A failure report as mail: multipart/report (RFC 6522) of a text for people, a message/feedback-report for programs
 * (RFC 5965, RFC 6591, RFC 9991 §4), and the header of the message. Pure. Strangers chose most values: those that could end
 * a field are not said.
 */

export type FailureMail = {
  failed: Failed;
  found: Authenticity;
  /** The domain of the author. */
  domain: string;
  /** What is shown of the header of the message; empty where the router does not have it. */
  quoted: Buffer;
  /** The SPF record of the domain that SPF was asked about, where it is to be said. */
  spfRecord: string | undefined;
  authservId: string;
  hostname: string;
  /** `Sealpost/1.2.3` */
  agent: string;
};

const CRLF = '\r\n';
/** Of a value: RFC 5322 §2.1.1 allows 998 with the name of the field. */
const LONGEST_VALUE = 900;

export function failureSubject(domain: string): string {
  return `DMARC failure report on ${domain}`;
}

/** The type of the mail. `boundary` must not occur in its body. */
export function failureType(boundary: string): string {
  return `multipart/report; report-type=feedback-report;${CRLF}\tboundary="${boundary}"`;
}

export function failureBody(mail: FailureMail, boundary: string): Buffer {
  const { quoted } = mail;
  const plain = isSevenBit(quoted);
  const parts: [head: string[], content: string | Buffer][] = [
    [['Content-Type: text/plain; charset=us-ascii'], textPart(mail)],
    [['Content-Type: message/feedback-report'], fieldsPart(mail)],
    [
      ['Content-Type: text/rfc822-headers', ...(plain ? [] : ['Content-Transfer-Encoding: quoted-printable'])],
      plain ? quoted : quotedPrintable(quoted),
    ],
  ];
  const all = parts.flatMap(([head, content]) => [
    Buffer.from([`--${boundary}`, ...head, '', ''].join(CRLF)),
    Buffer.from(content),
    Buffer.from(CRLF),
  ]);
  return Buffer.concat([...all, Buffer.from(`--${boundary}--${CRLF}`)]);
}

function textPart({ failed, domain, quoted, hostname }: FailureMail): string {
  const source = sourceIp(failed);
  return [
    `This is a DMARC failure report from ${hostname}.`,
    'It was made by a program for a program.',
    '',
    `A message in the name of ${domain}${source === undefined ? '' : ` from ${source}`}`,
    `failed DMARC at ${rfc5322Date(failed.arrived)}.`,
    quoted.length === 0 ? 'Its header is not available.' : 'What names its recipients was removed from its header.',
    '',
  ].join(CRLF);
}

/** RFC 6591 §3.1, RFC 9991 §4. */
function fieldsPart(mail: FailureMail): string {
  const { failed, found, domain, authservId, agent } = mail;
  const failing = [...(found.dmarc.dkimAligned ? [] : ['dkim']), ...(found.dmarc.spfAligned ? [] : ['spf'])];
  return [
    field('Feedback-Type', 'auth-failure'),
    field('User-Agent', agent),
    field('Version', '1'),
    field('Auth-Failure', 'dmarc'),
    authenticationResults(authservId, found),
    field('Identity-Alignment', failing.join(', ') || 'none'),
    field('Delivery-Result', failed.result),
    field('Source-IP', sourceIp(failed)),
    field('Reported-Domain', domain),
    field('Original-Mail-From', originalMailFrom(failed)),
    field('Arrival-Date', rfc5322Date(failed.arrived)),
    ...signatureFields(found),
    ...spfField(mail),
  ].join('');
}

/** RFC 9991 §4: of a signature of the author's domain that fails. */
function signatureFields({ dkim }: Authenticity): string[] {
  const failing = dkim.find(({ aligned, result }) => aligned && result !== 'pass');
  if (failing === undefined) return [];
  const { domain, identity, selector } = failing;
  return [
    field('DKIM-Domain', domain),
    // RFC 6376 §3.5: the default of i=.
    field('DKIM-Identity', identity ?? (domain === undefined ? undefined : `@${domain}`)),
    field('DKIM-Selector', selector),
  ];
}

/** Whether the report has to tell the record of SPF (RFC 9991 §4): it was asked about the author's domain, and did not pass. */
export function needsSpfRecord({ spf, dmarc }: Authenticity): boolean {
  const { record } = dmarc;
  return record !== undefined && SPF_FAILED.has(spf.result) && isSameOrSubdomain(spf.domain, record.domain);
}

const SPF_FAILED: ReadonlySet<string> = new Set(['fail', 'softfail', 'neutral', 'permerror']);

/** RFC 6591 §4, spf-dns. */
function spfField({ found: { spf }, spfRecord }: FailureMail): string[] {
  if (spfRecord === undefined) return [];
  const text = spfRecord.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&');
  return [field('SPF-DNS', `txt : ${spf.domain} : "${text}"`)];
}

/** A value that is ASCII and short; any other one is left out with its field. */
function field(name: string, value: string | undefined): string {
  if (value === undefined || value.length > LONGEST_VALUE || !/^[\x20-\x7e]+$/.test(value)) return '';
  return foldField(name, value);
}

function sourceIp({ origin }: Failed): string | undefined {
  const source = plainAddress(origin.client.address);
  return isIP(source) === 0 ? undefined : source;
}

/** Some lists write the address of the recipient into the local part (`bounce+bob=example.com@`): then it is not shown. */
function originalMailFrom({ reversePath, recipients }: Failed): string {
  const domain = domainOf(reversePath);
  const local = reversePath.slice(0, reversePath.lastIndexOf('@')).toLowerCase();
  const names = recipients.some(
    (recipient) => domainOf(recipient) !== '' && local.includes(domainOf(recipient).toLowerCase()),
  );
  return `<${names ? `redacted@${domain}` : redactor(recipients)(reversePath)}>`;
}
