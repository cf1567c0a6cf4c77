import type { TlsRow } from '#shared/mail/reports/tls-rows.ts';
import type { Counted } from '../daily/kind.ts';

/** A TLS report as JSON (RFC 8460 §4.4). Pure. */

export type TlsReport = {
  /** Who sends it, and the address of those who are responsible. */
  organisation: string;
  contact: string;
  id: string;
  domain: string;
  /** Seconds since 1970, of the first and of the last second. */
  begin: number;
  end: number;
  rows: readonly Counted<TlsRow>[];
};

export function reportJson({ organisation, contact, id, domain, begin, end, rows }: TlsReport): string {
  const byPolicy = Map.groupBy(rows, ({ row }) => JSON.stringify(row.policy));
  return JSON.stringify({
    'organization-name': organisation,
    'date-range': { 'start-datetime': dateTime(begin), 'end-datetime': dateTime(end) },
    'contact-info': contact,
    'report-id': id,
    policies: [...byPolicy.values()].map((some) => policyOf(some, domain)),
  });
}

/** RFC 3339 §5.6. */
function dateTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000', '');
}

/** All rows of one policy. */
function policyOf(rows: readonly Counted<TlsRow>[], domain: string) {
  const { type = 'no-policy-found', strings = [], mxHosts = [] } = rows[0]?.row.policy ?? {};
  const failed = rows.filter(({ row }) => row.failure !== undefined);
  const sum = (some: readonly Counted<TlsRow>[]): number => some.reduce((all, { count }) => all + count, 0);
  const failures = sum(failed);
  return {
    policy: {
      'policy-type': type,
      ...(strings.length > 0 && { 'policy-string': strings }),
      'policy-domain': domain,
      ...(mxHosts.length > 0 && { 'mx-host': mxHosts }),
    },
    summary: {
      'total-successful-session-count': sum(rows) - failures,
      'total-failure-session-count': failures,
    },
    ...(failed.length > 0 && { 'failure-details': failed.flatMap(detailOf) }),
  };
}

function detailOf({ count, row: { failure } }: Counted<TlsRow>) {
  if (failure === undefined) return [];
  const { type, from, host, address, reason } = failure;
  return [
    {
      'result-type': type,
      ...(from !== undefined && { 'sending-mta-ip': from }),
      ...(host !== undefined && { 'receiving-mx-hostname': host }),
      ...(address !== undefined && { 'receiving-ip': address }),
      'failed-session-count': count,
      ...(reason !== undefined && { 'failure-reason-code': reason }),
    },
  ];
}
