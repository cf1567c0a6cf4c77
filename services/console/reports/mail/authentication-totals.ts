import { routerContract } from '#services/router/contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { timeOfQueueId } from '#shared/ids.ts';
import {
  type AuthenticationCounts,
  type AuthenticationTotal,
  sumOfCounts,
} from '#shared/mail/reports/authentication-totals.ts';
import type { Cluster } from '../clients.ts';
import { findRouters, unheard } from './routers.ts';

/** What was found out about the mail of all nodes, added up by the domain that it claims to be from and by where it came from. */

export type AuthenticationQuestion = { since: number; domains?: string[] | undefined };

export type AuthenticationFound = {
  totals: AuthenticationTotal[];
  /** Records that are damaged. */
  unreadable: number;
  silent: { node: string; error: string }[];
  /** Where reading was stopped: mail that came before this moment (ms since 1970) was not read at every node. */
  readSince?: number;
};

/** Anybody can send mail in the name of any domain, from many addresses: what is more is counted, and not told apart. */
const MOST_TOTALS = 100_000;
const OTHERS = '(others)';

/** Reads page by page until `stop` aborts; then no further page is read. */
export async function authenticationTotals(
  cluster: Cluster,
  question: AuthenticationQuestion,
  stop: AbortSignal,
): Promise<AuthenticationFound> {
  const router = cluster.client(routerContract);
  const { up, silent: unheardOf } = await findRouters(cluster);
  const totals = new Map<string, AuthenticationTotal>();
  const silent = unheardOf.map((node) => ({ node, error: errorText(unheard()) }));
  let unreadable = 0;
  let readSince: number | undefined;
  const readNode = async (node: string): Promise<void> => {
    for (let below: string | undefined; ; ) {
      const page = await router['authentication-summarize']({ ...question, below }, { node });
      for (const total of page.totals) add(totals, total);
      unreadable += page.unreadable;
      if (page.next === undefined) return;
      if (stop.aborted) {
        readSince = Math.max(readSince ?? 0, timeOfQueueId(page.next));
        return;
      }
      below = page.next;
    }
  };
  const outcomes = await Promise.allSettled(up.map(readNode));
  for (const [n, outcome] of outcomes.entries()) {
    if (outcome.status === 'rejected') silent.push({ node: up[n] ?? '', error: whyNot(outcome.reason) });
  }
  return { totals: [...totals.values()], unreadable, silent, ...(readSince !== undefined && { readSince }) };
}

function whyNot(error: unknown): string {
  // A node that is heard and does not know the question.
  if (errorCode(error) !== CALL_ERRORS.unavailable) return errorText(error);
  return `its router is of an earlier version, which adds up no results, or is not up (${errorText(error)})`;
}

function add(totals: Map<string, AuthenticationTotal>, total: AuthenticationTotal): void {
  const isNew = !totals.has(keyOf(total));
  const counted = isNew && totals.size >= MOST_TOTALS ? { ...total, domain: OTHERS, source: OTHERS } : total;
  const known = totals.get(keyOf(counted));
  totals.set(keyOf(counted), known === undefined ? counted : { ...counted, ...sumOfCounts(known, counted) });
}

const keyOf = ({ domain, source }: AuthenticationTotal): string => `${domain} ${source}`;

/** Of one domain or source; `others`: with how many of the other kind, `other`: its name, where it is one. */
export type AuthenticationRow = AuthenticationCounts & { name: string; others: number; other?: string };

export function rowsBy(by: 'domain' | 'source', totals: readonly AuthenticationTotal[]): AuthenticationRow[] {
  const other = by === 'domain' ? 'source' : 'domain';
  const groups = Map.groupBy(totals, (total) => total[by]);
  return [...groups].map(([name, all]) => {
    const [first] = all;
    const { domain: _, source: __, ...counts } = all.slice(1).reduce(addUp, first ?? EMPTY);
    return { name, ...counts, others: all.length, ...(all.length === 1 && { other: first?.[other] ?? '' }) };
  });
}

const addUp = (sum: AuthenticationTotal, one: AuthenticationTotal): AuthenticationTotal => ({
  ...sum,
  ...sumOfCounts(sum, one),
});

const EMPTY: AuthenticationTotal = {
  ...{ domain: '', source: '', messages: 0, spfPass: 0, spfFail: 0, dkimPass: 0, dkimFail: 0 },
  ...{ dmarcPass: 0, dmarcFail: 0, quarantine: 0, last: 0 },
};

/** All of them together. */
export function sumOfTotals(totals: readonly AuthenticationTotal[]): AuthenticationCounts {
  const { domain: _, source: __, ...counts } = totals.reduce(addUp, EMPTY);
  return counts;
}
