import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'nats';
import { client } from '#cluster/actor.ts';
import { encodeRequest } from '#cluster/bus/frame.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { operationSubject } from '#cluster/bus/subjects.ts';
import { silentLogger } from '#shared/log.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { Program } from '#test/kit/program.ts';
import { TestService, testContract } from '#test/suites/bus.ts';

/**
 * How many calls a second get answered while another process floods the same service, as fast as it can, with rubbish,
 * with requests, and with requests that name another inbox each (caller, server, service and flood in a process of its
 * own): `node test/bench/flood.ts`.
 */
const SECONDS = 4;
const [, , what, url = ''] = process.argv;
if (what === 'serve') {
  const bus = await NatsBus.connect({ servers: [url], node: 'home', log: silentLogger });
  new TestService().serve(bus);
  await bus.flush();
  process.stdout.write(`serving as ${bus.process}, connection ${bus.connection}\n`);
} else if (what === 'rubbish' || what === 'requests' || what === 'random') {
  const connection = await connect({ servers: url });
  const inbox = '_INBOX.attack';
  connection.subscribe(`${inbox}.*`, { callback: () => undefined });
  const address = { service: testContract.name, version: testContract.version, operation: 'echo' };
  const fields = { text: 'a few words', count: 1, list: [{ key: 'x' }] };
  const frame = what === 'rubbish' ? Buffer.from('rubbish') : encodeRequest({ fields, timeout: 1000 });
  process.stdout.write('flooding\n');
  let n = 0;
  for (;;) {
    for (let i = 0; i < 500; i++)
      connection.publish(operationSubject(address), frame, {
        reply: what === 'random' ? `_INBOX.x${n}.${n++}` : `${inbox}.${n++}`,
      });
    await connection.flush();
    await delay(0);
  }
} else {
  await using server = await startNatsServer();
  await using serving = new Program(process.execPath, [import.meta.filename, 'serve', server.url]);
  const [, name = '', connection] = await serving.waitForOutput(/serving as (\S+), connection (\d+)/);
  const calling = await NatsBus.connect({ servers: [server.url], node: 'door', log: silentLogger });
  const services = [testContract.name];
  const announced = { node: 'home', process: name, connection: Number(connection), services, serving: true };
  calling.heard(announced);
  setInterval(() => calling.heard(announced), 1000).unref();
  const call = client(calling, testContract);
  const rate = async (): Promise<string> => {
    const end = performance.now() + SECONDS * 1000;
    let ok = 0;
    let failed = 0;
    let worst = 0;
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        while (performance.now() < end) {
          const start = performance.now();
          try {
            await call.echo({ text: 'a few words', count: 1, list: [{ key: 'x' }] }, { bytes: new Uint8Array(1024) });
            ok++;
          } catch {
            failed++;
          }
          worst = Math.max(worst, performance.now() - start);
        }
      }),
    );
    return `${Math.round(ok / SECONDS)}/s, ${failed} failed, longest ${worst.toFixed(0)} ms`;
  };
  await rate();
  process.stdout.write(`alone: ${await rate()}\n`);
  for (const flood of ['rubbish', 'requests', 'random']) {
    await using attacker = new Program(process.execPath, [import.meta.filename, flood, server.url]);
    await attacker.waitForOutput(/flooding/);
    process.stdout.write(`${flood}: ${await rate()}\n`);
  }
  await calling.drain();
}
