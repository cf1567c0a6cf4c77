import { gzipSync } from 'node:zlib';

/** Aggregate reports as receivers send them. */

export type SentRow = {
  source: string;
  count: number | string;
  disposition?: string;
  dkim?: string;
  spf?: string;
  from?: string;
};
export type SentReport = {
  organisation?: string;
  id?: string;
  domain?: string;
  /** ms since 1970; a day until now by default. */
  begin?: number;
  end?: number;
  rows?: readonly SentRow[];
  /** Attributes of the root element. */
  root?: string;
};

const DAY_MS = 86_400_000;
const seconds = (ms: number): number => Math.floor(ms / 1000);

export function reportXml(report: SentReport = {}): string {
  const { organisation = 'Receiver Inc.', id = '1@receiver.example', domain = 'example.com', root = '' } = report;
  const { end = Date.now(), begin = end - DAY_MS, rows = [{ source: '192.0.2.1', count: 1 }] } = report;
  return `<?xml version="1.0" encoding="UTF-8" ?>
<feedback${root}>
  <version>1.0</version>
  <report_metadata>
    <org_name>${organisation}</org_name>
    <email>noreply@receiver.example</email>
    <report_id>${id}</report_id>
    <date_range><begin>${seconds(begin)}</begin><end>${seconds(end)}</end></date_range>
  </report_metadata>
  <policy_published><domain>${domain}</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><pct>100</pct></policy_published>
${rows.map(recordXml).join('')}</feedback>
`;
}

function recordXml({ source, count, disposition = 'none', dkim = 'pass', spf = 'pass', from }: SentRow): string {
  return `  <record>
    <row>
      <source_ip>${source}</source_ip>
      <count>${count}</count>
      <policy_evaluated><disposition>${disposition}</disposition><dkim>${dkim}</dkim><spf>${spf}</spf></policy_evaluated>
    </row>
    <identifiers><header_from>${from ?? 'example.com'}</header_from></identifiers>
    <auth_results>
      <dkim><domain>other.example</domain><result>pass</result></dkim>
      <spf><domain>other.example</domain><result>fail</result></spf>
    </auth_results>
  </record>
`;
}

const lines = (bytes: Buffer): string => bytes.toString('base64').replace(/.{1,76}/g, '$&\r\n');

/** A message with an attachment, in gzip unless it says otherwise. */
export function reportMail(
  attachment: Buffer | string,
  type = 'application/gzip',
  filename = 'receiver.example!example.com!1!2.xml.gz',
): Buffer {
  const bytes = typeof attachment === 'string' ? gzipSync(attachment) : attachment;
  return Buffer.from(
    [
      'From: <noreply@receiver.example>',
      'To: <dmarc@example.com>',
      'Subject: Report Domain: example.com Submitter: receiver.example Report-ID: <1@receiver.example>',
      'Message-ID: <1@receiver.example>',
      'MIME-Version: 1.0',
      'Content-Type: multipart/mixed; boundary="next part"',
      '',
      '--next part',
      'Content-Type: text/plain',
      '',
      'This is an aggregate report.',
      '--next part',
      `Content-Type: ${type}; name="${filename}"`,
      'Content-Transfer-Encoding: base64',
      `Content-Disposition: attachment; filename="${filename}"`,
      '',
      `${lines(bytes)}--next part--`,
      '',
    ].join('\r\n'),
  );
}
