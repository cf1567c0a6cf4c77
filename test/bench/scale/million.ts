import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import type { Program } from '#test/kit/program.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { fill } from './fill.ts';
import { describeMemory, type Memory, memoryOf, processorSeconds, reportsInto, residentOf } from './resources.ts';

/**
 * A node with a very long queue beside one with none: memory, the first deliveries after a start, processor while nothing
 * is due, and throughput to a destination that takes everything.
 *
 *   node test/bench/scale/million.ts [--messages 1000000] [--destinations 50000] [--size 1024] [--seconds 10] [--rounds 5]
 *
 * All mail is deferred for hours, to domains that nobody asks for, but three messages: the first, the middle and the last
 * of the queue are due.
 *
 * Throughput is measured in turns, and each round begins with the other node than the one before: what else the machine does
 * hits both. A round before them warms both up. The processor time for a message says what the node needs, however
 * much of the machine it gets.
 */

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    destinations: { type: 'string', default: '50000' },
    size: { type: 'string', default: '1024' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '5' },
    sessions: { type: 'string', default: '20' },
  },
});
const messages = Number(values.messages);
const seconds = Number(values.seconds);

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The part of a core that a process takes for some seconds. */
async function shareWithin({ pid }: Program, duration: number): Promise<number> {
  const before = await processorSeconds(pid);
  await delay(duration * 1000);
  return ((await processorSeconds(pid)) - before) / duration;
}

/** Messages a second, and the processor time of the node for each. */
type Rate = { perSecond: number; processorMs: number };

async function throughput(node: SealpostNode, { pid }: Program, sink: Tally, name: string): Promise<Rate> {
  await using load = new Load(name, { port: node.port, sessions: Number(values.sessions), to: 'a@healthy.test' });
  load.start();
  await delay(2000);
  const [at, before, used] = [performance.now(), sink.messages, await processorSeconds(pid)];
  await delay(seconds * 1000);
  const count = sink.messages - before;
  const rate = {
    perSecond: (count * 1000) / (performance.now() - at),
    processorMs: (((await processorSeconds(pid)) - used) * 1000) / count,
  };
  await load.stop();
  await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), { timeout: 60_000, what: 'the rest' });
  return rate;
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** The median, with the least and the most beside it. */
function spread(numbers: readonly number[], digits: number): string {
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)].map((n) => n.toFixed(digits));
  return `${median(numbers).toFixed(digits)} (${least} to ${most})`;
}

/** What a message of the long queue adds, in bytes. */
function sayMemory(when: string, long: Memory, short: Memory): void {
  const each = (a: number, b: number): string => ((a - b) / messages).toFixed(0);
  say(`${when}, long queue:  ${describeMemory(long)}`);
  say(`${when}, empty queue: ${describeMemory(short)}`);
  say(
    `${when}, bytes a message: resident ${each(long.resident, short.resident)}, of the process itself ` +
      `${each(long.anonymous, short.anonymous)}, heap ${each(long.heapUsed, short.heapUsed)}`,
  );
}

await using sink = await Tally.start();
const config = `routes: [{ to: healthy.test, via: "smtp://127.0.0.1:${sink.port}" }]\n`;
await using reports = await tempDir('reports');
const environment = reportsInto(reports.path);
await using empty = await SealpostNode.create({ config, environment });
await using full = await SealpostNode.create({ config, environment });

const due = new Set([0, Math.floor(messages / 2), messages - 1]);
const filling = performance.now();
await fill({
  folder: join(full.folder, 'data'),
  messages,
  destinations: Number(values.destinations),
  size: Number(values.size),
  dueIn: (n) => (due.has(n) ? -1000 : 2 * 3600_000 + ((n * 7919) % 7_200_000)),
  to: (n) => (due.has(n) ? `due${n}@healthy.test` : undefined),
});
say(
  `${messages} messages to ${values.destinations} destinations written in ${((performance.now() - filling) / 1000).toFixed(0)} s`,
);

const emptyProgram = await empty.start();
const began = performance.now();
const since = (): string => `${((performance.now() - began) / 1000).toFixed(1)} s`;
const program = full.launch();
const first = waitFor(() => sink.messages > 0, { timeout: 600_000, what: 'the first delivery' }).then(() => since());
const all = waitFor(() => sink.messages >= due.size, { timeout: 600_000, what: 'what is due' }).then(() => since());
let peak = 0;
const watch = setInterval(async () => {
  peak = Math.max(peak, (await residentOf(program.pid)).resident);
}, 100);
await using one = new Load('new', { port: full.port, sessions: 1, rate: 2, to: 'new@healthy.test' });
one.start();
const fresh = await waitFor(() => [...sink.arrivals.keys()].some((id) => id.startsWith('new-')), {
  timeout: 600_000,
  what: 'a new message',
}).then(() => since());
await one.stop();
say(`from the start to the first delivery ${await first}, of a new message ${fresh}, of all that was due ${await all}`);
await program.waitForOutput(/"queue read"/, 600_000);
say(`queue read after ${since()}: ${/.*"queue read".*/.exec(program.output)?.[0]}`);

const atRest = async (): Promise<boolean> => (await shareWithin(program, 2)) < 0.05;
await waitFor(atRest, { timeout: 600_000, what: 'rest: what is in no block of the search index is read first' });
say(`at rest after ${since()}`);
const idle = [await shareWithin(program, 10), await shareWithin(emptyProgram, 10)].map(
  (share) => `${(share * 100).toFixed(1)} %`,
);
say(`processor while nothing is due: ${idle[0]} of a core, with an empty queue ${idle[1]}`);
clearInterval(watch);
sayMemory('at rest', await memoryOf(program.pid, reports.path), await memoryOf(emptyProgram.pid, reports.path));
say(`resident at most until then: ${(peak / 2 ** 20).toFixed(0)} MiB`);

const rates: Record<'long' | 'short', Rate[]> = { long: [], short: [] };
for (let round = 0; round <= Number(values.rounds); round++) {
  const turns = round % 2 === 0 ? (['short', 'long'] as const) : (['long', 'short'] as const);
  for (const turn of turns) {
    const [node, running] = turn === 'long' ? [full, program] : [empty, emptyProgram];
    const rate = await throughput(node, running, sink, `${turn}${round}`);
    if (round > 0) rates[turn].push(rate);
  }
}
for (const [name, of] of [
  ['long', rates.long],
  ['empty', rates.short],
] as const) {
  const perSecond = of.map((rate) => rate.perSecond);
  const processor = of.map((rate) => rate.processorMs);
  say(`${name} queue: ${spread(perSecond, 0)} messages a second, ${spread(processor, 2)} ms of processor for each`);
}
const ratios = (key: keyof Rate): number[] => rates.long.map((rate, n) => rate[key] / (rates.short[n]?.[key] ?? 0));
say(
  `long queue against empty queue: throughput ${spread(ratios('perSecond'), 2)}, processor ${spread(ratios('processorMs'), 2)}`,
);
// Both have the garbage of work now, and the room that V8 keeps for it.
sayMemory('after that work', await memoryOf(program.pid, reports.path), await memoryOf(emptyProgram.pid, reports.path));
