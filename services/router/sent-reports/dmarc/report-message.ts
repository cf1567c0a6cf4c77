import { domainOf } from '#shared/address/address.ts';
import { foldField, rfc5322Date } from '#shared/mail/header.ts';
import { type Queued, queued } from '../queued.ts';

/** An aggregate report as mail (RFC 9990 §3.5.2), and as a message of the queue. */

export type ReportMail = {
  /** The domain that it is about. */
  domain: string;
  id: string;
  /** Seconds since 1970. */
  begin: number;
  end: number;
  /** Its author. */
  from: string;
  organisation: string;
  /** The XML, compressed. */
  gzip: Buffer;
};

const CRLF = '\r\n';
/** The last part of a message, so that all of it can be measured before its recipients are known. */
const BASE64_LINE = 76;

/** The body of the mail. `boundary` must not occur in it. */
export function reportBody({ domain, id, begin, end, from, organisation, gzip }: ReportMail, boundary: string): Buffer {
  // RFC 9990 §3.5.2: receiver "!" policy-domain "!" begin "!" end "!" unique-id
  const file = `${domainOf(from)}!${domain}!${begin}!${end}!${id}.xml.gz`;
  const text = [
    `This is a DMARC aggregate report on ${domain} from ${oneLine(organisation)}`,
    `for ${day(begin)} to ${day(end)}. It was made by a program for a program.`,
  ];
  const base64 = gzip.toString('base64').match(new RegExp(`.{1,${BASE64_LINE}}`, 'g')) ?? [];
  return Buffer.from(
    [
      `--${boundary}`,
      `Content-Type: text/plain; charset=${/^[\x20-\x7e]*$/.test(text.join('')) ? 'us-ascii' : 'utf-8'}`,
      'Content-Transfer-Encoding: base64',
      '',
      ...(Buffer.from(text.join(CRLF) + CRLF)
        .toString('base64')
        .match(new RegExp(`.{1,${BASE64_LINE}}`, 'g')) ?? []),
      `--${boundary}`,
      'Content-Type: application/gzip',
      `Content-Disposition: attachment;${CRLF}\tfilename="${file}"`,
      'Content-Transfer-Encoding: base64',
      '',
      ...base64,
      `--${boundary}--`,
      '',
    ].join(CRLF),
  );
}

export function reportMessage(
  mail: ReportMail,
  to: readonly string[],
  known: { boundary: string; body: Buffer; now: number; hostname: string },
): Queued {
  const { boundary, body, now, hostname } = known;
  return queued({ header: headerOf(mail, to, boundary, now), body, to, now, hostname });
}

function headerOf(mail: ReportMail, to: readonly string[], boundary: string, now: number): string {
  const { domain, id, from } = mail;
  const submitter = domainOf(from);
  return [
    foldField('Date', rfc5322Date(now)),
    foldField('From', `<${from}>`),
    foldField('To', to.map((address) => `<${address}>`).join(', ')),
    // RFC 9990 §3.5.2
    foldField('Subject', `Report Domain: ${domain} Submitter: ${submitter} Report-ID: <${id}>`),
    `Message-ID: <${id}@${submitter}>${CRLF}`,
    // RFC 3834 §5
    `Auto-Submitted: auto-generated${CRLF}`,
    `MIME-Version: 1.0${CRLF}`,
    `Content-Type: multipart/mixed;${CRLF}\tboundary="${boundary}"${CRLF}`,
    CRLF,
  ].join('');
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

function day(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}
