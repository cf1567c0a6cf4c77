import { routerContract } from '#services/router/contract.ts';
import { timeOfQueueId } from '#shared/ids.ts';
import type { TlsLevel } from '#shared/mail/tls.ts';
import { addTotal, type LedgerRow, type LedgerSelection, type LedgerTotal } from '#shared/mail/tls-ledger.ts';
import type { Clients } from '../clients.ts';

/** The TLS ledgers of several nodes as one, read page by page: newest first, and never all of it in memory. */

export type LedgerQuestion = LedgerSelection & { weakerThan?: TlsLevel };
type OnSilent = (node: string, error: unknown) => void;

/** Rows of a page; the first one is small: what a person waits for. */
const PAGES = { first: 50, rest: 500 };
/** Anybody can send mail in the name of any domain: totals of more are put together. */
const MOST_TOTALS = 100_000;
export const OTHERS = '(others)';

export class LedgerReader {
  /** Of all pages that were read. */
  readonly totals = new Map<string, LedgerTotal>();
  /** Records that are damaged. */
  unreadable = 0;
  /** Where reading was stopped: mail that came before this moment (ms since 1970) was not read at every node. */
  readSince: number | undefined;
  readonly #clients: Clients;
  readonly #question: LedgerQuestion;
  readonly #onSilent: OnSilent;
  readonly #stop: AbortSignal | undefined;

  /**
   * A node that does not answer is told to `onSilent` and left out from there on. Once `stop` is aborted no further page is
   * read, and `readSince` says how far it came.
   */
  constructor(clients: Clients, question: LedgerQuestion, onSilent: OnSilent, stop?: AbortSignal) {
    this.#clients = clients;
    this.#question = question;
    this.#onSilent = onSilent;
    this.#stop = stop;
  }

  async *rows(nodes: readonly string[]): AsyncGenerator<LedgerRow> {
    const ledgers = nodes.map((node) => this.#rowsOf(node, PAGES));
    const heads = await Promise.all(ledgers.map(async (ledger) => ({ ledger, row: (await ledger.next()).value })));
    for (;;) {
      // Queue ids grow with time.
      const newest = heads.reduce(
        (a, b) => ((a.row?.queueId ?? '') >= (b.row?.queueId ?? '') ? a : b),
        heads[0] ?? NONE,
      );
      if (newest.row === undefined) return;
      yield newest.row;
      newest.row = (await newest.ledger.next()).value;
    }
  }

  /** Read for the totals alone. */
  async countAll(nodes: readonly string[]): Promise<void> {
    await Promise.all(
      nodes.map(async (node) => {
        for await (const _ of this.#rowsOf(node, { first: 0, rest: 0 }));
      }),
    );
  }

  async *#rowsOf(node: string, pages: typeof PAGES): AsyncGenerator<LedgerRow, undefined> {
    const router = this.#clients.client(routerContract);
    try {
      for (let before: string | undefined, limit = pages.first; ; limit = pages.rest) {
        const request = { ...this.#question, limit, ...(before !== undefined && { before }) };
        const page = await router['ledger-list'](request, { node });
        this.#count(page.totals);
        this.unreadable += page.unreadable;
        yield* page.rows;
        if (page.next === undefined) return undefined;
        if (this.#stop?.aborted) {
          this.readSince = Math.max(this.readSince ?? 0, timeOfQueueId(page.next));
          return undefined;
        }
        before = page.next;
      }
    } catch (error) {
      this.#onSilent(node, error);
      return undefined;
    }
  }

  #count(more: readonly LedgerTotal[]): void {
    for (const total of more) {
      const { direction, domain } = total;
      const isNew = !this.totals.has(`${direction} ${domain}`);
      addTotal(this.totals, isNew && this.totals.size >= MOST_TOTALS ? { ...total, domain: OTHERS } : total);
    }
  }
}

/** What is to be said of the certificate that a peer showed; undefined where it showed none. */
export function certificateVerdict({ certificate }: Pick<LedgerRow, 'certificate'>): string | undefined {
  if (certificate === undefined) return undefined;
  const { name, chain, dane, problem } = certificate;
  return dane ?? (chain && name !== false ? 'verified' : (problem ?? 'not verified'));
}

type Head = { ledger: AsyncGenerator<LedgerRow, undefined>; row: LedgerRow | undefined };
const NONE: Head = { ledger: (async function* none(): AsyncGenerator<LedgerRow, undefined> {})(), row: undefined };
