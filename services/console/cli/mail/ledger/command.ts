import { once } from 'node:events';
import { stdout } from 'node:process';
import { type Command, Option } from 'commander';
import { normalizeDomain } from '#shared/address/address.ts';
import type { TlsLevel } from '#shared/mail/tls.ts';
import { LedgerDirection, type LedgerRow, type LedgerTotal } from '#shared/mail/tls-ledger.ts';
import { parseDuration } from '#shared/units.ts';
import { findRouters, unheard } from '../../../reports/mail/routers.ts';
import { type LedgerQuestion, LedgerReader } from '../../../reports/tls/ledger.ts';
import { type CommonOptions, openCaller, parseCount, withCommon } from '../../context.ts';
import { usageError } from '../../exit.ts';
import { jsonText, tableOf } from '../../table.ts';
import { tellUndone } from '../undone.ts';
import { csvLine } from './csv.ts';
import { COLUMNS, cellsOf, inOrder, ROW_FIELDS, TOTAL_COLUMNS, TOTAL_FIELDS, totalCells } from './text.ts';

/** `sealpost tls ledger`: printed while it is read, in blocks. */

type LedgerOptions = CommonOptions & {
  domain?: string;
  since?: string;
  direction?: LedgerDirection;
  weakerThan?: TlsLevel;
  limit?: number;
  totals?: boolean;
  csv?: boolean;
  node?: string;
};

export function registerLedger(tls: Command): void {
  withCommon(
    tls
      .command('ledger')
      .description('how mail came and left, newest first: TLS wanted and reached, certificates, and totals by domain'),
  )
    .option('--domain <name>', 'only mail to or from this domain and those below it')
    .option('--since <duration>', 'only of the last 7d, 12h … (default: all that is kept)')
    .addOption(new Option('--direction <direction>', 'only mail that came or left').choices(LedgerDirection.options))
    .addOption(new Option('--weaker-than <level>', 'only rows that reached less').choices(['encrypted', 'verified']))
    .option('--limit <number>', 'how many rows at most (default: all), without totals', parseCount)
    .option('--totals', 'only the totals')
    .option('--csv', 'print CSV: the rows, or with --totals the totals')
    .option('--node <name>', 'only of this node (default: those of all routers)')
    .action(ledger);
}

async function ledger(options: LedgerOptions): Promise<void> {
  if (options.csv && options.json) throw usageError('--csv or --json, not both');
  const question = questionOf(options);
  await using caller = await openCaller(options);
  const { up: nodes, silent } = await findRouters(caller, options.node);
  const tell = (node: string, error: unknown): void => tellUndone(`the TLS ledger of ${node} is not complete`, error);
  for (const node of silent) tell(node, unheard());
  const reader = new LedgerReader(caller, question, (node, error) => {
    if (nodes.length === 1) throw error;
    silent.push(node);
    tell(node, error);
  });
  const printer = printerFor(options);
  let more = false;
  if (options.totals) await reader.countAll(nodes);
  else more = await printRows(reader.rows(nodes), printer, options.limit);
  const totals = more ? [] : inOrder(reader.totals.values());
  await write(printer.end({ totals, more, silent, unreadable: reader.unreadable }));
  if (reader.unreadable > 0)
    tellUndone('the TLS ledger is not complete', new Error(`${reader.unreadable} records are damaged`));
}

function questionOf({ domain, since, direction, weakerThan }: LedgerOptions): LedgerQuestion {
  const ms = since === undefined ? undefined : parseDuration(since);
  if (since !== undefined && ms === undefined) throw usageError(`"${since}" is not a duration: write 12h or 7d`);
  return {
    ...(domain !== undefined && { domain: normalizeDomain(domain) }),
    ...(ms !== undefined && { since: Date.now() - ms }),
    ...(direction !== undefined && { direction }),
    ...(weakerThan !== undefined && { weakerThan }),
  };
}

/** Rows that are printed together, and how long they wait for each other. */
const BLOCK = 200;
const SILENCE_MS = 500;

/** Returns whether there are more than `limit`. */
async function printRows(
  rows: AsyncIterable<LedgerRow>,
  printer: Printer,
  limit = Number.POSITIVE_INFINITY,
): Promise<boolean> {
  let block: LedgerRow[] = [];
  let count = 0;
  let told = performance.now();
  const flush = async (): Promise<void> => {
    if (block.length > 0) await write(printer.rows(block));
    block = [];
    told = performance.now();
  };
  for await (const row of rows) {
    if (count === limit) {
      await flush();
      return true;
    }
    count++;
    block.push(row);
    if (block.length >= BLOCK || performance.now() - told > SILENCE_MS) await flush();
  }
  await flush();
  return false;
}

/** Waits where the reader is slower. */
async function write(text: string): Promise<void> {
  if (text !== '' && !stdout.write(text)) await once(stdout, 'drain');
}

type Ending = { totals: readonly LedgerTotal[]; more: boolean; silent: readonly string[]; unreadable: number };
type Printer = { rows(rows: readonly LedgerRow[]): string; end(ending: Ending): string };

function printerFor({ json, csv, totals }: LedgerOptions): Printer {
  if (json) return jsonPrinter();
  if (csv) return totals ? csvTotals() : csvRows();
  return tablePrinter(totals === true);
}

/** One value, whose rows come while they are read. */
function jsonPrinter(): Printer {
  let before = '{ "rows": [\n';
  return {
    rows(rows) {
      const text = rows.map((row) => jsonText(row)).join(',\n');
      const all = `${before}${text}`;
      before = ',\n';
      return all;
    },
    end: (ending) => `${before === ',\n' ? '' : before}\n], ${jsonText(ending).slice(1)}\n`,
  };
}

function csvRows(): Printer {
  const head = csvLine(ROW_FIELDS.map(([name]) => name));
  let before = head;
  return {
    rows(rows) {
      const lines = rows.map((row) => csvLine(ROW_FIELDS.map(([, of]) => of(row))));
      const all = before + lines.join('');
      before = '';
      return all;
    },
    end: () => before,
  };
}

function csvTotals(): Printer {
  const head = csvLine(TOTAL_FIELDS.map(([name]) => name));
  return {
    rows: () => '',
    end: ({ totals }) => head + totals.map((total) => csvLine(TOTAL_FIELDS.map(([, of]) => of(total)))).join(''),
  };
}

function tablePrinter(onlyTotals: boolean): Printer {
  let lines: ReturnType<typeof tableOf> | undefined;
  return {
    rows(rows) {
      const cells = rows.map(cellsOf);
      lines ??= tableOf(COLUMNS, cells);
      return `${lines(cells).join('\n')}\n`;
    },
    end({ totals, more }) {
      if (more) return '… and more\n';
      if (totals.length === 0) return 'no mail came or left in that time\n';
      const cells = totals.map(totalCells);
      return `${onlyTotals ? '' : '\n'}${tableOf(TOTAL_COLUMNS, cells)(cells).join('\n')}\n`;
    },
  };
}
