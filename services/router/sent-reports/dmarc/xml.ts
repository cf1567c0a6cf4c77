import type { CountedRow, DmarcRow, PublishedPolicy } from '#shared/mail/reports/dmarc-rows.ts';

/** An aggregate report as XML (RFC 9990 §3.1.1, and the schema in its appendix A). Pure. */

export type Report = {
  /** Who sends it: a name, an address, and how else it can be reached. */
  organisation: string;
  email: string;
  contact?: string | undefined;
  generator: string;
  id: string;
  domain: string;
  published: PublishedPolicy;
  /** Seconds since 1970, of the first and of the last second. */
  begin: number;
  end: number;
  rows: readonly CountedRow[];
  /** What went wrong; one text. */
  error?: string | undefined;
};

const PIECE_ROWS = 50;
const NAMESPACE = 'urn:ietf:params:xml:ns:dmarc-2.0';

/** An element of elements, or of a text; those without a value are left out. */
type Content = string | number | undefined | readonly (readonly [string, Content])[];

/** In pieces, of which none takes long to make. */
export function* reportXml(report: Report): Generator<string> {
  const head = [
    element(1, 'version', '1.0'),
    element(1, 'report_metadata', [
      ['org_name', report.organisation],
      ['email', report.email],
      ['extra_contact_info', report.contact],
      ['report_id', report.id],
      [
        'date_range',
        [
          ['begin', report.begin],
          ['end', report.end],
        ],
      ],
      ['error', report.error],
      ['generator', report.generator],
    ]),
    element(1, 'policy_published', published(report)),
  ];
  yield `<?xml version="1.0" encoding="UTF-8"?>\n<feedback xmlns="${NAMESPACE}">\n${head.join('')}`;
  for (let at = 0; at < report.rows.length; at += PIECE_ROWS) {
    const some = report.rows.slice(at, at + PIECE_ROWS);
    yield some.map((counted) => element(1, 'record', record(counted))).join('');
  }
  yield '</feedback>\n';
}

function published({ domain, published: { p, sp, np, adkim, aspf, testing, fo } }: Report): Content {
  return [
    ['domain', domain],
    ['p', p],
    ['sp', sp],
    ['np', np],
    ['adkim', adkim],
    ['aspf', aspf],
    ['discovery_method', 'treewalk'],
    ['fo', fo],
    ['testing', testing ? 'y' : 'n'],
  ];
}

function record({ count, row }: CountedRow): Content {
  const { reason } = row;
  return [
    [
      'row',
      [
        ['source_ip', row.source],
        ['count', count],
        [
          'policy_evaluated',
          [
            ['disposition', row.disposition],
            ['dkim', passed(row.dkim)],
            ['spf', passed(row.spf)],
            [
              'reason',
              reason && [
                ['type', reason.type],
                ['comment', reason.comment],
              ],
            ],
          ],
        ],
      ],
    ],
    [
      'identifiers',
      [
        ['header_from', row.headerFrom],
        ['envelope_from', row.envelopeFrom],
      ],
    ],
    ['auth_results', found(row)],
  ];
}

function found({ dkimFound, spfFound }: DmarcRow): Content {
  return [
    ...dkimFound.map(({ domain, selector, result }): [string, Content] => [
      'dkim',
      [
        ['domain', domain],
        ['selector', selector],
        ['result', result],
      ],
    ]),
    [
      'spf',
      // DMARC looks at the MAIL FROM identity alone, which is made of HELO for the null reverse-path (RFC 7208 §2.4).
      spfFound && [
        ['domain', spfFound.domain],
        ['scope', 'mfrom'],
        ['result', spfFound.result],
      ],
    ],
  ];
}

const passed = (is: boolean): string => (is ? 'pass' : 'fail');

function element(depth: number, name: string, content: Content): string {
  const indent = '  '.repeat(depth);
  if (content === undefined) return '';
  if (typeof content !== 'object') return `${indent}<${name}>${escaped(String(content))}</${name}>\n`;
  const inner = content.map(([child, value]) => element(depth + 1, child, value)).join('');
  return `${indent}<${name}>\n${inner}${indent}</${name}>\n`;
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Text of others: what XML 1.0 has no place for (§2.2) becomes U+FFFD. */
function escaped(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\x09\x0a\x0d\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/[&<>"]/g, (character) => ENTITIES[character] ?? '');
}
