import type { Command } from 'commander';
import type { FoundMessage } from '#shared/mail/message-search.ts';
import { formatTime } from '#shared/units.ts';
import { outcomeText } from '../../../reports/mail/outcome.ts';
import { FindReader } from '../../../reports/mail/reader.ts';
import { findRouters, unheard } from '../../../reports/mail/routers.ts';
import { type CommonOptions, openCaller, parseCount, print } from '../../context.ts';
import { shorten, tableOf } from '../../table.ts';
import { tellUndone } from '../undone.ts';
import { type FindWords, questionOf } from './question.ts';

/** `sealpost queue find`: printed while it is read, in blocks. */

type FindOptions = CommonOptions & FindWords & { limit: number; node?: string };

export function registerFind(command: (name: string, text: string) => Command): void {
  command('find', 'messages that wait and receipts of those that left, newest first')
    .argument('[what]', 'a queue id, Message-ID, or an address or domain of a sender or recipient (default: all)')
    .option('--from <address>', 'only from this sender, or this domain and those below it; <> for DSNs')
    .option('--to <address>', 'only to this recipient or domain, also as it was before aliases')
    .option('--message-id <id>', 'only with this Message-ID')
    .option('--since <time>', 'only what arrived in the last 12h, 7d …, or since "2026-11-30 14:05"')
    .option('--until <time>', 'only what arrived before')
    .option('--before <id>', 'only what is older than this queue id: the page that follows')
    .option('--limit <number>', 'how many messages at most', parseCount, 100)
    .action(find);
}

/** Rows that are printed together, and how long they wait for each other. */
const BLOCK = 100;
const SILENCE_MS = 500;

async function find(what: string | undefined, options: FindOptions): Promise<void> {
  const question = questionOf(what, options, Date.now());
  await using caller = await openCaller(options);
  const { up: nodes, silent } = await findRouters(caller, options.node);
  const tell = (node: string, error: unknown): void => tellUndone(`${node} was not searched to the end`, error);
  for (const node of silent) tell(node, unheard());
  const reader = new FindReader(caller, question, (node, error) => {
    if (nodes.length === 1) throw error;
    silent.push(node);
    tell(node, error);
  });
  const messages: FoundMessage[] = [];
  const printer = options.json ? undefined : printerFor(nodes.length + silent.length > 1);
  let [printed, told, more] = [0, performance.now(), false];
  const flush = (): void => {
    printer?.(messages.slice(printed));
    [printed, told] = [messages.length, performance.now()];
  };
  for await (const message of reader.messages(nodes)) {
    more = messages.length === options.limit;
    if (more) break;
    messages.push(message);
    if (messages.length - printed >= BLOCK || performance.now() - told > SILENCE_MS) flush();
  }
  flush();
  const { unreadable } = reader;
  if (options.json) print(options, { messages, more, silent, unreadable }, () => '');
  else if (messages.length === 0) console.log(`no message found${silent.length === 0 ? '' : ' on the others'}`);
  else if (more) console.log(`… and more: --before ${messages.at(-1)?.queueId}`);
  if (unreadable > 0) tellUndone('the search is not complete', new Error(`${unreadable} records are damaged`));
}

const COLUMNS = ['ARRIVED', 'ID', 'FROM', 'TO', 'STATE'];
const LONGEST_STATE = 100;

/** Prints blocks as they come; `several`: more than one node has a part in it. */
function printerFor(several: boolean): (messages: readonly FoundMessage[]) => void {
  let lines: ReturnType<typeof tableOf> | undefined;
  return (messages) => {
    if (messages.length === 0) return;
    const rows = messages.map((message) => [...(several ? [message.node] : []), ...cellsOf(message)]);
    lines ??= tableOf(several ? ['NODE', ...COLUMNS] : COLUMNS, rows);
    console.log(lines(rows).join('\n'));
  };
}

function cellsOf(message: FoundMessage): string[] {
  const { arrived, queueId, reversePath, recipients, counts } = message;
  const [first] = recipients;
  const others = Object.values(counts).reduce((sum, n) => sum + n, 0) - 1;
  const to = first?.original === undefined ? first?.address : `${first.original} → ${first.address}`;
  return [
    formatTime(arrived),
    queueId,
    shorten(reversePath || '<>', 32),
    `${shorten(to ?? '', 48)}${others > 0 ? ` +${others}` : ''}`,
    shorten(stateText(message), LONGEST_STATE),
  ];
}

/** What became of it: the state of its recipients, and the last reply to the one that is shown. */
export function stateText({ state, counts, recipients }: FoundMessage): string {
  const several = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  const [first] = recipients;
  const [only] = Object.keys(counts);
  const outcome = several.length === 1 && only !== undefined ? only : several.join(', ');
  const name = state === 'finished' ? outcome : state === 'hold' ? `hold, ${outcome}` : outcome;
  return first?.last === undefined ? name : `${name}: ${outcomeText(first.last)}`;
}
