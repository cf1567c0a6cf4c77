import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Overview, OverviewReply } from '#services/console/schemas/overview.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import type { ConsoleClient } from '#test/kit/console/client.ts';
import { ConsoleSite } from '#test/kit/console/site.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';

/** The overview: mail as it happens on every node, and a node that dies. */

async function send(port: number): Promise<void> {
  await using dialog = await Dialog.connect(port);
  await dialog.read();
  for (const line of ['EHLO client.test', 'MAIL FROM:<a@example.com>', 'RCPT TO:<b@example.net>', 'DATA']) {
    await dialog.command(line);
  }
  assert.equal((await dialog.command('From: <a@example.com>\r\nSubject: x\r\n\r\nHello\r\n.')).code, 250);
  await dialog.command('QUIT');
}

/** The first event that fits, and how long that took in ms. */
async function until(
  client: ConsoleClient,
  fits: (now: Overview) => boolean,
): Promise<{ now: Overview; took: number }> {
  const begun = performance.now();
  const stop = AbortSignal.timeout(60_000);
  for await (const { event, data } of client.events('overview', stop)) {
    assert.equal(event, 'overview');
    const now = data as Overview;
    if (fits(now)) return { now, took: performance.now() - begun };
  }
  throw new Error('the stream ended');
}

describe('the overview', needs('nats-server'), () => {
  test('has the mail of every node, and shows within five seconds that one was killed', {
    timeout: 120_000,
  }, async () => {
    await using nats = await startNatsServer();
    await using sink = await SmtpSink.start();
    const nek = generateNek('test');
    const bus = `bus: { servers: ["${nats.url}"] }\n`;
    const common = { nek, sink: sink.port };
    await using site = await ConsoleSite.start({ ...common, name: 'edge-1', config: bus });
    await using other = await SealpostNode.create({ ...common, name: 'edge-2', config: bus });
    await other.start();
    using viewer = site.program('watcher');

    const both = (now: Overview): boolean => now.nodes.length === 2 && now.nodes.every(({ state }) => state === 'up');
    const { now } = await until(viewer, (one) => both(one) && one.examined !== undefined);
    assert.equal(now.node, 'edge-1');
    assert.deepEqual(
      now.nodes.map(({ name }) => name),
      ['edge-1', 'edge-2'],
    );
    assert.deepEqual(now.nodes[0]?.processes[0]?.services.includes('console'), true);
    assert.equal(
      now.alarms.some(({ check }) => check === 'gone'),
      false,
    );

    const flowing = until(viewer, ({ nodes }) => nodes.every(({ flow }) => (flow?.rates.accepted ?? 0) > 0));
    const sending = { on: true };
    const load = (async () => {
      while (sending.on) await Promise.all([send(site.node.port), send(other.port)]);
    })();
    const { total } = (await flowing).now;
    assert.ok((total?.rates.accepted ?? 0) > 0);
    sending.on = false;
    await load;
    const { history } = (await viewer.get('/api/overview')).json as OverviewReply;
    assert.ok(history.at.length > 1 && history.accepted.some((rate) => (rate ?? 0) > 0));
    assert.ok(Object.values(history).every((column) => column.length === history.at.length));

    // One that hangs keeps its connections, and the others are seen all the while.
    const hanging = until(viewer, ({ nodes }) => nodes[1]?.state === 'silent');
    await other.programs.get('all')?.pause();
    assert.ok((await hanging).took < 6000);
    const times: number[] = [];
    await until(viewer, ({ at }) => times.push(at) > 4);
    assert.ok(
      times.every((at, i) => i === 0 || at - (times[i - 1] ?? at) < 3000),
      times.join(),
    );
    const well = until(viewer, both);
    other.programs.get('all')?.resume();
    await well;

    const isDown = ({ nodes, alarms }: Overview): boolean =>
      nodes[1]?.state !== 'up' && alarms.some(({ check, about }) => check === 'gone' && about === 'node edge-2');
    const killed = until(viewer, isDown);
    await other.programs.get('all')?.kill();
    const { now: after, took } = await killed;
    assert.ok(took < 5000, `it took ${took} ms`);
    assert.match(after.nodes[1]?.state ?? '', /silent|gone/);
    const alarm = after.alarms.find(({ about }) => about === 'node edge-2');
    assert.match(alarm?.text ?? '', /nothing was heard of its/);
    assert.match(alarm?.help ?? '', /start it/);

    const back = until(viewer, both);
    await other.start();
    await back;

    // Without NATS the console still answers, and says that it knows nothing of the others.
    const cut = until(viewer, ({ away, nodes }) => away !== undefined && nodes[1]?.state === 'unknown');
    await nats.kill();
    const { now: alone } = await cut;
    assert.equal(alone.nodes[0]?.state, 'up');
    assert.match(alone.alarms[0]?.text ?? '', /has not reached NATS/);
  });
});
