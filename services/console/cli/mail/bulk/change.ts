import { stderr } from 'node:process';
import { type Command, Option } from 'commander';
import { isPlainVia } from '#cluster/config/schema/route.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import type { QueueChange } from '#shared/queue/change.ts';
import { type Change, changeParts, cursorOf, newPart, type Part } from '../../../reports/mail/change.ts';
import { findRouters, type Routers, unheard } from '../../../reports/mail/routers.ts';
import { confirm } from '../../confirm.ts';
import { type Caller, type CommonOptions, openCaller, print } from '../../context.ts';
import { usageError } from '../../exit.ts';
import { operator } from '../../operator.ts';
import { tellUndone } from '../undone.ts';
import { parseCursor } from './cursor.ts';
import { type FilterWords, filterOf, withFilter } from './filter-words.ts';
import { Progress } from './progress.ts';

/**
 * `sealpost queue retry | hold | release | remove | bounce | reroute`: what operators do with much mail. It is counted first,
 * and asked about unless it is named by ids; Control-C ends it after the page that is under way.
 */

type ChangeOptions = CommonOptions &
  FilterWords & {
    node?: string;
    all?: boolean;
    yes?: boolean;
    dryRun?: boolean;
    after?: string;
    reason?: string;
    notify?: boolean;
    via?: string;
  };

/** What a shell makes of a program that Control-C ended. */
const INTERRUPTED = 130;

const DONE: Record<QueueChange, string> = {
  retry: 'will be tried now',
  hold: 'held',
  release: 'released',
  remove: 'removed',
  bounce: 'returned to their senders',
  reroute: 'rerouted',
};

export function registerChanges(command: (name: string, text: string) => Command): void {
  const changing = (operation: QueueChange, text: string): Command =>
    withFilter(command(operation, text))
      .option('--all', 'all mail')
      .option('--yes', 'do not ask')
      .option('--dry-run', 'only count')
      .option('--after <cursor>', 'go on where an interrupted command stopped, with what it printed')
      .option('--reason <text>', 'why, for the log of the routers')
      .action((ids: string[], options: ChangeOptions) => change(operation, ids, options));
  changing('retry', 'try deferred mail now');
  changing('hold', 'keep mail back until it is released');
  changing('release', 'deliver held mail');
  changing('remove', 'take mail out of the queue for good').addOption(
    new Option('--notify', 'the same as bounce').hideHelp(),
  );
  changing('bounce', 'return mail to its senders now, with --reason in the non-delivery report');
  changing('reroute', 'deliver waiting mail to another host, now').requiredOption(
    '--via <hop>',
    'smtp://host, smtps://host, lmtp://host, each with or without :port, mx, or route: as the routes say',
  );
}

async function change(name: QueueChange, ids: string[], options: ChangeOptions): Promise<void> {
  const { via, reason } = options;
  const operation = options.notify === true ? 'bounce' : name;
  if (via !== undefined && via !== 'route' && !isPlainVia(via))
    throw usageError('--via is smtp://host, smtps://host or lmtp://host, without a user, mx or route');
  const filter = filterOf(ids, options, Date.now());
  const isNamed = Object.keys(filter).length > 0;
  if (isNamed === (options.all === true))
    throw usageError('say which mail: queue ids, words such as --domain, or --all for all of it');
  const places = options.after === undefined ? undefined : parseCursor(options.after);
  await using caller = await openCaller(options);
  const routers = await findRouters(caller, options.node);
  const wanted: Change = {
    ...{ operation, filter, by: operator() },
    ...(via !== undefined && { via }),
    ...(reason !== undefined && { reason }),
  };
  const parts = routers.up.map((node) => newPart(node, places?.get(node)));
  const command = new ChangeCommand(caller, wanted, routers, options);
  const expected = await command.count(parts, ids.length > 0);
  if (options.dryRun === true || expected === 0) command.tell(parts, { dryRun: options.dryRun === true });
  else await command.run(parts, expected);
}

class ChangeCommand {
  readonly #caller: Caller;
  readonly #change: Change;
  readonly #routers: Routers;
  readonly #options: ChangeOptions;
  readonly #progress: Progress;

  constructor(caller: Caller, wanted: Change, routers: Routers, options: ChangeOptions) {
    this.#caller = caller;
    this.#change = wanted;
    this.#routers = routers;
    this.#options = options;
    this.#progress = new Progress(options.json !== true);
  }

  /**
   * Count what is meant and ask whether to go on; the moment of the count is that after which no mail is touched. Resolves to
   * undefined where nobody wants to know: mail is named by ids, or nobody is to be asked and nobody looks.
   */
  async count(parts: readonly Part[], isById: boolean): Promise<number | undefined> {
    const { yes = false, dryRun = false } = this.#options;
    if (!dryRun && (isById || (yes && !stderr.isTTY))) return undefined;
    const counts = parts.map((part) => ({ ...part, missing: [...part.missing] }));
    const total = (): number => sumOf(counts);
    await changeParts(this.#caller, { ...this.#change, dryRun: true }, counts, {
      stopped: () => false,
      onPage: () => this.#progress.show(`counting: ${total()}`),
    });
    this.#progress.end();
    for (const [n, part] of parts.entries()) {
      const { until, error, count, missing } = counts[n] ?? part;
      Object.assign(part, { ...(until !== undefined && { until }), ...(error !== undefined && { error }) });
      if (dryRun) Object.assign(part, { count, missing, done: true });
    }
    if (dryRun) return total();
    if (total() > 0) await confirm(this.#question(counts), { yes });
    return total();
  }

  #question(counts: readonly Part[]): string {
    const { operation, via } = this.#change;
    const each = counts.length < 2 ? '' : ` (${counts.map(({ node, count }) => `${node}: ${count}`).join(', ')})`;
    return `${operation} ${messages(sumOf(counts))}${via === undefined ? '' : `, via ${via}`}${each}`;
  }

  async run(parts: readonly Part[], expected: number | undefined): Promise<void> {
    let interrupted = false;
    // A second one ends the command as it is.
    const interrupt = (): void => {
      interrupted = true;
    };
    process.once('SIGINT', interrupt);
    const asked = parts.filter(({ error }) => error === undefined);
    await changeParts(this.#caller, { ...this.#change, dryRun: false }, asked, {
      stopped: () => interrupted,
      onPage: () =>
        this.#progress.show(`${sumOf(parts)}${expected === undefined ? '' : ` of ${expected}`} ${this.#done}`),
    });
    process.removeListener('SIGINT', interrupt);
    this.#progress.end();
    const isCut = interrupted && asked.some(({ done, error }) => !done && error === undefined);
    if (isCut) process.exitCode = INTERRUPTED;
    this.tell(parts, { dryRun: false, interrupted: isCut });
  }

  get #done(): string {
    return DONE[this.#change.operation];
  }

  /** Fails where no node has answered, or none has a message that is named. */
  tell(parts: readonly Part[], { dryRun, interrupted = false }: { dryRun: boolean; interrupted?: boolean }): void {
    const [first] = parts;
    if (first?.error !== undefined && parts.every(({ error, count }) => error !== undefined && count === 0))
      throw first.error;
    const silent = this.#tellSilent(parts);
    const count = sumOf(parts);
    const after = cursorOf(parts);
    const nodes = Object.fromEntries(parts.map((part) => [part.node, part.count]));
    const isOpen = interrupted || (!dryRun && parts.some(({ error }) => error !== undefined));
    print(this.#options, { count, nodes, silent, interrupted, ...(isOpen && { after }) }, () =>
      [
        dryRun ? `${messages(count)} would be ${dryWord(this.#change.operation)}` : `${messages(count)} ${this.#done}`,
        ...(interrupted
          ? [
              `interrupted: the same command goes on with the rest${after === '' ? '' : `, as it does with --after ${after}`}`,
            ]
          : []),
      ].join('\n'),
    );
  }

  /**
   * Name the nodes that have not done what they should. Where all mail is named by ids and the others have it, nothing is missing.
   */
  #tellSilent(parts: readonly Part[]): string[] {
    const { operation, filter } = this.#change;
    const failed = parts.filter(({ error }) => error !== undefined);
    const away = [...failed, ...this.#routers.silent.map((node) => ({ node, error: unheard() }))];
    const lost = (filter.ids ?? []).filter((id) =>
      parts.every(({ error, missing }) => error !== undefined || missing.some((one) => one.id === id)),
    );
    if (filter.ids !== undefined && failed.length === 0) {
      for (const id of lost) this.#tellMissing(id, parts, away);
      return lost.length === 0 ? [] : away.map(({ node }) => node);
    }
    for (const { node, error } of away) tellUndone(`${operation} may not be done on ${node}`, error);
    return away.map(({ node }) => node);
  }

  #tellMissing(id: string, parts: readonly Part[], away: readonly { node: string; error?: unknown }[]): void {
    const reasons = parts.flatMap(({ node, missing }) =>
      missing.filter((one) => one.id === id).map(({ reason }) => `${node}: ${reason}`),
    );
    const unknown = away.map(({ node, error }) => `${node}: ${error instanceof Error ? error.message : ''}`);
    const code = away.length === 0 ? 'not-found' : (errorCode(away[0]?.error) ?? 'timeout');
    tellUndone(this.#change.operation, new SealpostError(code as 'timeout', [...reasons, ...unknown].join('; ')));
  }
}

function sumOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { count }) => sum + count, 0);
}

function messages(count: number): string {
  return `${count} ${count === 1 ? 'message' : 'messages'}`;
}

function dryWord(operation: QueueChange): string {
  return operation === 'retry' ? 'tried now' : DONE[operation];
}
