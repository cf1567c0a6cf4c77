import { normalizeDomain } from '#shared/address/address.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import {
  type AuthenticationRow,
  authenticationTotals,
  rowsBy,
  sumOfTotals,
} from '../reports/mail/authentication-totals.ts';
import { ResultsQuery, ResultsReply } from '../schemas/authentication.ts';
import { clusterOf } from './mail/cluster.ts';
import { route } from './route.ts';

/** What this cluster found out about the mail that it accepted. */

/** A person waits so long; what was not read by then is left out, and the answer says so. */
const BUDGET_MS = 8000;
const HOUR_MS = 3_600_000;
/** In an answer: anybody can send mail in the name of any domain. */
const MOST_ROWS = 5000;

export const resultRoutes = [
  route({
    method: 'GET',
    path: '/api/authentication/results',
    summary: 'How much mail that was accepted passed SPF, DKIM and DMARC here, by domain of the author or by client',
    access: 'viewer',
    domains: 'filtered',
    query: ResultsQuery,
    reply: ResultsReply,
    handler: async ({ clients, bounds, signal, query }) => {
      const { domains } = bounds;
      const question = { since: Date.now() - query.hours * HOUR_MS, domains };
      const stop = AbortSignal.any([signal, AbortSignal.timeout(BUDGET_MS)]);
      const found = await authenticationTotals(clusterOf(clients), question, stop);
      const domain = query.domain && normalizeDomain(query.domain);
      const source = query.source && (parseIp(query.source)?.toString() ?? query.source);
      const totals = found.totals.filter(
        (total) => (domain ?? total.domain) === total.domain && (source ?? total.source) === total.source,
      );
      const rows = rowsBy(query.by, totals).toSorted(mostFailed);
      return {
        ...{ rows: rows.slice(0, MOST_ROWS), more: Math.max(0, rows.length - MOST_ROWS), sum: sumOfTotals(totals) },
        ...{ silent: found.silent, unreadable: found.unreadable },
        ...(found.readSince !== undefined && { since: found.readSince }),
      };
    },
  }),
];

function mostFailed(a: AuthenticationRow, b: AuthenticationRow): number {
  return b.dmarcFail - a.dmarcFail || b.messages - a.messages || (a.name < b.name ? -1 : 1);
}
