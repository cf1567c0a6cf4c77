import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { normalizeDomain } from '#shared/address/address.ts';
import type { TlsReportRow } from '#shared/mail/reports/tls-report.ts';
import { oneLine } from '#shared/text.ts';
import type { ReceivedReport } from './kinds.ts';
import { rangeOfReport } from './range.ts';
import { Unreadable } from './unreadable.ts';

/**
 * The JSON of a TLS report (RFC 8460 §4.4): what is needed for the totals. A report may be about several domains, and
 * becomes one for each. Failures of the summary that no detail is about are rows of their own.
 */

const MOST_BYTES = 16 * 1024 * 1024;
/** Values of its JSON, which is read in one go: more than `MOST_DETAILS` have, and far less than fit in `MOST_BYTES`. */
const MOST_VALUES = 300_000;
/** Failure details of one report, also those that say the same: each takes time. */
const MOST_DETAILS = 20_000;
/** After so many of them others have their turn. */
const DETAILS_AT_ONCE = 500;
/** Policies of one report. */
const MOST_POLICIES = 1000;
/** Domains of one report, which are written one by one. Most reports are about one. */
const MOST_DOMAINS = 100;
/** Sessions of one row: sums of them stay exact. */
const MOST_SESSIONS = 1e9;
const LONGEST_NAME = 250;

const text = z.string().transform((value) => oneLine(value, LONGEST_NAME).trim());
/** Some write numbers as texts. */
const count = z
  .union([z.number(), z.string().regex(/^\d{1,10}$/)])
  .transform(Number)
  .refine((n) => Number.isInteger(n) && n >= 0)
  .transform((n) => Math.min(n, MOST_SESSIONS));

const Detail = z.object({
  'result-type': text,
  'receiving-mx-hostname': text.optional().catch(undefined),
  'failure-reason-code': text.optional().catch(undefined),
  'failed-session-count': count,
});

const Policy = z.object({
  policy: z.object({ 'policy-type': text, 'policy-domain': text.pipe(z.string().min(1)) }),
  summary: z.object({ 'total-successful-session-count': count, 'total-failure-session-count': count }),
  'failure-details': z.array(z.unknown()).nullish(),
});
type Policy = z.infer<typeof Policy>;

const Report = z.object({
  'organization-name': text.pipe(z.string().min(1)),
  'report-id': text.pipe(z.string().min(1)),
  'date-range': z.object({ 'start-datetime': z.string(), 'end-datetime': z.string() }),
  policies: z.array(z.unknown()).min(1).max(MOST_POLICIES),
});

/** Read a report that comes in pieces: one for each domain. Rejects with `Unreadable`, or as `json` does. */
export async function readTlsReport(json: AsyncIterable<Uint8Array>): Promise<ReceivedReport<TlsReportRow>[]> {
  const report = Report.safeParse(await parsed(json));
  if (!report.success) {
    const [issue] = report.error.issues;
    throw new Unreadable(`its JSON is not a TLS report: ${issue?.path.join('.')} ${issue?.message}`);
  }
  const { 'organization-name': organisation, 'report-id': id, 'date-range': range, policies } = report.data;
  const { begin, end } = rangeOfReport(Date.parse(range['start-datetime']), Date.parse(range['end-datetime']));
  const domains = new Map<string, Rows>();
  let [unreadable, details] = [0, 0];
  for (const given of policies) {
    const policy = Policy.safeParse(given);
    if (!policy.success) {
      unreadable++;
      continue;
    }
    details += policy.data['failure-details']?.length ?? 0;
    if (details > MOST_DETAILS) throw new Unreadable(`the report in it has more than ${MOST_DETAILS} failure details`);
    await add(policy.data, domains);
    if (domains.size > MOST_DOMAINS)
      throw new Unreadable(`the report in it is about more than ${MOST_DOMAINS} domains`);
  }
  if (domains.size === 0) throw new Unreadable('no policy in the report in it says its domain and its sums');
  return [...domains].map(([domain, rows]) => ({
    ...{ organisation, id, domain, begin, end, unreadable },
    rows: [...rows.values()],
  }));
}

async function parsed(json: AsyncIterable<Uint8Array>): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let [size, values] = [0, 0];
  for await (const piece of json) {
    size += piece.length;
    values += valuesIn(piece);
    if (size > MOST_BYTES) throw new Unreadable(`the report in it unpacks to more than ${MOST_BYTES / 1024 / 1024} MB`);
    if (values > MOST_VALUES) throw new Unreadable(`the report in it has more than ${MOST_VALUES} values`);
    pieces.push(piece);
  }
  try {
    return JSON.parse(new TextDecoder().decode(Buffer.concat(pieces)));
  } catch (error) {
    throw new Unreadable('its JSON is damaged', { cause: error });
  }
}

/** At least as many as there are: each follows a comma, or the start of an array or object. */
function valuesIn(json: Uint8Array): number {
  let count = 0;
  for (const byte of json) if (byte === COMMA || byte === ARRAY || byte === OBJECT) count++;
  return count;
}

const [COMMA, ARRAY, OBJECT] = Buffer.from(',[{');

/** By their text without the count. */
type Rows = Map<string, TlsReportRow>;

async function add({ policy, summary, 'failure-details': details }: Policy, domains: Map<string, Rows>): Promise<void> {
  const domain = normalizeDomain(policy['policy-domain']);
  const type = policy['policy-type'].slice(0, 40);
  const rows = domains.get(domain) ?? new Map<string, TlsReportRow>();
  domains.set(domain, rows);
  addRow(rows, { policy: type, count: summary['total-successful-session-count'] });
  let left = summary['total-failure-session-count'];
  for (const [n, given] of (details ?? []).entries()) {
    if (n % DETAILS_AT_ONCE === 0) await nextTurn();
    const detail = Detail.safeParse(given);
    if (!detail.success) continue;
    const { 'result-type': kind, 'receiving-mx-hostname': host, 'failure-reason-code': reason } = detail.data;
    const failure = {
      type: kind.slice(0, 60).toLowerCase(),
      ...(host ? { host: host.toLowerCase() } : {}),
      ...(reason ? { reason } : {}),
    };
    addRow(rows, { policy: type, count: detail.data['failed-session-count'], failure });
    left -= detail.data['failed-session-count'];
  }
  if (left > 0) addRow(rows, { policy: type, count: left, failure: { type: 'unknown' } });
}

function addRow(rows: Rows, row: TlsReportRow): void {
  if (row.count === 0 && row.failure !== undefined) return;
  const key = JSON.stringify([row.policy, row.failure]);
  const known = rows.get(key);
  if (known !== undefined) known.count += row.count;
  else rows.set(key, row);
}
