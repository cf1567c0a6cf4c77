import { stdout } from 'node:process';
import type { Command } from 'commander';
import { routerContract } from '#services/router/contract.ts';
import { directiveText } from '#shared/directive.ts';
import { summarize } from '#shared/mail/authenticity.ts';
import type { Outcome } from '#shared/mail/envelope.ts';
import { describeMessageTls } from '#shared/mail/message-tls.ts';
import { formatDuration, formatSize, formatTime } from '#shared/units.ts';
import { outcomeText } from '../../../reports/mail/outcome.ts';
import { type Entry, queued } from '../../../reports/mail/queued.ts';
import { mostTelling } from '../../../reports/mail/reader.ts';
import { findRouters, unheard, whereItIs, whereverItIs } from '../../../reports/mail/routers.ts';
import { readMessage } from '../../../reports/mail/text.ts';
import { explained } from '../../../reports/mail/why/sentence.ts';
import { type CommonOptions, openCaller, parseCount, print, withCommon } from '../../context.ts';
import { cleanLines, pairs, shorten, TerminalText, table, tableOf } from '../../table.ts';
import { attemptLines } from '../attempts.ts';
import { registerChanges } from '../bulk/change.ts';
import { type FilterWords, filterOf, withFilter } from '../bulk/filter-words.ts';
import { registerSummary } from '../bulk/summary.ts';
import { registerFind } from '../find/command.ts';
import { tellUndone } from '../undone.ts';
import { registerDirectives, suspendedText } from './directives.ts';

type QueueOptions = CommonOptions & { node?: string };
type ListOptions = QueueOptions & FilterWords & { limit: number };

export function register(program: Command): void {
  const queue = program.command('queue').description('see and manage the mail that waits');
  const command = (name: string, text: string): Command =>
    withCommon(queue.command(name).description(text)).option(
      '--node <name>',
      'only the queue of this node (default: those of all routers)',
    );

  registerDirectives(queue);
  withFilter(command('list', 'what is there, and why it waits'))
    .option('--limit <number>', 'how many messages at most', parseCount, 100)
    .action(list);
  registerSummary(command);
  registerFind(command);
  command('show', 'one message: every recipient, every reply').argument('<id>', 'queue id').action(show);
  command('cat', 'print a message as it would be sent, without signatures').argument('<id>', 'queue id').action(cat);

  registerChanges(command);
}

/** Rows that are printed together. */
const BLOCK = 100;
/** What was found is printed this soon, also where a block takes long to fill. */
const SILENCE_MS = 500;
const COLUMNS = ['ID', 'STATE', 'AGE', 'SIZE', 'FROM', 'TO', 'WAITS FOR'];

async function list(ids: string[], options: ListOptions): Promise<void> {
  const { limit } = options;
  const filter = filterOf(ids, options, Date.now());
  await using caller = await openCaller(options);
  const { up: nodes, silent } = await findRouters(caller, options.node);
  const entries: Entry[] = [];
  let more = false;
  const printer = options.json ? undefined : listPrinter(nodes.length + silent.length > 1);
  let printed = 0;
  let told = performance.now();
  const flush = (): void => {
    printer?.(entries.slice(printed));
    printed = entries.length;
    told = performance.now();
  };
  const tell = (node: string, error: unknown): void => tellUndone(`the queue of ${node} is not listed`, error);
  const onSilent = (node: string, error: unknown): void => {
    if (nodes.length === 1) throw error;
    silent.push(node);
    tell(node, error);
  };
  for (const node of silent) tell(node, unheard());
  for await (const entry of queued(caller, nodes, filter, onSilent)) {
    if (entries.length === limit) {
      more = true;
      break;
    }
    entries.push(entry);
    if (entries.length - printed >= BLOCK || performance.now() - told > SILENCE_MS) flush();
  }
  flush();
  if (options.json) print(options, { entries, more, silent }, () => '');
  else if (entries.length === 0) console.log(`no mail in the queue${silent.length === 0 ? '' : ' of the others'}`);
  else if (more) console.log(`… and more: --limit ${limit * 10}`);
}

/** Prints blocks of the list as they come; `several`: more than one node has a part in it. */
function listPrinter(several: boolean): (entries: readonly Entry[]) => void {
  const cells = (entry: Entry): string[] => [...(several ? [entry.node] : []), ...row(entry)];
  let lines: ReturnType<typeof tableOf> | undefined;
  return (entries) => {
    if (entries.length === 0) return;
    const rows = entries.map(cells);
    lines ??= tableOf(several ? ['NODE', ...COLUMNS] : COLUMNS, rows);
    console.log(lines(rows).join('\n'));
  };
}

function row(entry: Entry): string[] {
  const [first] = entry.recipients;
  const others = entry.recipients.length - 1;
  return [
    entry.queueId,
    entry.state,
    formatDuration(Date.now() - entry.arrived),
    formatSize(entry.size),
    shorten(entry.reversePath || '<>', 32),
    `${shorten(first?.recipient.address ?? '', 32)}${others > 0 ? ` +${others}` : ''}`,
    waitsFor(entry),
  ];
}

/** Held mail waits for an operator, whoever holds it. */
function heldText({ hold, queueId }: Entry): string {
  const why = hold?.by === 'journal' ? ', because the archive takes no copy' : '';
  return `an operator${hold?.rule === undefined ? '' : `, by rule ${hold.rule}`}${why}: "sealpost queue release ${queueId}"`;
}

/** The last reply that defers the mail, or its next step. */
function waitsFor(entry: Entry): string {
  if (entry.state === 'hold') return heldText(entry);
  const suspended = entry.recipients.find((r) => r.suspended !== undefined)?.suspended;
  if (suspended !== undefined) return suspendedText(suspended);
  const limited = entry.recipients.find((r) => r.limit !== undefined);
  if (limited !== undefined) return `its turn, ${limited.limit}`;
  const recipient = entry.recipients.find(({ status }) => status.state === 'deferred');
  const deferred = recipient?.status;
  if (deferred?.state !== 'deferred') return 'its first attempt';
  return `${outcomeText(lastWord(deferred.outcome, recipient?.backoff))}, next attempt in ${formatDuration(deferred.nextAttempt - Date.now())}`;
}

/** That of the last attempt at the recipient, or at its next hop since. */
function lastWord(outcome: Outcome, backoff: Entry['recipients'][number]['backoff']): Outcome {
  return backoff !== undefined && backoff.at > outcome.at ? backoff : outcome;
}

/** `held`: who is waited for, where the message is held. */
function statusText(
  { status, limit, suspended, backoff }: Entry['recipients'][number],
  held: string | undefined,
): string {
  const limited = limit === undefined ? undefined : `its turn, ${limit}`;
  const turn = suspended === undefined ? limited : suspendedText(suspended);
  switch (status.state) {
    case 'waiting':
      return `waiting for ${held ?? turn ?? 'its first attempt'}`;
    case 'deferred': {
      const other = turn === undefined ? undefined : `waiting for ${turn}`;
      const wait =
        held !== undefined
          ? `waiting for ${held}`
          : (other ?? `next attempt in ${formatDuration(status.nextAttempt - Date.now())}`);
      return `deferred, ${wait}; last reply: ${outcomeText(lastWord(status.outcome, backoff))}`;
    }
    default:
      return `${status.state} ${formatTime(status.outcome.at)}: ${outcomeText(status.outcome)}`;
  }
}

async function show(id: string, options: QueueOptions): Promise<void> {
  await using caller = await openCaller(options);
  const router = caller.client(routerContract);
  const answers = await whereverItIs(await findRouters(caller, options.node), (node) =>
    router['message-show']({ queueId: id }, { node }),
  );
  const { entry, finished, copy, queued: facts = {} } = mostTelling(answers);
  const { help } = finished ? {} : explained({ kind: 'queued', entry, queued: facts }, Date.now());
  print(options, { entry, finished, copy, help }, () =>
    [shownText({ entry, finished, copy }), ...(help === undefined ? [] : ['', cleanLines(`To do: ${help}.`)])].join(
      '\n',
    ),
  );
}

type Shown = { entry: Entry; finished: boolean; copy?: true | undefined };

/** A message for people: its facts, its recipients, and all attempts. */
export function shownText({ entry, finished, copy }: Shown): string {
  return [
    pairs([
      ['id', entry.queueId],
      ['state', stateText({ entry, finished, copy })],
      ['node', entry.node],
      ['arrived', formatTime(entry.arrived)],
      ['size', formatSize(entry.size)],
      ['from', entry.reversePath || '<>'],
      ...(entry.messageId === undefined ? [] : [['message-id', entry.messageId] as const]),
      ['by', originText(entry.origin)],
      ['trace', entry.trace],
      ...(entry.junk ? [['junk', 'yes'] as const] : []),
      ...(entry.via === undefined ? [] : [['rerouted', `to ${entry.via}, by an operator`] as const]),
      ...(entry.tls === undefined ? [] : [['asks for', describeMessageTls(entry.tls)] as const]),
      ...(entry.authenticity === undefined ? [] : Object.entries(summarize(entry.authenticity))),
      ...Object.entries(entry.filters ?? {}).map(([filter, said]) => [`filter ${filter}`, said] as const),
    ]),
    '',
    table(
      ['RECIPIENT', 'NEXT HOP', 'STATUS'],
      entry.recipients.map((r) => [
        recipientText(r),
        hopText(r),
        statusText(r, entry.state === 'hold' ? heldText(entry) : undefined),
      ]),
    ),
    ...attemptLines(entry),
  ].join('\n');
}

function stateText({ entry, finished, copy }: Shown): string {
  if (!finished) return entry.state;
  return copy === true ? `finished, as the node says that had its second copy` : 'finished';
}

/** With who redirected it, where an operator did. */
function hopText({ nextHop, redirected }: Entry['recipients'][number]): string {
  return redirected === undefined ? nextHop : `${nextHop} (redirected ${directiveText(redirected)})`;
}

/** With the reverse-path, where the recipient has one of its own, and the rule that made an archive of it, or redirected it. */
function recipientText({ recipient }: Entry['recipients'][number]): string {
  const { address, reversePath, journal, redirectedBy } = recipient;
  if (journal !== undefined) return `${address} (archive of rule ${journal.rule})`;
  const words = [
    ...(reversePath === undefined ? [] : [`from ${reversePath}`]),
    ...(redirectedBy === undefined ? [] : [`redirected by rule ${redirectedBy}`]),
  ];
  return words.length === 0 ? address : `${address} (${words.join(', ')})`;
}

function originText({ listener, client, user, tls }: Entry['origin']): string {
  const login = user === undefined ? '' : `user ${user}, `;
  return `${login}${client.name ?? client.helo} [${client.address}] on ${listener}${tls === undefined ? ', clear text' : `, ${tls.protocol}`}`;
}

async function cat(id: string, options: QueueOptions): Promise<void> {
  await using caller = await openCaller(options);
  const router = caller.client(routerContract);
  const { node, first } = await whereItIs(await findRouters(caller, options.node), async (name) => {
    const { bytes } = await router['message-read']({ queueId: id, offset: 0 }, { node: name });
    return { node: name, first: bytes };
  });
  const parts: Uint8Array[] = [];
  const shown = stdout.isTTY ? new TerminalText() : undefined;
  for await (const bytes of readMessage(caller, id, { node, first })) {
    if (options.json) parts.push(bytes);
    // The message itself, byte for byte: what a file or another program wants. A terminal gets text that does not steer
    // it.
    else if (!stdout.write(shown === undefined ? bytes : shown.take(bytes))) {
      await new Promise((resolve) => stdout.once('drain', resolve));
    }
  }
  if (shown !== undefined) stdout.write(shown.rest());
  if (options.json) print(options, { queueId: id, message: Buffer.concat(parts).toString('latin1') }, () => '');
}
