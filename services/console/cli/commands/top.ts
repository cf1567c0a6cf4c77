import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { errorText, SealpostError } from '#shared/errors.ts';
import { examineCluster } from '../../reports/cluster/checks.ts';
import { gatherCluster } from '../../reports/cluster/facts.ts';
import { describeError } from '../../reports/describe-error.ts';
import { worstFirst } from '../../reports/doctor/finding.ts';
import { gatherTraffic, type Traffic } from '../../reports/traffic/facts.ts';
import { ratesOf, remember } from '../../reports/traffic/rates.ts';
import { type Caller, type CommonOptions, openCaller, parseCount, withCommon } from '../context.ts';
import { findingLine } from '../findings.ts';
import { jsonText } from '../table.ts';
import { HISTORY, picture, type View } from '../top/picture.ts';

/** `sealpost top`: how much mail the nodes accept and deliver, their queues, and what needs a hand, as it happens. */

export function register(program: Command): void {
  withCommon(program.command('top'))
    .description('the mail of all nodes as it happens: accepted, delivered, waiting, signed, encrypted; and alarms')
    .option('--every <seconds>', 'how often to look', parseCount, 2)
    .option('--count <n>', 'look so many times, and end', parseCount)
    .addHelpText(
      'after',
      '\nOn a terminal it fills the screen until q or Control-C; elsewhere each look is a block of text, with --json a line.',
    )
    .action(top);
}

type TopOptions = CommonOptions & { every: number; count?: number };

/** How often the cluster is examined: that asks each process for more. */
const EXAMINE_MS = 10_000;

async function top(options: TopOptions): Promise<void> {
  await using caller = await openCaller(options);
  const ended = new AbortController();
  const screen = options.json !== true && process.stdout.isTTY ? openScreen(ended) : undefined;
  const stop = (): void => ended.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  // What was asked may be long without an answer: the terminal is given back, and a second signal ends the process.
  ended.signal.addEventListener('abort', () => {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    screen?.close();
  });
  try {
    await watch(caller, options, { signal: ended.signal, show: (view) => show(view, options, screen !== undefined) });
  } catch (error) {
    if (!ended.signal.aborted) throw error;
  } finally {
    screen?.close();
  }
}

type Watching = { signal: AbortSignal; show: (view: View) => void };

async function watch(caller: Caller, { every, count }: TopOptions, { signal, show }: Watching): Promise<void> {
  const view: View = {
    title: '',
    rates: undefined,
    history: { accepted: [], delivered: [] },
    alarms: undefined,
    silent: [],
  };
  let last: Traffic | undefined;
  let examined = Number.NEGATIVE_INFINITY;
  for (let looked = 0; !signal.aborted; ) {
    if (performance.now() - examined > EXAMINE_MS) {
      examined = performance.now();
      void examine(caller, view);
    }
    const now = await look(caller, view);
    if (signal.aborted) return;
    if (now !== undefined) {
      if (last !== undefined) add(view, last, now);
      last = last === undefined ? now : remember(last, now);
    }
    const nodes = view.rates?.nodes.size ?? 0;
    view.title = `sealpost top: ${nodes} ${nodes === 1 ? 'node' : 'nodes'}, every ${every} s, ${new Date().toLocaleTimeString('sv')}`;
    if (view.rates !== undefined) {
      show(view);
      looked++;
    }
    if (looked === count) return;
    await delay(every * 1000, undefined, { signal }).catch(() => undefined);
  }
}

function add(view: View, before: Traffic, now: Traffic): void {
  view.rates = ratesOf(before, now);
  view.silent = now.silent;
  const { accepted, delivered } = view.rates.all.rates;
  view.history = {
    accepted: [...view.history.accepted, accepted].slice(-HISTORY),
    delivered: [...view.history.delivered, delivered].slice(-HISTORY),
  };
}

/** Undefined where no node answers; the first time that is an error. */
async function look(caller: Caller, view: View): Promise<Traffic | undefined> {
  try {
    return await gatherTraffic(caller, await caller.meet());
  } catch (error) {
    if (view.rates === undefined) throw error;
    view.silent = [{ node: 'the cluster', services: ['all'], reason: reasonOf(error) }];
    return undefined;
  }
}

/** Never rejects. */
async function examine(caller: Caller, view: View): Promise<void> {
  try {
    const findings = worstFirst(examineCluster(await gatherCluster(caller)));
    view.alarms = findings.map((finding) => ({ severity: finding.severity, text: findingLine(finding) }));
  } catch (error) {
    view.alarms = [{ severity: 'warning', text: `the cluster could not be examined: ${reasonOf(error)}` }];
  }
}

function reasonOf(error: unknown): string {
  return error instanceof SealpostError ? describeError(error) : errorText(error);
}

function show(view: View, options: TopOptions, onScreen: boolean): void {
  if (options.json) {
    const { rates, alarms, silent } = view;
    const nodes = Object.fromEntries(rates?.nodes ?? []);
    process.stdout.write(`${jsonText({ at: Date.now(), all: rates?.all, nodes, alarms, silent })}\n`);
    return;
  }
  // 0: a terminal that does not know its size.
  const columns = (onScreen && process.stdout.columns) || 200;
  const rows = onScreen && process.stdout.rows > 0 ? Math.max(1, process.stdout.rows - 1) : 1000;
  const lines = picture(view, { columns, rows, colour: onScreen && hasColours() });
  // Each line is written over the one before and cleared to its end, so that nothing flickers.
  const text = onScreen ? `\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\n')}\x1b[J` : `${lines.join('\n')}\n`;
  process.stdout.write(`${text}\n`);
}

function hasColours(): boolean {
  return process.stdout.hasColors() && process.env['NO_COLOR'] === undefined;
}

/** The alternate screen of the terminal, without a cursor; q and Control-C end it. */
function openScreen(ended: AbortController): { close(): void } {
  const { stdin, stdout } = process;
  const pressed = (bytes: Buffer): void => {
    if (/[qQ\x03]/.test(bytes.toString('latin1'))) ended.abort();
  };
  let open = true;
  stdout.write('\x1b[?1049h\x1b[?25l');
  if (stdin.isTTY) stdin.setRawMode(true).on('data', pressed).resume();
  return {
    close() {
      if (!open) return;
      open = false;
      if (stdin.isTTY) stdin.setRawMode(false).off('data', pressed).pause();
      stdout.write('\x1b[?25h\x1b[?1049l');
    },
  };
}
