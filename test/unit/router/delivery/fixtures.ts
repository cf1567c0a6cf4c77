import { setImmediate } from 'node:timers/promises';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { createDelivery, type DeliveryDeps } from '#services/router/delivery/delivery.ts';
import type { Delivery, Job, NextHop, Opened, RecipientResult } from '#services/router/delivery/job.ts';
import { LostDestinations } from '#services/router/delivery/tls-policy/lost.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';

/** Settings with time-outs that suit a test. `delivery` is in the words of sealpost.yaml. */
export function testSettings(config: { delivery?: object; node?: object; listeners?: object[]; dns?: object } = {}) {
  const timeout = { connect: '2s', command: '2s', data: '2s' };
  return new Settings(
    ConfigSchema.parse({
      listeners: [],
      node: { hostname: 'edge.test' },
      ...config,
      delivery: { timeout, ...config.delivery },
    }),
  );
}

export type TestJob = Job & {
  /** What `finish` got. */
  done: Promise<RecipientResult[]>;
  opened: number;
  finished: number;
};

type JobOptions = Partial<Omit<Job, 'recipients' | 'open' | 'finish'>> & {
  recipients?: (string | EnvelopeRecipient)[];
  message?: string | (() => AsyncIterable<Uint8Array> | Iterable<Uint8Array>);
  open?: () => Promise<Opened>;
  finish?: () => Promise<void>;
};

export const MESSAGE = 'Subject: hello\r\n\r\nA line.\r\n';

export function testJob(options: JobOptions = {}): TestJob {
  const { recipients = ['b@example.test'], message = MESSAGE, open, finish, ...rest } = options;
  const { promise, resolve } = Promise.withResolvers<RecipientResult[]>();
  const bytes = typeof message === 'string' ? Buffer.from(message) : undefined;
  const job: TestJob = {
    queueId: newQueueId(),
    trace: 'TRACE',
    reversePath: 'a@sender.test',
    recipients: recipients.map((recipient, index) => ({
      index,
      recipient: typeof recipient === 'string' ? { address: recipient } : recipient,
    })),
    size: bytes?.length ?? 1000,
    eightBitBody: false,
    smtpUtf8: false,
    ret: undefined,
    envid: undefined,
    junk: false,
    ...rest,
    done: promise,
    opened: 0,
    finished: 0,
    open: async () => {
      job.opened++;
      if (open !== undefined) return open();
      return { ok: true, size: job.size, read: typeof message === 'string' ? () => [Buffer.from(message)] : message };
    },
    finish: async (results) => {
      job.finished++;
      await finish?.();
      resolve(results);
    },
  };
  return job;
}

export function smtpHop(
  port: number,
  options: { host?: string; tls?: NextHop['tls']; kind?: 'smtp' | 'lmtp' } = {},
): NextHop {
  const { host = '127.0.0.1', tls = 'opportunistic', kind = 'smtp' } = options;
  return { key: `${kind}://${host}:${port}`, spec: { kind, host, port }, tls };
}

export type TestDelivery = Delivery &
  AsyncDisposable & { run(nextHop: NextHop, ...jobs: TestJob[]): Promise<RecipientResult[][]> };

/** Delivery that is stopped when the test ends. */
export function testDelivery(
  options: Partial<Pick<DeliveryDeps, 'settings' | 'log' | 'resolver' | 'onTlsResult'>> = {},
): TestDelivery {
  const { settings = testSettings(), log = silentLogger, resolver, onTlsResult } = options;
  const delivery = createDelivery({
    settings,
    log,
    lostTls: new LostDestinations(log),
    onTlsResult,
    ...(resolver === undefined ? {} : { resolver }),
  });
  return {
    ...delivery,
    run: async (nextHop, ...jobs) => {
      for (const job of jobs) delivery.submit(nextHop, job);
      const results = await Promise.all(jobs.map((job) => job.done));
      // `done` is heard before the worker hears the same: now it is idle, and its connection takes the next job.
      await setImmediate();
      return results;
    },
    [Symbol.asyncDispose]: () => delivery.stop(),
  };
}

/** `deferred 451 4.4.2`: what a result says, without its text. */
export function brief(results: readonly RecipientResult[]): string[] {
  return results
    .toSorted((a, b) => a.index - b.index)
    .map(
      ({ state, outcome: { reply }, local }) =>
        `${state} ${reply.code}${reply.enhanced === undefined ? '' : ` ${reply.enhanced}`}${local === true ? ' local' : ''}`,
    );
}
