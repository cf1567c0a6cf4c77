import { domainOf } from '#shared/address/address.ts';
import { foldField, rfc5322Date } from '#shared/mail/header.ts';
import { type Queued, queued } from './queued.ts';

/** A daily report as mail (RFC 9990 §3.5.2, RFC 8460 §5.3), and as a message of the queue. */

export type ReportMail = {
  /** Its author. */
  from: string;
  id: string;
  subject: string;
  /** Header fields of this kind of report. */
  fields: readonly (readonly [name: string, value: string])[];
  /** `multipart/mixed`, with its parameters but the boundary. */
  type: string;
  /** For people. */
  text: readonly string[];
  /** The report. */
  file: { name: string; type: string; gzip: Buffer };
  isTlsReport: boolean;
};

const CRLF = '\r\n';
const BASE64_LINE = 76;

/**
 * The body of the mail. `boundary` must not occur in it. The report is its last part, so that all of it can be measured
 * before its recipients are known.
 */
export function reportBody({ text, file }: ReportMail, boundary: string): Buffer {
  const charset = /^[\x20-\x7e]*$/.test(text.join('')) ? 'us-ascii' : 'utf-8';
  return Buffer.from(
    [
      `--${boundary}`,
      `Content-Type: text/plain; charset=${charset}`,
      'Content-Transfer-Encoding: base64',
      '',
      ...base64Lines(Buffer.from(text.join(CRLF) + CRLF)),
      `--${boundary}`,
      `Content-Type: ${file.type}`,
      `Content-Disposition: attachment;${CRLF}\tfilename="${file.name}"`,
      'Content-Transfer-Encoding: base64',
      '',
      ...base64Lines(file.gzip),
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
  return queued({ header: headerOf(mail, to, boundary, now), body, to, now, hostname, isTlsReport: mail.isTlsReport });
}

function headerOf(mail: ReportMail, to: readonly string[], boundary: string, now: number): string {
  const { id, from, subject, fields, type } = mail;
  return [
    foldField('Date', rfc5322Date(now)),
    foldField('From', `<${from}>`),
    foldField('To', to.map((address) => `<${address}>`).join(', ')),
    foldField('Subject', subject),
    ...fields.map(([name, value]) => foldField(name, value)),
    `Message-ID: <${id}@${domainOf(from)}>${CRLF}`,
    // RFC 3834 §5
    `Auto-Submitted: auto-generated${CRLF}`,
    `MIME-Version: 1.0${CRLF}`,
    `Content-Type: ${type};${CRLF}\tboundary="${boundary}"${CRLF}`,
    CRLF,
  ].join('');
}

function base64Lines(bytes: Buffer): string[] {
  return bytes.toString('base64').match(new RegExp(`.{1,${BASE64_LINE}}`, 'g')) ?? [];
}
