import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';
import { fill } from './fill.ts';
import { describe, Single } from './single.ts';

/**
 * How long single messages take through a node, from the end of the message to its arrival, in turns with a node that has
 * nothing else to do:
 *
 *   dead   beside mail for many destinations of which one half refuses connections and the other half never says a word
 *   bulk   beside mail of another sender for the same destination
 *
 *   node test/bench/scale/delay.ts [--destinations 1000] [--each 30] [--bulk 100000] [--seconds 20] [--settle 60]
 */

const { values } = parseArgs({
  options: {
    destinations: { type: 'string', default: '1000' },
    each: { type: 'string', default: '30' },
    bulk: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: '20' },
    settle: { type: 'string', default: '60' },
  },
});
const destinations = Number(values.destinations);
/** The bound of what is said of single messages, and more. */
const SLOW_MS = 500;

/** Send through both nodes in turns, and say how long it took. */
async function compare(what: string, busy: SealpostNode, idle: SealpostNode, sink: Tally): Promise<void> {
  await using one = await Single.open(busy.port, sink);
  await using other = await Single.open(idle.port, sink);
  const times = { busy: [] as number[], idle: [] as number[] };
  const began = performance.now();
  const slow: string[] = [];
  while (performance.now() < began + Number(values.seconds) * 1000) {
    const at = ((performance.now() - began) / 1000).toFixed(1);
    const took = await one.send();
    times.busy.push(took);
    if (took > SLOW_MS) slow.push(`${took.toFixed(0)} ms after ${at} s`);
    times.idle.push(await other.send());
    await delay(50);
  }
  process.stdout.write(`${what}: ${describe(times.busy)}\n  beside it, an idle node: ${describe(times.idle)}\n`);
  if (slow.length > 0) process.stdout.write(`  slow ones: ${slow.join(', ')}\n`);
}

await using sink = await Tally.start();
const silent = createServer(() => undefined);
silent.listen(0, '0.0.0.0');
await once(silent, 'listening');
const { port } = silent.address() as AddressInfo;
const address = (n: number): string => `127.${n % 2 === 0 ? 1 : 2}.${n >> 8}.${n & 255}`;
const hopOf = (n: number): string => `smtp://${address(n)}:${n % 2 === 0 ? port : 1}`;
const dead = Array.from({ length: destinations }, (_, n) => `  - { to: d${n}.dead.test, via: "${hopOf(n)}" }`);
const config = `routes:\n  - { to: healthy.test, via: "smtp://127.0.0.1:${sink.port}" }\n${dead.join('\n')}\n`;
await using idle = await SealpostNode.create({ config });
await idle.start();
{
  await using node = await SealpostNode.create({ config });
  const messages = destinations * Number(values.each);
  const hop = (n: number): string => hopOf(n % destinations);
  await fill({ folder: join(node.folder, 'data'), messages, destinations, size: 1024, dueIn: () => -1000, hop });
  await node.start();
  await compare(`${destinations} dead destinations, ${messages} messages for them, all just due`, node, idle, sink);
  await delay(Number(values.settle) * 1000);
  await compare(`the same ${values.settle} s later`, node, idle, sink);
}
{
  await using node = await SealpostNode.create({ config });
  const messages = Number(values.bulk);
  const [to, from] = [() => 'x@healthy.test', () => 'bulk@many.test'];
  const hop = (): string => `smtp://127.0.0.1:${sink.port}`;
  await fill({
    folder: join(node.folder, 'data'),
    messages,
    destinations,
    size: 1024,
    dueIn: () => -1000,
    to,
    hop,
    from,
  });
  const before = sink.messages;
  await node.start();
  await waitFor(() => sink.messages > before + 100, { timeout: 60_000, what: 'mail in bulk' });
  await compare(`another sender's ${messages} messages to the same destination`, node, idle, sink);
  process.stdout.write(`  ${sink.messages - before} messages were delivered meanwhile\n`);
}
silent.close();
process.exit(0);
