import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import type { Delivery, Job, NextHop, RecipientResult } from '#services/router/delivery/job.ts';
import { Pacer } from '#services/router/pacing/pacer.ts';
import { silentLogger } from '#shared/log.ts';
import { reply } from '#shared/mail/reply.ts';
import { waitFor } from '#test/kit/wait.ts';

type Rates = { to: string; messages?: string; connections?: number }[];

const config = (destinations: Rates) => ConfigSchema.parse({ listeners: [], rates: { destinations } });

/** A delivery that keeps what it gets, and when. */
class Inner implements Delivery {
  readonly jobs: { hop: NextHop; job: Job }[] = [];
  readonly times: number[] = [];
  stopped = false;

  submit(hop: NextHop, job: Job): void {
    this.times.push(performance.now());
    this.jobs.push({ hop, job });
  }

  pauseOf(): undefined {
    return undefined;
  }

  async stop(): Promise<void> {
    this.stopped = true;
  }

  /** Open and end the next one. */
  async end(open = true): Promise<void> {
    const job = this.jobs.shift()?.job;
    if (open) await job?.open();
    await job?.finish([]);
  }
}

function setUp(destinations: Rates) {
  const settings = new Settings(config(destinations));
  const pacer = new Pacer({ settings, log: silentLogger, peers: undefined });
  const inner = new Inner();
  pacer.begin(inner);
  const finished: RecipientResult[][] = [];
  const submit = (domain: string, limit: string | undefined, n = 1): void => {
    for (let i = 0; i < n; i++) {
      const job: Job = {
        queueId: `${domain}-${i}`,
        trace: 'T',
        reversePath: '',
        recipients: [{ index: 0, recipient: { address: `a@${domain}` } }],
        size: 1,
        eightBitBody: false,
        smtpUtf8: false,
        ret: undefined,
        envid: undefined,
        junk: false,
        open: async () => ({ ok: true, size: 1, read: () => [] }),
        finish: async (results) => void finished.push(results),
      };
      pacer.submit({ key: `mx:${domain}`, spec: { kind: 'mx', domain }, tls: 'opportunistic', limit }, job);
    }
  };
  return { settings, pacer, inner, finished, submit, [Symbol.asyncDispose]: () => pacer.stop() };
}

test('mail without a limit passes immediately', async () => {
  await using site = setUp([{ to: 'slow.example', messages: '1/h' }]);
  site.submit('other.example', undefined, 50);
  assert.equal(site.inner.jobs.length, 50);
});

test('a burst goes evenly: one immediately, then at the rate; what waits says for what', async () => {
  await using site = setUp([{ to: 'x.example', messages: '50/s', connections: 20 }]);
  site.submit('x.example', 'x.example', 30);
  assert.equal(site.inner.jobs.length, 1);
  assert.equal(site.pacer.waitsFor('x.example'), 'x.example: 50/s, 50/s on this node; 20 concurrent, 20 on this node');
  assert.equal(site.pacer.waitsFor('y.example'), undefined);
  const { times } = site.inner;
  await waitFor(
    async () => {
      while (site.inner.jobs.length > 0) await site.inner.end();
      return times.length === 30;
    },
    { what: 'all 30' },
  );
  const took = (times.at(-1) ?? 0) - (times[0] ?? 0);
  // 29 gaps of 20 ms; a busy machine may be late with the last one.
  assert.ok(took >= 29 * 20 - 210 && took < 10_000, `${took} ms`);
  assert.equal(site.pacer.waitsFor('x.example'), undefined);
});

test('no more concurrent jobs than connections allow, whatever the rate', async () => {
  await using site = setUp([{ to: 'x.example', connections: 3 }]);
  site.submit('x.example', 'x.example', 10);
  assert.equal(site.inner.jobs.length, 3);
  await site.inner.end();
  assert.equal(site.inner.jobs.length, 3);
  for (let i = 0; i < 9; i++) await site.inner.end();
  assert.equal(site.inner.jobs.length, 0);
  assert.equal(site.finished.length, 10);
  assert.equal(site.pacer.connections('x.example'), 3);
  assert.equal(site.pacer.connections('y.example'), undefined);
});

test('never more concurrent jobs than delivery uses for a next hop: a silent one does not break loose', async () => {
  await using site = setUp([{ to: 'x.example', messages: '100000/s' }]);
  site.submit('x.example', 'x.example', 100);
  await waitFor(() => site.inner.jobs.length === 20, { what: 'twenty' });
  site.submit('x.example', 'x.example', 1);
  assert.equal(site.inner.jobs.length, 20);
});

test('a job that was never opened costs nothing: when a destination is down, all jobs learn it immediately', async () => {
  await using site = setUp([{ to: 'x.example', messages: '1/h' }]);
  site.submit('x.example', 'x.example', 20);
  for (let i = 0; i < 19; i++) {
    assert.equal(site.inner.jobs.length, 1);
    await site.inner.end(false);
  }
  await site.inner.end(true);
  site.submit('x.example', 'x.example');
  assert.equal(site.inner.jobs.length, 0, 'the one that was sent has used the hour');
});

test('destinations of one limit share it, those of * have each their own', async () => {
  await using site = setUp([
    { to: 'x.example', messages: '1/h' },
    { to: '*', messages: '1/h' },
  ]);
  site.submit('a.x.example', 'x.example');
  site.submit('b.x.example', 'x.example');
  site.submit('y.example', 'y.example');
  site.submit('z.example', 'z.example');
  assert.deepEqual(
    site.inner.jobs.map(({ hop }) => hop.key),
    ['mx:a.x.example', 'mx:y.example', 'mx:z.example'],
  );
});

test('a changed limit takes effect immediately, also where it is gone', async () => {
  await using site = setUp([{ to: 'x.example', messages: '1/h' }]);
  site.submit('x.example', 'x.example', 5);
  assert.equal(site.inner.jobs.length, 1);
  await site.inner.end();
  site.settings.replace(config([{ to: 'x.example', messages: '1000/s' }]));
  await waitFor(() => site.inner.jobs.length === 4, { what: 'the other four' });
  for (let i = 0; i < 4; i++) await site.inner.end();
  site.settings.replace(config([{ to: 'x.example', messages: '1/d' }]));
  site.submit('x.example', 'x.example', 5);
  assert.ok(site.inner.jobs.length <= 1);
  site.settings.replace(config([]));
  assert.equal(site.inner.jobs.length, 5);
  assert.equal(site.pacer.most('x.example'), undefined);
});

test('a stop gives back what waits, as no attempt', async () => {
  const site = setUp([{ to: 'x.example', messages: '1/h' }]);
  site.submit('x.example', 'x.example', 4);
  await site.pacer.stop();
  assert.ok(site.inner.stopped);
  assert.deepEqual(
    site.finished.map(([result]) => [result?.state, result?.local, result?.outcome.reply.code]),
    Array.from({ length: 3 }, () => ['deferred', true, reply(451, '4.3.2', '').code]),
  );
  site.submit('x.example', 'x.example');
  await waitFor(() => site.finished.length === 4, { what: 'what came later to be given back too' });
});
