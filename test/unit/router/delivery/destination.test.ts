import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Backoff } from '#services/router/delivery/backoff/backoff.ts';
import {
  allRecipients,
  type Channel,
  StaleChannel,
  type Transport,
  Unreachable,
} from '#services/router/delivery/channel.ts';
import { Destination } from '#services/router/delivery/destination.ts';
import { Fifo } from '#services/router/delivery/fair-queue.ts';
import type { Job, NextHop } from '#services/router/delivery/job.ts';
import { silentLogger } from '#shared/log.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { mockClocks } from '#test/kit/clocks.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { waitFor } from '#test/kit/wait.ts';
import { brief, type TestJob, testJob, testSettings } from './fixtures.ts';

const HOP: NextHop = { key: 'hop', spec: { kind: 'discard' }, tls: 'off' };
const DOWN = new Unreachable('deferred', reply(451, '4.4.1', 'down'));
const OK: Reply = reply(250, '2.0.0', 'ok');

/** A transport whose connects and sends end when the test says so. */
class Stage implements Transport {
  readonly connects: { allow: () => Channel; refuse: (reason: unknown) => void }[] = [];
  readonly sends: { job: Job; end: (reply?: Reply) => void; fail: (error: unknown) => void }[] = [];
  closed = 0;

  connect(signal: AbortSignal): Promise<Channel> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(DOWN));
      this.connects.push({
        allow: () => {
          const channel = this.#channel();
          resolve(channel);
          return channel;
        },
        refuse: reject,
      });
    });
  }

  #channel(): Channel {
    return {
      usable: true,
      broken: undefined,
      send: (job) =>
        new Promise((resolve, fail) => {
          const end = (said = OK): void =>
            resolve(allRecipients(job, { state: said.code < 300 ? 'delivered' : 'deferred', reply: said }));
          this.sends.push({ job, end, fail });
        }),
      close: () => {
        this.closed++;
      },
      destroy: () => {
        for (const { end } of this.sends) end(reply(451, '4.3.2', 'destroyed'));
      },
    };
  }
}

function stage(delivery: object = {}, log = silentLogger) {
  const transport = new Stage();
  const settings = testSettings({ delivery });
  return { transport, destination: new Destination(HOP, transport, { settings, log }) };
}

function submit(destination: Destination, count: number): TestJob[] {
  const jobs = Array.from({ length: count }, () => testJob());
  for (const job of jobs) destination.submit(job);
  return jobs;
}

test('a job that an operator asked for is tried although the destination is left alone', async () => {
  const { transport, destination } = stage();
  const [first] = submit(destination, 1);
  transport.connects[0]?.refuse(DOWN);
  assert.deepEqual(brief((await first?.done) ?? []), ['deferred 451 4.4.1']);
  const urgent = testJob({ urgent: true });
  destination.submit(urgent);
  assert.equal(transport.connects.length, 2);
  transport.connects[1]?.allow();
  await setImmediate();
  transport.sends[0]?.end();
  assert.deepEqual(brief(await urgent.done), ['delivered 250 2.0.0']);
});

test('the first job opens the first connection; more come as the first ones answer, up to the limit', async () => {
  const { transport, destination } = stage({ connections: 5 });
  submit(destination, 100);
  const seen: number[] = [];
  for (let answered = 0; answered < 5; answered++) {
    await setImmediate();
    seen.push(transport.connects.length);
    transport.connects[answered]?.allow();
  }
  await setImmediate();
  assert.deepEqual([...seen, transport.connects.length], [1, 3, 5, 5, 5, 5]);
  assert.equal(transport.sends.length, 5);
});

test('fewer connections than before: those that are too many end after their job, and no new one is made', async () => {
  const transport = new Stage();
  let most = 3;
  const deps = { settings: testSettings({ delivery: { connections: 5 } }), log: silentLogger, most: () => most };
  const destination = new Destination(HOP, transport, deps);
  submit(destination, 20);
  for (let answered = 0; answered < 5; answered++) {
    transport.connects[answered]?.allow();
    await setImmediate();
  }
  assert.equal(transport.connects.length, 3);
  assert.equal(transport.sends.length, 3);
  most = 1;
  for (const { end } of transport.sends.splice(0)) end();
  await waitFor(() => transport.closed === 2, { what: 'two of three to leave' });
  assert.equal(transport.sends.length, 1);
  transport.sends[0]?.end();
  await waitFor(() => transport.sends.length === 2, { what: 'the last one to go on' });
  assert.equal(transport.connects.length, 3);
});

test('jobs go in their order, and a worker takes the next one only when the last is recorded', async () => {
  const { transport, destination } = stage({ connections: 1 });
  const recorded = Promise.withResolvers<void>();
  const first = testJob({ finish: () => recorded.promise });
  const second = testJob();
  destination.submit(first);
  destination.submit(second);
  transport.connects[0]?.allow();
  await setImmediate();
  transport.sends[0]?.end();
  await setImmediate();
  assert.equal(second.opened, 0);
  recorded.resolve();
  await first.done;
  await setImmediate();
  assert.equal(second.opened, 1);
  assert.equal(transport.sends[1]?.job, second);
  assert.equal(transport.connects.length, 1);
});

test('an idle worker takes the next job, and leaves after the idle time', async () => {
  const { transport, destination } = stage({ idle: '30ms' });
  const [first] = submit(destination, 1);
  transport.connects[0]?.allow();
  await setImmediate();
  transport.sends[0]?.end();
  await first?.done;
  await setImmediate();
  assert.equal(destination.forgettable, false);
  submit(destination, 1);
  await setImmediate();
  assert.equal(transport.connects.length, 1);
  transport.sends[1]?.end();
  await waitFor(() => destination.forgettable, { what: 'the worker to leave' });
  assert.equal(transport.closed, 1);
});

test('a job that may not be sent leaves the channel alone', async () => {
  const { transport, destination } = stage();
  const held = testJob({
    open: async () => ({ ok: false, state: 'deferred', reply: reply(451, '4.7.0', 'no key'), local: true }),
  });
  const broken = testJob({
    open: async () => {
      throw new Error('bug');
    },
  });
  destination.submit(held);
  destination.submit(broken);
  const [good] = submit(destination, 1);
  transport.connects[0]?.allow();
  await setImmediate();
  assert.deepEqual(brief(await held.done), ['deferred 451 4.7.0 local']);
  for (const connect of transport.connects) connect.allow();
  assert.deepEqual(brief(await broken.done), ['deferred 451 4.3.0 local']);
  await setImmediate();
  transport.sends[0]?.end();
  assert.deepEqual(brief((await good?.done) ?? []), ['delivered 250 2.0.0']);
});

test('a finish that fails is logged and does not stop the worker', async () => {
  const { log, lines } = logLines();
  const { transport, destination } = stage({ connections: 1 }, log);
  destination.submit(
    testJob({
      finish: async () => {
        throw new Error('disk gone');
      },
    }),
  );
  const [next] = submit(destination, 1);
  transport.connects[0]?.allow();
  await setImmediate();
  transport.sends[0]?.end();
  await setImmediate();
  transport.sends[1]?.end();
  await next?.done;
  assert.ok(lines().some(({ level, error }) => level === 'error' && error === 'disk gone'));
});

test('a destination that cannot be reached defers what waits and what comes, then tries one job', async (t) => {
  const clocks = mockClocks(t);
  const { transport, destination } = stage();
  const waiting = submit(destination, 3);
  transport.connects[0]?.refuse(DOWN);
  for (const job of waiting) assert.deepEqual(brief(await job.done), ['deferred 451 4.4.1']);
  const [refused] = submit(destination, 1);
  assert.deepEqual(brief((await refused?.done) ?? []), ['deferred 451 4.4.1']);
  assert.equal(transport.connects.length, 1);
  assert.equal(destination.forgettable, false, 'the back-off is remembered');
  clocks.tick(1300);
  const probes = submit(destination, 4);
  await setImmediate();
  assert.equal(transport.connects.length, 2, 'one probe for four jobs');
  transport.connects[1]?.refuse(DOWN);
  for (const job of probes) assert.deepEqual(brief(await job.done), ['deferred 451 4.4.1']);
  clocks.tick(1300);
  const [early] = submit(destination, 1);
  assert.deepEqual(brief((await early?.done) ?? []), ['deferred 451 4.4.1'], 'the second pause is longer');
  clocks.tick(1300);
  const [found] = submit(destination, 1);
  await setImmediate();
  transport.connects[2]?.allow();
  await setImmediate();
  transport.sends[0]?.end();
  assert.deepEqual(brief((await found?.done) ?? []), ['delivered 250 2.0.0']);
  clocks.tick(400_000);
});

test('a wall clock that steps back does not prolong the pause of a destination', async (t) => {
  const clocks = mockClocks(t);
  const { transport, destination } = stage();
  const [refused] = submit(destination, 1);
  transport.connects[0]?.refuse(DOWN);
  await refused?.done;
  clocks.step(-3_600_000);
  clocks.tick(1300);
  const [found] = submit(destination, 1);
  await setImmediate();
  assert.equal(transport.connects.length, 2);
  transport.connects[1]?.allow();
  await setImmediate();
  transport.sends[0]?.end();
  assert.deepEqual(brief((await found?.done) ?? []), ['delivered 250 2.0.0']);
});

test('a destination that takes no mail fails what waits, and is asked again for the next job', async () => {
  const { transport, destination } = stage();
  const jobs = submit(destination, 2);
  transport.connects[0]?.refuse(new Unreachable('failed', reply(550, '5.1.2', 'no such domain')));
  for (const job of jobs) assert.deepEqual(brief(await job.done), ['failed 550 5.1.2']);
  await setImmediate();
  submit(destination, 1);
  assert.equal(transport.connects.length, 2);
});

test('a connection refused beside working ones costs no job its turn', async () => {
  const { transport, destination } = stage({ connections: 3 });
  const jobs = submit(destination, 6);
  transport.connects[0]?.allow();
  await setImmediate();
  assert.equal(transport.connects.length, 3);
  transport.connects[1]?.refuse(DOWN);
  transport.connects[2]?.refuse(DOWN);
  await setImmediate();
  assert.equal(transport.connects.length, 3, 'no new attempt at once');
  for (let i = 0; i < 6; i++) {
    transport.sends[i]?.end();
    await jobs[i]?.done;
    await setImmediate();
  }
  for (const job of jobs) assert.deepEqual(brief(await job.done), ['delivered 250 2.0.0']);
});

test('a stale channel is replaced once, and the job is not opened again', async () => {
  const { transport, destination } = stage();
  const [job] = submit(destination, 1);
  transport.connects[0]?.allow();
  await setImmediate();
  transport.sends[0]?.fail(new StaleChannel({ cause: undefined }));
  await setImmediate();
  transport.connects[1]?.allow();
  await setImmediate();
  transport.sends[1]?.end();
  assert.deepEqual(brief((await job?.done) ?? []), ['delivered 250 2.0.0']);
  assert.equal(job?.opened, 1);
});

test('a stale channel that cannot be replaced defers the job', async () => {
  const { transport, destination } = stage();
  const [job] = submit(destination, 1);
  transport.connects[0]?.allow();
  await setImmediate();
  transport.sends[0]?.fail(new StaleChannel({ cause: undefined }));
  await setImmediate();
  transport.connects[1]?.refuse(DOWN);
  assert.deepEqual(brief((await job?.done) ?? []), ['deferred 451 4.4.1']);
});

test('transactions that break off three times in a row make the destination unreachable', async () => {
  const { transport, destination } = stage({ connections: 1 });
  const lost = reply(451, '4.4.2', 'lost');
  const jobs = submit(destination, 5);
  for (let i = 0; i < 3; i++) {
    const channel = transport.connects[i]?.allow();
    await setImmediate();
    Object.assign(channel ?? {}, { usable: false, broken: lost });
    transport.sends[i]?.end(lost);
    await jobs[i]?.done;
    await setImmediate();
  }
  for (const job of jobs) assert.deepEqual(brief(await job.done), ['deferred 451 4.4.2']);
  assert.equal(transport.connects.length, 3);
});

test('an unexpected error defers the job and is logged', async () => {
  const { log, lines } = logLines();
  const { transport, destination } = stage({}, log);
  const [job] = submit(destination, 1);
  transport.connects[0]?.refuse(new TypeError('bug'));
  assert.deepEqual(brief((await job?.done) ?? []), ['deferred 451 4.3.0 local']);
  assert.ok(lines().some(({ level, err }) => level === 'error' && JSON.stringify(err).includes('bug')));
});

test('a stop gives back what waits, lets the job under way end, and takes nothing more', async () => {
  const { transport, destination } = stage({ connections: 1 });
  const [busy, waiting] = submit(destination, 2);
  transport.connects[0]?.allow();
  await setImmediate();
  const stopped = destination.stop(10_000);
  assert.deepEqual(brief((await waiting?.done) ?? []), ['deferred 451 4.3.2 local']);
  const [late] = submit(destination, 1);
  assert.deepEqual(brief((await late?.done) ?? []), ['deferred 451 4.3.2 local']);
  transport.sends[0]?.end();
  assert.deepEqual(brief((await busy?.done) ?? []), ['delivered 250 2.0.0']);
  await stopped;
  assert.equal(transport.closed, 1);
});

test('a stop ends a connect and, when its time is over, a transaction', async () => {
  const one = stage();
  const [connecting] = submit(one.destination, 1);
  await one.destination.stop(10_000);
  assert.deepEqual(brief((await connecting?.done) ?? []), ['deferred 451 4.3.2 local']);
  const two = stage();
  const [sending] = submit(two.destination, 1);
  two.transport.connects[0]?.allow();
  await setImmediate();
  await two.destination.stop(20);
  assert.deepEqual(brief((await sending?.done) ?? []), ['deferred 451 4.3.2']);
});

test('the pause doubles from one second to five minutes, and starts again after a success or a long time', (t) => {
  const clocks = mockClocks(t);
  const backoff = new Backoff();
  let expected = 1000;
  for (let i = 0; i < 12; i++) {
    const pause = backoff.failed(DOWN);
    assert.ok(pause >= expected * 0.75 && pause <= expected * 1.25, `${pause} for ${expected}`);
    assert.equal(backoff.reason, DOWN);
    clocks.tick(pause);
    assert.equal(backoff.reason, undefined);
    expected = Math.min(expected * 2, 300_000);
  }
  assert.equal(backoff.succeeded(), true);
  assert.equal(backoff.succeeded(), false);
  assert.ok(backoff.failed(DOWN) <= 1250);
  backoff.failed(DOWN);
  clocks.tick(400_000);
  assert.equal(backoff.forgotten, true);
  assert.ok(backoff.failed(DOWN) <= 1250);
});

test('a queue gives in the order it took, however long', () => {
  const fifo = new Fifo<number>();
  let next = 0;
  let taken = 0;
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 100; i++) fifo.push(next++);
    for (let i = 0; i < 90; i++) assert.equal(fifo.shift(), taken++);
  }
  assert.equal(fifo.length, 500);
  for (let item = fifo.shift(); item !== undefined; item = fifo.shift()) assert.equal(item, taken++);
  assert.equal(taken, next);
  assert.equal(fifo.length, 0);
});
