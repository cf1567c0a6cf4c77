import { newId } from '../ids.ts';
import { rfc5322Date } from '../mail/header.ts';

/** A message that somebody sends to try something. */

export type TestMail = { from: string; to: readonly string[]; subject: string; text: string };

/** An address as it stands between the brackets of an SMTP command: no line end can slip in. */
export const TEST_ADDRESS = /^[^\s<>@\x00-\x1f\x7f]+@[^\s<>@\x00-\x1f\x7f]+$/;

/** With CRLF line ends. `hostname`: of its Message-ID. */
export function testMessage(mail: TestMail, hostname: string): string {
  const subject = /^[\x20-\x7e]*$/.test(mail.subject)
    ? mail.subject
    : `=?UTF-8?B?${Buffer.from(mail.subject.replace(/[\r\n]+/g, ' ')).toString('base64')}?=`; // RFC 2047 §4.1
  const body = Buffer.from(mail.text).toString('base64').replace(/.{76}/g, '$&\r\n');
  const ascii = /^[\x20-\x7e\r\n]*$/.test(mail.text);
  return [
    `From: <${mail.from}>`,
    `To: ${mail.to.map((address) => `<${address}>`).join(', ')}`,
    `Subject: ${subject}`,
    `Date: ${rfc5322Date(Date.now())}`,
    `Message-ID: <${newId(20)}@${hostname}>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Transfer-Encoding: ${ascii ? '7bit' : 'base64'}`,
    '',
    ascii ? mail.text.replace(/\r?\n|\r/g, '\r\n') : body,
    '',
  ].join('\r\n');
}
