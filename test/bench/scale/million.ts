import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';
import { fill } from './fill.ts';

/**
 * A node with a very long queue beside one with none: memory, the first deliveries after a start, processor while nothing
 * is due, and throughput to a destination that takes everything, in turns.
 *
 *   node test/bench/scale/million.ts [--messages 1000000] [--destinations 50000] [--size 1024] [--seconds 10] [--rounds 3]
 *
 * All mail is deferred for hours, to domains that nobody asks for, but three messages: the first, the middle and the last
 * of the queue are due.
 */

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    destinations: { type: 'string', default: '50000' },
    size: { type: 'string', default: '1024' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    sessions: { type: 'string', default: '20' },
  },
});
const messages = Number(values.messages);
const seconds = Number(values.seconds);
const TICKS_PER_SECOND = 100;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function residentMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kb) / 1024;
}

/** Memory of the process itself, without the pages of files that it maps. */
function anonymousMb(pid: number): number {
  const kb = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kb) / 1024;
}

/** Seconds of the processor that a process has used. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function idleShare(pid: number): Promise<number> {
  const before = processorSeconds(pid);
  await delay(10_000);
  return (processorSeconds(pid) - before) / 10;
}

async function throughput(node: SealpostNode, sink: Tally, name: string): Promise<number> {
  await using load = new Load(name, { port: node.port, sessions: Number(values.sessions), to: 'a@healthy.test' });
  load.start();
  await delay(2000);
  const [at, before] = [performance.now(), sink.messages];
  await delay(seconds * 1000);
  const rate = ((sink.messages - before) * 1000) / (performance.now() - at);
  await load.stop();
  await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), { timeout: 60_000, what: 'the rest' });
  return rate;
}

await using sink = await Tally.start();
const config = `routes: [{ to: healthy.test, via: "smtp://127.0.0.1:${sink.port}" }]\n`;
await using empty = await SealpostNode.create({ config });
await using full = await SealpostNode.create({ config });

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
const watch = setInterval(() => {
  peak = Math.max(peak, residentMb(program.pid));
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

await delay(5000);
say(
  `processor while nothing is due: ${((await idleShare(program.pid)) * 100).toFixed(1)} % of a core, with an empty queue ${((await idleShare(emptyProgram.pid)) * 100).toFixed(1)} %`,
);
clearInterval(watch);
const above = residentMb(program.pid) - residentMb(emptyProgram.pid);
const own = anonymousMb(program.pid) - anonymousMb(emptyProgram.pid);
say(
  `resident: ${residentMb(program.pid).toFixed(0)} MB (${peak.toFixed(0)} MB at most), with an empty queue ` +
    `${residentMb(emptyProgram.pid).toFixed(0)} MB: ${((above * 2 ** 20) / messages).toFixed(0)} bytes a message, ` +
    `${((own * 2 ** 20) / messages).toFixed(0)} without mapped files`,
);

const rates: { empty: number; full: number }[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  rates.push({
    empty: await throughput(empty, sink, `empty${round}`),
    full: await throughput(full, sink, `full${round}`),
  });
}
for (const { empty: a, full: b } of rates) say(`messages a second: empty ${a.toFixed(0)}, long ${b.toFixed(0)}`);
const sum = rates.reduce((s, r) => ({ empty: s.empty + r.empty, full: s.full + r.full }), { empty: 0, full: 0 });
say(`long queue against empty queue: ${(sum.full / sum.empty).toFixed(2)}`);
// Both have the garbage of work now, and the room that V8 keeps for it.
const [long, short] = [residentMb(program.pid), residentMb(emptyProgram.pid)];
say(
  `resident after that work: ${long.toFixed(0)} MB, with an empty queue ${short.toFixed(0)} MB: ` +
    `${(((long - short) * 2 ** 20) / messages).toFixed(0)} bytes a message`,
);
