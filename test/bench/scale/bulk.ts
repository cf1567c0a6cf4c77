import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { interruptedOnTerminal, sealpost } from '#test/kit/command.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { fill } from './fill.ts';

/**
 * Commands for much mail, on a node with a long queue: each is begun on a terminal, interrupted by Control-C, and given again.
 * Counts must add up exactly.
 *
 *   node test/bench/scale/bulk.ts [--messages 100000] [--destinations 5000] [--size 1024]
 */

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '100000' },
    destinations: { type: 'string', default: '5000' },
    size: { type: 'string', default: '1024' },
  },
});
const messages = Number(values.messages);

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

await using node = await SealpostNode.create({ config: 'routes: [{ to: "*", via: "smtp://127.0.0.1:1" }]\n' });
await fill({
  folder: join(node.folder, 'data'),
  messages,
  destinations: Number(values.destinations),
  size: Number(values.size),
  dueIn: (n) => 2 * 3600_000 + ((n * 7919) % 7_200_000),
});
const program = await node.start();
await program.waitForOutput(/"queue read"/, 600_000);

type Answer = { count: number; interrupted: boolean; after?: string };
const run = async (...args: string[]): Promise<Answer> => {
  const result = await sealpost(['queue', ...args, '--json', '--config', node.configFile], { cwd: node.folder });
  if (result.code !== 0) throw new Error(`${args.join(' ')}: ${result.code} ${result.stderr}`);
  return JSON.parse(result.stdout) as Answer;
};
const timed = async <T>(what: string, work: () => Promise<T>, text: (result: T) => string): Promise<T> => {
  const began = performance.now();
  const result = await work();
  say(`${what}: ${text(result)} in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return result;
};

/** Begin it on a terminal, and press Control-C once some is done. */
async function interrupted(operation: string, ...args: string[]): Promise<number> {
  const line = ['queue', operation, ...args, '--yes', '--config', node.configFile];
  const { code, output } = await interruptedOnTerminal(node.folder, line, /\d+ of \d+ /);
  const steps = new Set(output.match(/\d+ of \d+ /g)).size;
  const count = Number(/(\d+) messages? \D*\r?\ninterrupted/.exec(output)?.[1]);
  say(`${operation}: ${steps} steps of progress seen, then Control-C: ${count} done, exit code ${code}`);
  if (code !== 130 || !(count > 0 && count < messages)) throw new Error(`not interrupted: ${JSON.stringify(output)}`);
  return count;
}

function check(what: string, count: number, expected: number): void {
  if (count !== expected) throw new Error(`${what}: ${count} instead of ${expected}`);
  say(`${what}: ${count}, as it should be`);
}

await timed(
  'count',
  () => run('hold', '--all', '--dry-run'),
  ({ count }) => `${count} messages`,
);
await timed(
  'summary',
  () => run('summary', '--by', 'reply'),
  () => 'by reply',
);
for (const operation of ['hold', 'release', 'reroute', 'bounce']) {
  const args = operation === 'reroute' ? ['--all', '--via', 'smtp://127.0.0.1:2'] : ['--all'];
  const first = await interrupted(operation, ...args);
  const rest = await timed(
    operation,
    () => run(operation, ...args, '--yes'),
    ({ count }) => `${count} messages, the rest`,
  );
  check(operation, first + rest.count, messages);
}
say(`left in the queue after that: ${(await run('hold', '--all', '--dry-run')).count} (reports to senders)`);
