import { isIP } from 'node:net';
import { normalizeDomain } from '#shared/address/address.ts';
import type { ReportRow } from '#shared/mail/reports/dmarc-report.ts';
import { oneLine } from '#shared/text.ts';
import type { ReceivedReport } from './kinds.ts';
import { rangeOfReport } from './range.ts';
import { Unreadable } from './unreadable.ts';
import { XmlReader } from './xml.ts';

/**
 * The XML of an aggregate report (RFC 9990 §3.1, RFC 7489 Appendix C), in whichever namespace: old reports are in
 * `http://dmarc.org/dmarc-xml/0.1`, new ones in `urn:ietf:params:xml:ns:dmarc-2.0`, most in none. Elements that are not
 * needed for the totals are passed over.
 */

export type AggregateReport = ReceivedReport<ReportRow>;

/** Different rows of one report. */
const MOST_ROWS = 20_000;
/** Messages of one record: sums of them stay exact. */
const MOST_MESSAGES = 1e9;
const LONGEST_NAME = 250;
const LONGEST_DOMAIN = 255;

/** The elements that are read, and what they are called here. */
const METADATA: Record<string, string> = {
  'feedback/report_metadata/org_name': 'organisation',
  'feedback/report_metadata/report_id': 'id',
  'feedback/report_metadata/date_range/begin': 'begin',
  'feedback/report_metadata/date_range/end': 'end',
  'feedback/policy_published/domain': 'domain',
};
const RECORD: Record<string, string> = {
  'feedback/record/row/source_ip': 'source',
  'feedback/record/row/count': 'count',
  'feedback/record/row/policy_evaluated/disposition': 'disposition',
  'feedback/record/row/policy_evaluated/dkim': 'dkim',
  'feedback/record/row/policy_evaluated/spf': 'spf',
  'feedback/record/identifiers/header_from': 'from',
};

/** Read a report that comes in pieces. Rejects with `Unreadable`, or as `xml` does. */
export async function readAggregateReport(xml: AsyncIterable<Uint8Array>): Promise<AggregateReport> {
  const collector = new Collector();
  const reader = new XmlReader(collector);
  let decoder: InstanceType<typeof TextDecoder> | undefined;
  for await (const bytes of xml) {
    decoder ??= new TextDecoder(encodingOf(bytes));
    reader.push(decoder.decode(bytes, { stream: true }));
  }
  reader.push(decoder?.decode() ?? '');
  reader.end();
  return collector.report();
}

/** XML is in UTF-8 or UTF-16 (§4.3.3); what is declared else is ASCII where it matters here. */
function encodingOf(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  return bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : 'utf-8';
}

type Texts = Record<string, string>;

class Collector {
  readonly #metadata: Texts = {};
  #record: Texts = {};
  readonly #rows = new Map<string, ReportRow>();
  #unreadable = 0;
  #isFeedback = false;

  end(path: string, text: string): void {
    const metadata = METADATA[path];
    const field = RECORD[path];
    // The first counts.
    if (metadata !== undefined) this.#metadata[metadata] ??= text;
    else if (field !== undefined) this.#record[field] ??= text;
    else if (path === 'feedback/record') this.#endRecord();
    else if (path === 'feedback') this.#isFeedback = true;
  }

  /** Throws `Unreadable`. */
  report(): AggregateReport {
    if (!this.#isFeedback) throw new Unreadable('its XML is not an aggregate report');
    const text = (name: string): string => {
      const found = oneLine(this.#metadata[name] ?? '', LONGEST_NAME).trim();
      if (found === '') throw new Unreadable(`the report in it does not say its ${WORDS[name] ?? name}`);
      return found;
    };
    const { begin, end } = range(text('begin'), text('end'));
    const domain = normalizeDomain(text('domain'));
    const named = { organisation: text('organisation'), id: text('id'), domain, begin, end };
    return { ...named, unreadable: this.#unreadable, rows: [...this.#rows.values()] };
  }

  #endRecord(): void {
    const row = rowOf(this.#record);
    this.#record = {};
    if (row === undefined) {
      this.#unreadable++;
      return;
    }
    const { source, disposition, dkim, spf, from } = row;
    const key = JSON.stringify([source, disposition, dkim, spf, from]);
    const known = this.#rows.get(key);
    if (known !== undefined) known.count += row.count;
    else if (this.#rows.size >= MOST_ROWS) throw new Unreadable(`the report in it has more than ${MOST_ROWS} rows`);
    else this.#rows.set(key, row);
  }
}

const WORDS: Record<string, string> = { begin: 'date range', end: 'date range', organisation: 'organisation' };

/** Undefined where it does not say what a row must say. */
function rowOf(record: Texts): ReportRow | undefined {
  const { source = '', count = '', disposition = '', dkim, spf, from = '' } = record;
  const verdict = disposition.toLowerCase() === 'pass' ? 'none' : disposition.toLowerCase();
  if (verdict !== 'none' && verdict !== 'quarantine' && verdict !== 'reject') return undefined;
  if (isIP(source) === 0 || source.length > 45 || !/^\d{1,10}$/.test(count)) return undefined;
  return {
    source: source.toLowerCase(),
    count: Math.min(Number(count), MOST_MESSAGES),
    disposition: verdict,
    dkim: dkim?.toLowerCase() === 'pass',
    spf: spf?.toLowerCase() === 'pass',
    from: oneLine(normalizeDomain(from), LONGEST_DOMAIN - 1),
  };
}

/** Seconds since 1970 as ms. */
function range(first: string, last: string): { begin: number; end: number } {
  const [begin, end] = [first, last].map((text) => (/^\d{1,11}$/.test(text) ? Number(text) * 1000 : Number.NaN));
  return rangeOfReport(begin ?? Number.NaN, end ?? Number.NaN);
}
