import { parseArgs } from 'node:util';
import { client, serve } from '#cluster/actor.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { CHUNK_BYTES, routerContract } from '#services/router/contract.ts';
import type { Delivery, Job } from '#services/router/delivery/job.ts';
import { createRouterService } from '#services/router/service.ts';
import { createLogger } from '#shared/log.ts';
import { reply } from '#shared/mail/reply.ts';
import { tempDir } from '#test/kit/temp.ts';
import { commitFields, envelope, FakeSigner, messageOf, NO_ROUTER, ORIGIN } from '#test/unit/router/fixture.ts';

/**
 * The queue alone, in one process: mail in over the local bus, out to a delivery that reads every byte and takes it.
 *
 *   node test/bench/queue.ts [--messages 20000] [--size 10240] [--senders 20] [--connections 20] [--log info]
 *
 * Main-thread time is what counts: it is what the queue takes away from the rest of the node.
 */

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '20000' },
    size: { type: 'string', default: '10240' },
    senders: { type: 'string', default: '20' },
    connections: { type: 'string', default: '20' },
    log: { type: 'string', default: 'silent' },
    folder: { type: 'string' },
  },
});

const messages = Number(values.messages);
const size = Number(values.size);

/** Takes everything, on as many connections as it has; the next job of one begins when the last is on disk. */
class Sink implements Delivery {
  readonly #waiting: Job[] = [];
  #head = 0;
  #free: number;
  delivered = 0;
  bytes = 0;
  readonly #finished: () => void;

  constructor(connections: number, finished: () => void) {
    this.#free = connections;
    this.#finished = finished;
  }

  submit(_: unknown, job: Job): void {
    this.#waiting.push(job);
    this.#next();
  }

  pauseOf(): undefined {
    return undefined;
  }

  async stop(): Promise<void> {}

  #next(): void {
    while (this.#free > 0) {
      const job = this.#waiting[this.#head];
      if (job === undefined) return;
      this.#head++;
      this.#free--;
      void this.#deliver(job);
    }
  }

  async #deliver(job: Job): Promise<void> {
    const opened = await job.open();
    if (!opened.ok) throw new Error(opened.reply.text);
    for await (const part of opened.read()) this.bytes += part.length;
    const outcome = { at: Date.now(), host: 'mx.peer.example [192.0.2.1]', reply: reply(250, '2.0.0', 'Ok: queued') };
    await job.finish(
      job.recipients.map(({ index }) => ({ index, state: 'delivered' as const, outcome, notice: 'relayed' as const })),
    );
    this.#free++;
    if (++this.delivered === messages) this.#finished();
    this.#next();
  }
}

await using folder = await tempDir('sealpost-bench');
const settings = new Settings(ConfigSchema.parse({ node: { data: values.folder ?? folder.path } }));
const { log } = createLogger({ level: values.log });
let finished = (): void => undefined;
const done = new Promise<void>((resolve) => {
  finished = resolve;
});
const sink = new Sink(Number(values.connections), () => finished());
const signer = new FakeSigner();
const service = createRouterService(
  { settings, log, signer: signer.client, router: NO_ROUTER, jetStream: undefined, announce: () => undefined },
  () => sink,
);
await service.start();
const bus = new LocalBus('edge-1');
const actor = serve(bus, service, log);
const router = client(bus, routerContract);

const message = messageOf(size);
const fields = { ...commitFields(message), originating: true };
let left = messages;

async function sender(): Promise<void> {
  while (left-- > 0) {
    const { transfer } = await router['transfer-open']({ envelope: envelope(['bob@peer.example']), origin: ORIGIN });
    let sequence = 0;
    let at = 0;
    for (; at + CHUNK_BYTES < message.length; at += CHUNK_BYTES)
      await router['transfer-append'](
        { transfer, sequence: sequence++ },
        { bytes: message.subarray(at, at + CHUNK_BYTES) },
      );
    await router['transfer-commit']({ transfer, sequence, ...fields }, { bytes: message.subarray(at) });
  }
}

const rss = (): number => process.memoryUsage.rss() / 2 ** 20;
const before = rss();
let peak = before;
const sampling = setInterval(() => {
  peak = Math.max(peak, rss());
}, 20);
const began = performance.now();
const cpu = process.cpuUsage();
const busy = performance.eventLoopUtilization();
await Promise.all(Array.from({ length: Number(values.senders) }, sender));
const accepted = performance.now() - began;
await done;
const all = performance.now() - began;
const used = process.cpuUsage(cpu);
const loop = performance.eventLoopUtilization(busy);
const per = (ms: number): string => ((ms * 1000) / messages).toFixed(0);
process.stdout.write(
  `${messages} messages of ${size} bytes: accepted ${((messages / accepted) * 1000).toFixed(0)}/s, ` +
    `in and out ${((messages / all) * 1000).toFixed(0)}/s\n` +
    `per message: main thread ${per(loop.active)} µs, all threads ${per((used.user + used.system) / 1000)} µs; ` +
    `RSS ${before.toFixed(0)} MB before, ${peak.toFixed(0)} MB at most\n`,
);
clearInterval(sampling);
actor.close();
await service.stop();
