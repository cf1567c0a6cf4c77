import { client } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { silentLogger } from '#shared/log.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { Program } from '#test/kit/program.ts';
import { TestService, testContract } from '#test/suites/bus.ts';

/**
 * How many calls a second a contract's client gets answered, through the in-process bus and through NATS (caller,
 * server and service each in a process of its own): `node test/bench/bus.ts`.
 */
const SECONDS = 2;

async function rate(bus: Bus, outstanding: number, bytes: Uint8Array): Promise<number> {
  const call = client(bus, testContract);
  const request = { text: 'a few words', count: 1, list: [{ key: 'x' }] };
  const end = performance.now() + SECONDS * 1000;
  let count = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < end) {
      await call.echo(request, { bytes });
      count++;
    }
  };
  await Promise.all(Array.from({ length: outstanding }, worker));
  return Math.round(count / SECONDS);
}

async function report(name: string, bus: Bus): Promise<void> {
  for (const size of [0, 10_240, 65_536]) {
    const bytes = new Uint8Array(size);
    await rate(bus, 20, bytes);
    for (const outstanding of [1, 20, 100]) {
      const perSecond = await rate(bus, outstanding, bytes);
      process.stdout.write(`${name}, ${size} bytes, ${outstanding} outstanding: ${perSecond} calls/s\n`);
    }
  }
}

if (process.argv[2] === 'serve') {
  const bus = await NatsBus.connect({ servers: [process.argv[3] ?? ''], node: 'home', log: silentLogger });
  new TestService().serve(bus);
  await bus.flush();
  process.stdout.write('serving\n');
} else {
  const local = new LocalBus('home');
  new TestService().serve(local);
  await report('LocalBus', local);

  await using server = await startNatsServer();
  await using serving = new Program(process.execPath, [import.meta.filename, 'serve', server.url]);
  await serving.waitForOutput(/serving/);
  const calling = await NatsBus.connect({ servers: [server.url], node: 'home', log: silentLogger });
  await report('NatsBus', calling);
  await calling.drain();
}
