import type { z } from 'zod';
import { normalizeDomain } from '#shared/address/address.ts';
import { isWeakerThanWanted, type LedgerRow, type LedgerTotal } from '#shared/mail/tls-ledger.ts';
import { findRouters } from '../../reports/mail/routers.ts';
import { certificateVerdict, type LedgerQuestion, LedgerReader } from '../../reports/tls/ledger.ts';
import type { LedgerQuery, LedgerReply, LedgerRowsQuery, LedgerRowsReply } from '../../schemas/tls.ts';
import { clusterOf } from '../mail/cluster.ts';
import type { Asked, Context } from '../route.ts';

/** How mail came and left, of all nodes. */

/** A person waits so long; what was not read by then is left out, and the answer says so. */
const BUDGET_MS = 8000;
/** In an answer: anybody can send mail in the name of any domain. */
const MOST_TOTALS = 5000;
const MOST_ROWS = 200;
const HOUR_MS = 3_600_000;
/** The reverse-path of notices, as people write it. */
const NULL_PATH = '<>';

type LedgerContext<Q extends z.ZodType> = Context<unknown, z.output<Q>>;

export async function ledger(context: LedgerContext<typeof LedgerQuery>): Promise<LedgerReply> {
  const { direction, hours } = context.query;
  const { reader, nodes, silent } = await openLedger(context, { direction, since: Date.now() - hours * HOUR_MS });
  await reader.countAll(nodes);
  const totals = [...reader.totals.values()].filter(({ domain }) => context.bounds.has(domain)).toSorted(weakestFirst);
  return {
    totals: totals.slice(0, MOST_TOTALS),
    sum: sumOf(totals),
    more: Math.max(0, totals.length - MOST_TOTALS),
    ...endOf(reader, silent),
    unreadable: reader.unreadable,
  };
}

export async function ledgerRows(context: LedgerContext<typeof LedgerRowsQuery>): Promise<LedgerRowsReply> {
  const { direction, hours, weaker, domain: named } = context.query;
  const domain = named === NULL_PATH ? '' : normalizeDomain(named);
  context.bounds.demand(domain);
  const { reader, nodes, silent } = await openLedger(context, {
    ...{ direction, since: Date.now() - hours * HOUR_MS },
    ...(domain !== '' && { domain }),
  });
  const rows: LedgerRowsReply['rows'] = [];
  let more = false;
  for await (const row of reader.rows(nodes)) {
    // Those below the domain, and clients of such a name, are others.
    if (row.domain !== domain || (weaker && !isWeakerThanWanted(row))) continue;
    more = rows.length === MOST_ROWS;
    if (more) break;
    rows.push(shownRow(row));
  }
  return { rows, more, ...endOf(reader, silent) };
}

function shownRow(row: LedgerRow): LedgerRowsReply['rows'][number] {
  const verdict = certificateVerdict(row);
  return { ...row, weaker: isWeakerThanWanted(row), ...(verdict !== undefined && { verdict }) };
}

async function openLedger({ clients, signal }: Asked, question: LedgerQuestion) {
  const { up: nodes, silent } = await findRouters(clusterOf(clients));
  const stop = AbortSignal.any([signal, AbortSignal.timeout(BUDGET_MS)]);
  const reader = new LedgerReader(
    clients,
    question,
    (node, error) => {
      if (nodes.length === 1) throw error;
      silent.push(node);
    },
    stop,
  );
  return { reader, nodes, silent };
}

function endOf({ readSince: since }: LedgerReader, silent: readonly string[]) {
  return { ...(since !== undefined && { since }), silent: [...silent].toSorted() };
}

const mailOf = ({ clear, encrypted, verified, undelivered }: LedgerTotal): number =>
  clear + encrypted + verified + undelivered;

function weakestFirst(a: LedgerTotal, b: LedgerTotal): number {
  const weaker = (b.weaker ?? 0) - (a.weaker ?? 0);
  return weaker || b.clear - a.clear || mailOf(b) - mailOf(a) || (a.domain < b.domain ? -1 : 1);
}

function sumOf(totals: readonly LedgerTotal[]): LedgerReply['sum'] {
  const sum = { clear: 0, encrypted: 0, verified: 0, undelivered: 0, weaker: 0 };
  const names = Object.keys(sum) as (keyof typeof sum)[];
  for (const total of totals) for (const name of names) sum[name] += total[name] ?? 0;
  return sum;
}
