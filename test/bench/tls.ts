import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';

/**
 * What TLS costs: messages a second through a node, from a load to a sink, in clear text on both sides and in TLS on both
 * sides, in turns.
 *
 *   node test/bench/tls.ts [--seconds 10] [--turns 2] [--sessions 20] [--per-session 10] [--size 10240]
 *
 * `--per-session`: messages until a client ends its session and opens another one, with a handshake of its own. Load and sink
 * share this process, and make their half of the handshakes; the processor time is that of the node alone.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    turns: { type: 'string', default: '2' },
    sessions: { type: 'string', default: '20' },
    'per-session': { type: 'string', default: '10' },
    size: { type: 'string', default: '10240' },
  },
});
const [seconds, turns, sessions, perSession, size] = [
  values.seconds,
  values.turns,
  values.sessions,
  values['per-session'],
  values.size,
].map(Number) as [number, number, number, number, number];

/** A tick of /proc is a hundredth of a second. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

type Figures = { perSecond: number; processorUs: number };

async function run(tls: boolean): Promise<Figures> {
  const certificate = await (await createAuthority()).issue();
  await using sink = await Tally.start(0, '127.0.0.1', tls ? certificate : undefined);
  const config = ['tls: { certificate: ./c.pem, key: ./k.pem }', 'limits: { sessions-per-client: 1000 }'].join('\n');
  await using node = await SealpostNode.create({
    config: `${config}\nlisteners: [{ name: mx, kind: relay, address: 127.0.0.1, port: 0, tls: starttls }]
routes: [{ to: "*", via: "smtp://127.0.0.1:${sink.port}", tls: ${tls ? 'required' : 'off'} }]`,
  });
  await writeFile(join(node.folder, 'c.pem'), certificate.certificate);
  await writeFile(join(node.folder, 'k.pem'), certificate.key);
  const program = await node.start();
  const { listeners } = JSON.parse(await node.sealpost('status', '--json')) as { listeners: { port: number }[] };
  const port = listeners[0]?.port ?? 0;
  const load = new Load('tls', { port, sessions, perSession, sizes: [size], tls });
  load.start();
  // Connections and compiled code first.
  await delay(3000);
  const before = { messages: sink.messages, processor: processorMs(program.pid), at: performance.now() };
  await delay(seconds * 1000);
  const took = (performance.now() - before.at) / 1000;
  const messages = sink.messages - before.messages;
  const processor = processorMs(program.pid) - before.processor;
  await load.stop();
  if (messages === 0 || load.refused.size > 0)
    throw new Error(`${messages} messages arrived; refused: ${JSON.stringify([...load.refused])}`);
  return { perSecond: messages / took, processorUs: (processor * 1000) / messages };
}

const all: Record<'clear' | 'tls', Figures[]> = { clear: [], tls: [] };
for (let turn = 0; turn < turns; turn++) {
  for (const kind of ['clear', 'tls'] as const) {
    const figures = await run(kind === 'tls');
    all[kind].push(figures);
    console.log(
      `${kind.padEnd(5)} ${Math.round(figures.perSecond)} messages a second, ${Math.round(figures.processorUs)} µs of processor each`,
    );
  }
}
const mean = (kind: 'clear' | 'tls', what: keyof Figures): number =>
  all[kind].reduce((sum, figures) => sum + figures[what], 0) / all[kind].length;
const throughput = mean('tls', 'perSecond') / mean('clear', 'perSecond');
const processor = mean('clear', 'processorUs') / mean('tls', 'processorUs');
console.log(
  `in TLS ${Math.round(throughput * 100)} % of the throughput in clear text; by processor time ${Math.round(processor * 100)} %`,
);
