import { routerContract } from '#services/router/contract.ts';
import type { TlsLevel } from '#shared/mail/tls.ts';
import { addTotal, type LedgerRow, type LedgerSelection, type LedgerTotal } from '#shared/mail/tls-ledger.ts';
import type { Caller } from '../../context.ts';

/** The TLS ledgers of several nodes as one, read page by page: newest first, and never all of it in memory. */

export type LedgerQuestion = LedgerSelection & { weakerThan?: TlsLevel };

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
  readonly #caller: Caller;
  readonly #question: LedgerQuestion;
  readonly #onSilent: (node: string, error: unknown) => void;

  /** A node that does not answer is told to `onSilent` and left out from there on. */
  constructor(caller: Caller, question: LedgerQuestion, onSilent: (node: string, error: unknown) => void) {
    this.#caller = caller;
    this.#question = question;
    this.#onSilent = onSilent;
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
    const router = this.#caller.client(routerContract);
    try {
      for (let before: string | undefined, limit = pages.first; ; limit = pages.rest) {
        const request = { ...this.#question, limit, ...(before !== undefined && { before }) };
        const page = await router['ledger-list'](request, { node });
        this.#count(page.totals);
        this.unreadable += page.unreadable;
        yield* page.rows;
        if (page.next === undefined) return undefined;
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

type Head = { ledger: AsyncGenerator<LedgerRow, undefined>; row: LedgerRow | undefined };
const NONE: Head = { ledger: (async function* none(): AsyncGenerator<LedgerRow, undefined> {})(), row: undefined };
