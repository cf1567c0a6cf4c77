import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { interruptedOnTerminal, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';
import { fill } from './fill.ts';
import { describe, Single } from './single.ts';

/**
 * Commands for much mail, on a node with a long queue: each is begun on a terminal, interrupted by Control-C, and given again.
 * Counts must add up exactly. Beside it all goes single mail to a host that takes it: how long each message takes is said.
 *
 *   node test/bench/scale/bulk.ts [--messages 100000] [--destinations 5000] [--size 1024] [--only hold,release] [--reports live]
 *
 * The mail is for a host that is down, and so are the reports of returned mail, which are removed in the end; `--reports live`: a
 * host takes them.
 */

const OPERATIONS = ['retry', 'hold', 'release', 'reroute', 'bounce', 'remove'];

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '100000' },
    destinations: { type: 'string', default: '5000' },
    size: { type: 'string', default: '1024' },
    only: { type: 'string', default: OPERATIONS.join() },
    reports: { type: 'string', default: 'dead' },
  },
});
const messages = Number(values.messages);

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

await using sink = await Tally.start();
await using senders = await Tally.start();
const live = values.reports === 'live';
const routes = [
  `{ to: healthy.test, via: "smtp://127.0.0.1:${sink.port}" }`,
  `{ to: sender.test, via: "smtp://127.0.0.1:${live ? senders.port : 1}" }`,
  '{ to: "*", via: "smtp://127.0.0.1:1" }',
];
await using node = await SealpostNode.create({ config: `routes: [${routes.join(', ')}]\n` });
await fill({
  folder: join(node.folder, 'data'),
  messages,
  destinations: Number(values.destinations),
  size: Number(values.size),
  dueIn: (n) => 2 * 3600_000 + ((n * 7919) % 7_200_000),
});
const program = await node.start();
await program.waitForOutput(/"queue read"/, 600_000);

/** Send single mail, one message after the other, until `end` has settled. */
async function beside<T>(end: Promise<T>): Promise<{ result: T; times: number[] }> {
  await using single = await Single.open(node.port, sink);
  const times: number[] = [];
  let ended = false;
  const stop = (): void => {
    ended = true;
  };
  end.then(stop, stop);
  while (!ended) {
    times.push(await single.send());
    await delay(50);
  }
  return { result: await end, times };
}

type Answer = { count: number; interrupted: boolean; after?: string };
const run = async (...args: string[]): Promise<Answer> => {
  const result = await sealpost(['queue', ...args, '--json', '--config', node.configFile], { cwd: node.folder });
  if (result.code !== 0) throw new Error(`${args.join(' ')}: ${result.code} ${result.stderr}`);
  return JSON.parse(result.stdout) as Answer;
};
const timed = async <T>(what: string, work: () => Promise<T>, text: (result: T) => string): Promise<T> => {
  const began = performance.now();
  const { result, times } = await beside(work());
  say(`${what}: ${text(result)} in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  say(`  single mail beside it: ${describe(times)}`);
  return result;
};

/** Begin it on a terminal, and press Control-C once some is done. */
async function interrupted(operation: string, ...args: string[]): Promise<{ count: number; after: string }> {
  const line = ['queue', operation, ...args, '--yes', '--config', node.configFile];
  const { code, output } = await interruptedOnTerminal(node.folder, line, /\d+ of \d+ /);
  const steps = new Set(output.match(/\d+ of \d+ /g)).size;
  const count = Number(/(\d+) messages? \D*\r?\ninterrupted/.exec(output)?.[1]);
  const after = /--after (\S+)/.exec(output)?.[1] ?? '';
  say(`${operation}: ${steps} steps of progress seen, then Control-C: ${count} done, exit code ${code}`);
  if (code !== 130 || !(count > 0 && count < messages)) throw new Error(`not interrupted: ${JSON.stringify(output)}`);
  return { count, after };
}

function check(what: string, count: number, expected: number): void {
  if (count !== expected) throw new Error(`${what}: ${count} instead of ${expected}`);
  say(`${what}: ${count}, as it should be`);
}

/** Mail to the dead, and the reports about it. */
const [MAIL, REPORTS] = [
  ['--domain', 'dead.test'],
  ['--domain', 'sender.test'],
];
const reported = (): Promise<true> =>
  waitFor(() => senders.messages >= messages || undefined, { timeout: 600_000, what: 'the reports' });
const left = async (filter: readonly string[]): Promise<number> => (await run('remove', ...filter, '--dry-run')).count;

await timed(
  'count',
  () => run('hold', ...MAIL, '--dry-run'),
  ({ count }) => `${count} messages`,
);
await timed(
  'summary',
  () => run('summary', '--by', 'reply'),
  () => 'by reply',
);
for (const operation of values.only.split(',')) {
  const filter = operation === 'remove' && OPERATIONS.every((one) => values.only.includes(one)) ? REPORTS : MAIL;
  const args = operation === 'reroute' ? [...filter, '--via', 'smtp://127.0.0.1:2'] : filter;
  const first = await interrupted(operation, ...args);
  // What was tried is soon deferred again: the cursor says what was not.
  const after = operation === 'retry' ? ['--after', first.after] : [];
  const rest = await timed(
    operation,
    () => run(operation, ...args, ...after, '--yes'),
    ({ count }) => `${count} messages, the rest`,
  );
  check(operation, first.count + rest.count, messages);
  if (operation === 'bounce') {
    check('left of the mail', await left(MAIL), 0);
    if (live) await timed('the rest of the reports', reported, () => '');
    check('reports to senders', live ? senders.arrivals.size : await left(REPORTS), messages);
    if (live) check('of those twice', senders.duplicates, 0);
  }
  if (operation === 'remove') check('left after that', await left(filter), 0);
}
