import { parseArgs } from 'node:util';
import { createLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, messageOf, TestRouter } from '#test/unit/router/fixture.ts';

/**
 * How long a start takes with a long queue: fills one, stops, starts again.
 *
 *   node test/bench/restart.ts [--messages 100000] [--size 10240]
 */
const { values } = parseArgs({
  options: { messages: { type: 'string', default: '100000' }, size: { type: 'string', default: '10240' } },
});
const messages = Number(values.messages);
await using folder = await tempDir('sealpost-bench');
const first = await TestRouter.start(folder.path);
const message = messageOf(Number(values.size));
let left = messages;
await Promise.all(
  Array.from({ length: 100 }, async () => {
    while (left-- > 0) await first.send({ envelope: envelope(['bob@peer.example']), message });
  }),
);
const stopping = performance.now();
await first.stop();
const began = performance.now();
const again = await TestRouter.start(folder.path, createLogger({ level: 'info' }));
const started = performance.now();
const found = (await again.status()).active;
process.stdout.write(
  `${messages} messages of ${values.size} bytes: stopped in ${((began - stopping) / 1000).toFixed(1)} s, ` +
    `${found} found again in ${((started - began) / 1000).toFixed(1)} s\n`,
);
const held = performance.now();
const { count } = await again.service.handlers['message-hold']({ all: true }, again.context());
process.stdout.write(`${count} held in ${((performance.now() - held) / 1000).toFixed(1)} s\n`);
await again.stop();
