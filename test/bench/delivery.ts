import { once } from 'node:events';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';
import { smtpHop, testDelivery, testJob, testSettings } from '#test/unit/router/delivery/fixtures.ts';

/**
 * How fast delivery is alone: messages a second to one SMTP sink, with a queue that records nothing.
 *
 *   node test/bench/delivery.ts --port 2600 [--messages 20000] [--size 10240] [--connections 20]
 *
 * The sink is any SMTP server that takes everything: `smtp-sink -c 127.0.0.1:2600 1000` of Postfix.
 */
const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    messages: { type: 'string', default: '20000' },
    size: { type: 'string', default: '10240' },
    connections: { type: 'string', default: '20' },
  },
});
const port = Number(values.port);
const count = Number(values.messages);
if (!Number.isInteger(port) || port < 1) throw new Error('--port of the sink is missing');
const probe = connect(port, '127.0.0.1');
await once(probe, 'connect').catch((cause: unknown) => {
  throw new Error(`nothing listens on port ${port}`, { cause });
});
probe.destroy();

const header = Buffer.from(`From: <a@sender.test>\r\nTo: <b@example.test>\r\nSubject: bench\r\n\r\n`);
const line = `${'x'.repeat(70)}\r\n`;
const body = Buffer.from(line.repeat(Math.max(1, Math.round((Number(values.size) - header.length) / line.length))));
const read = (): Buffer[] => [header, body];
const size = header.length + body.length;

await using delivery = testDelivery({
  settings: testSettings({ delivery: { connections: Number(values.connections) } }),
});
const hop = smtpHop(port, { tls: 'off' });
// Connections and compiled code first, so that the figures are those of a running node.
await delivery.run(hop, ...Array.from({ length: 2000 }, () => testJob({ message: read, size })));
const before = process.cpuUsage();
const start = performance.now();
const jobs = Array.from({ length: count }, () => testJob({ message: read, size }));
const results = await delivery.run(hop, ...jobs);
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(before);
const delivered = results.flat().filter(({ state }) => state === 'delivered').length;
if (delivered !== count) throw new Error(`only ${delivered} of ${count} were delivered`);
console.log(
  `${count} messages of ${size} bytes in ${seconds.toFixed(2)} s: ${Math.round(count / seconds)} a second, ` +
    `${Math.round((user + system) / count)} µs of processor each (${Math.round(user / count)} user, ${Math.round(system / count)} system)`,
);
