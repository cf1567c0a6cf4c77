import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { queueIdFloor } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import {
  addToTotals,
  isWeaker,
  type LedgerPage,
  type LedgerRequest,
  type LedgerRow,
  type LedgerTotal,
} from '#shared/mail/tls-ledger.ts';
import { loadMessage } from '../store/load.ts';
import { keys, parseRecord, queueIdOf, Receipt, rangeOf } from '../store/records.ts';
import { payloadOf } from '../store/seal.ts';
import { type Recorded, rowsOf } from './ledger-rows.ts';

/**
 * The TLS ledger of this node, a page at a time: the receipts and the messages of the queue, merged by their ids and newest
 * first, so that what was asked for lately is there immediately, however many there are.
 *
 * Ids tell when mail arrived. With `since`, a receipt from before that may still have rows, because its mail left later: it is
 * read for the time that it has, and no further where that is too early.
 */

/** Work for one page: messages that are read, and receipts that are passed over. */
const READ = 1000;
const PASSED = 20_000;
/** Characters of JSON in a page: NATS carries 1 MB. */
const PAGE_CHARACTERS = 256 * 1024;

type LedgerDeps = { settings: Settings; store: Store; log: Logger };
/** Without `read`: a receipt that has nothing since then. */
type Found = { id: string; read: (() => Promise<Recorded>) | undefined };

export async function ledgerPage(deps: LedgerDeps, request: LedgerRequest): Promise<LedgerPage> {
  const { log } = deps;
  const { name: node } = deps.settings.current.node;
  const page = new Page(request);
  const start = cursorOf(request.before);
  let passed = 0;
  for await (const { id, read } of newestFirst(deps, start.id, request.since)) {
    if (read === undefined) {
      if (++passed >= PASSED) return page.end(id);
      continue;
    }
    let rows: LedgerRow[];
    try {
      rows = rowsOf(await read(), node, request);
    } catch (error) {
      if (errorCode(error) !== 'corrupt') throw error;
      page.unreadable++;
      log.debug({ queueId: id, error: errorText(error) }, 'a damaged record was left out of the TLS ledger');
      continue;
    }
    const full = page.take(rows, id === start.id ? start.skip : 0);
    if (full !== undefined) return page.end(full === 'all' ? id : `${id}+${full}`);
  }
  return page.end();
}

/** Collects rows until the page is full. */
class Page {
  readonly #request: LedgerRequest;
  readonly #rows: LedgerRow[] = [];
  readonly #totals = new Map<string, LedgerTotal>();
  #size = 0;
  #messages = 0;
  unreadable = 0;

  constructor(request: LedgerRequest) {
    this.#request = request;
  }

  /** The rows of a message but the first `skip`. When the page is full: how many of them it has, or all. */
  take(rows: readonly LedgerRow[], skip: number): number | 'all' | undefined {
    const { weakerThan, limit } = this.#request;
    for (const [n, row] of rows.entries()) {
      if (n < skip) continue;
      if (this.#size >= PAGE_CHARACTERS) return n;
      addToTotals(this.#totals, [row]);
      // A total is about as long as half a row.
      this.#size += 150;
      if (limit === 0 || (weakerThan !== undefined && !isWeaker(row.reached, weakerThan))) continue;
      this.#rows.push(row);
      this.#size += JSON.stringify(row).length;
    }
    const isFull = (limit > 0 && this.#rows.length >= limit) || this.#size >= PAGE_CHARACTERS;
    return isFull || ++this.#messages >= READ ? 'all' : undefined;
  }

  end(next?: string): LedgerPage {
    const { unreadable } = this;
    return { rows: this.#rows, totals: [...this.#totals.values()], unreadable, ...(next !== undefined && { next }) };
  }
}

/** `<queueId>`: what comes after that message; `<queueId>+<n>`: its rows from the n-th on, and what comes after it. */
function cursorOf(before: string | undefined): { id: string | undefined; skip: number } {
  const [id, rows] = (before ?? '').split('+', 2);
  return { id: id === '' ? undefined : id, skip: rows === undefined ? Number.POSITIVE_INFINITY : Number(rows) };
}

async function* newestFirst(
  { store }: LedgerDeps,
  from: string | undefined,
  since: number | undefined,
): AsyncGenerator<Found> {
  // The queue first: a message that leaves it meanwhile is in both then, and not in neither.
  const queued = store.keys(backwards('message', from))[Symbol.asyncIterator]();
  const receipts = store.entries(backwards('receipt', from))[Symbol.asyncIterator]();
  const floor = since === undefined ? '' : queueIdFloor(since);
  try {
    let [message, receipt] = await Promise.all([queued.next(), receipts.next()]);
    while (message.done !== true || receipt.done !== true) {
      const inQueue = message.done === true ? '' : queueIdOf(message.value);
      const left = receipt.done === true ? '' : queueIdOf(receipt.value[0]);
      if (receipt.done !== true && left >= inQueue) {
        const [key, sealed] = receipt.value;
        const isOver = since !== undefined && left < floor && finishedIn(sealed) < since;
        yield { id: left, read: isOver ? undefined : async () => receiptOf(left, key, sealed) };
        receipt = await receipts.next();
        if (inQueue === left) message = await queued.next();
      } else {
        yield { id: inQueue, read: async () => queuedMessage(store, inQueue) };
        message = await queued.next();
      }
    }
  } finally {
    await queued.return?.(undefined);
    await receipts.return?.(undefined);
  }
}

function backwards(kind: 'message' | 'receipt', from: string | undefined) {
  const range = rangeOf(kind);
  return from === undefined ? { ...range, reverse: true } : { gte: range.gte, lte: `${kind}!${from}`, reverse: true };
}

function receiptOf(id: string, key: string, sealed: Buffer): Recorded {
  return { id, ...parseRecord(Receipt, key, sealed) };
}

async function queuedMessage(store: Store, id: string): Promise<Recorded> {
  try {
    const { record, recipients } = await loadMessage(store, id);
    const { reversePath, arrived, origin } = record;
    return { id, reversePath, arrived, origin, recipients };
  } catch (error) {
    // One that left the queue meanwhile is damaged to `loadMessage`.
    const key = keys.receipt(id);
    const sealed = errorCode(error) === 'corrupt' ? await store.get(key) : undefined;
    if (sealed === undefined) throw error;
    return receiptOf(id, key, sealed);
  }
}

const FINISHED = '"finished":';

/**
 * When the mail of a receipt left, from its JSON as it lies there: to take a receipt apart costs ten times as much. Inside a
 * text the quotes would be escaped. Infinity where it is not found: the receipt is read, and is damaged then.
 */
function finishedIn(sealed: Buffer): number {
  const payload = payloadOf(sealed);
  const at = payload.indexOf(FINISHED);
  const digits = at < 0 ? '' : payload.toString('latin1', at + FINISHED.length, at + FINISHED.length + 20);
  return Number(/^\d+/.exec(digits)?.[0] ?? Number.POSITIVE_INFINITY);
}
