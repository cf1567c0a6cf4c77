import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { type Actor, announcer, client, listen, serve } from '#cluster/actor.ts';
import type { Bus, BusRequest } from '#cluster/bus/bus.ts';
import { type Client, defineContract, type Handlers } from '#shared/contract.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What every bus is asked to do; `cluster/bus/bus.ts` has the rules in words. */

const data = z.object({
  text: z.string(),
  count: z.number(),
  optional: z.string().optional(),
  list: z.array(z.object({ key: z.string().nullable() })),
});

export const testContract = defineContract('test-service', 1, {
  operations: {
    echo: { request: data, reply: data },
    trace: { request: z.object({}), reply: z.object({ trace: z.string().optional() }) },
    digest: {
      request: z.object({}),
      reply: z.object({ length: z.number(), sha256: z.string() }),
      bytes: 'request',
    },
    bytes: { request: z.object({ length: z.number() }), reply: z.object({ sha256: z.string() }), bytes: 'reply' },
    fail: {
      request: z.object({ how: z.string() }),
      reply: z.object({}),
      errors: ['full', 'not-found'],
      elsewhere: ['full'],
    },
    wait: { request: z.object({ key: z.string() }), reply: z.object({ key: z.string() }) },
  },
  events: { changed: z.object({ revision: z.number().int() }) },
});
export type TestContract = typeof testContract;

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The service of the suite: counts what reaches it, and answers `wait` when the test says so. */
export class TestService {
  /** Operations whose handler was entered, in order. */
  readonly seen: string[] = [];
  readonly #waiting = new Map<string, () => void>();
  readonly handlers: Handlers<TestContract> = {
    echo: (request) => this.#note('echo', request),
    trace: (_, { trace }) => this.#note('trace', { trace }),
    digest: (_, { bytes }) => this.#note('digest', { length: bytes.length, sha256: sha256(bytes) }),
    bytes: ({ length }) => {
      const bytes = randomBytes(length);
      return this.#note('bytes', { reply: { sha256: sha256(bytes) }, bytes });
    },
    fail: ({ how }) => {
      this.seen.push('fail');
      if (how === 'bug') throw new TypeError('x is not a function');
      throw new SealpostError(how as ErrorCode, `told to fail with ${how}`);
    },
    wait: async ({ key }) => {
      this.seen.push(`wait ${key}`);
      await new Promise<void>((resolve) => this.#waiting.set(key, resolve));
      return { key };
    },
  };

  #note<T>(operation: string, answer: T): T {
    this.seen.push(operation);
    return answer;
  }

  serve(bus: Bus, mailbox?: number): Actor {
    const life = { start: async () => undefined, stop: async () => undefined };
    const service = { contract: testContract, handlers: this.handlers, ...life };
    return serve(bus, service, silentLogger, { mailbox });
  }

  /** Let a `wait` call end, as soon as it is under way. */
  async release(key: string): Promise<void> {
    const resolve = await waitFor(() => this.#waiting.get(key), { what: `the call to wait for ${key}` });
    resolve();
  }
}

export type Buses = AsyncDisposable & {
  /** Where the service of a test is; its node is `home`. */
  serving: Bus;
  /** Where calls come from: another process where the bus joins processes, else the same. */
  calling: Bus;
  /** Resolves when what was registered on both is in force. */
  settle(): Promise<void>;
};
export const HOME = 'home';

const address = (operation: string) => ({ service: testContract.name, version: 1, operation });
const ask = (fields: unknown, timeout = 2000): BusRequest => ({ fields, timeout });
const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof SealpostError, String(error));
  assert.equal(error.code, expected, error.message);
  return true;
};

export function busSuite(name: string, makeBuses: () => Promise<Buses>): void {
  type Stage = { buses: Buses; service: TestService; call: Client<TestContract> };
  const onStage = (title: string, body: (stage: Stage) => Promise<void>, mailbox?: number): void => {
    test(title, async () => {
      await using buses = await makeBuses();
      const service = new TestService();
      service.serve(buses.serving, mailbox);
      await buses.settle();
      await body({ buses, service, call: client(buses.calling, testContract) });
    });
  };

  describe(name, () => {
    describe('calls', () => calls(onStage));
    describe('failures', () => failures(onStage));
    describe('events', () => events(makeBuses));
    describe('drain', () => drain(onStage));
  });

  function calls(onStage: OnStage<Stage>): void {
    onStage('fields arrive as they were sent', async ({ call }) => {
      const odd = {
        text: 'naïve 邮件 \u{1f4ee} \u0000 \ud800 "\\',
        count: -0.5,
        list: [{ key: null }, { key: '__proto__' }],
      };
      assert.deepEqual(await call.echo(odd), odd);
      // A field that is undefined is one that is absent.
      const answer = await call.echo({ ...odd, optional: undefined });
      assert.equal(answer.optional, undefined);
    });

    for (const length of [0, 1, 64 * 1024, 900 * 1024]) {
      onStage(`${length} bytes travel with a request and with a reply`, async ({ call }) => {
        const bytes = randomBytes(length);
        assert.deepEqual(await call.digest({}, { bytes }), { length, sha256: sha256(bytes) });
        const answer = await call.bytes({ length });
        assert.equal(answer.bytes.length, length);
        assert.equal(sha256(answer.bytes), answer.reply.sha256);
      });
    }

    onStage('a request without bytes has none', async ({ call }) => {
      assert.equal((await call.digest({})).length, 0);
    });

    onStage('bytes stay what they were while other messages come and go', async ({ call }) => {
      const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => call.bytes({ length: i * 100 })));
      for (let i = 0; i < 20; i++) await call.bytes({ length: 300_000 });
      for (const { reply, bytes } of answers) assert.equal(sha256(bytes), reply.sha256);
    });

    onStage('many concurrent calls each get their own answer', async ({ call }) => {
      const texts = Array.from({ length: 500 }, (_, i) => `n${i}`);
      const answers = await Promise.all(texts.map((text) => call.echo({ text, count: 0, list: [] })));
      assert.deepEqual(
        answers.map((a) => a.text),
        texts,
      );
    });

    onStage('answers may come in another order than requests', async ({ call, service }) => {
      const first = call.wait({ key: 'first' });
      const second = call.wait({ key: 'second' });
      await service.release('second');
      assert.deepEqual(await second, { key: 'second' });
      await service.release('first');
      assert.deepEqual(await first, { key: 'first' });
    });

    onStage('the trace id passes', async ({ call }) => {
      assert.deepEqual(await call.trace({}, { trace: 'TRACE1' }), { trace: 'TRACE1' });
      assert.equal((await call.trace({})).trace, undefined);
    });

    onStage('a call can name the node that shall answer', async ({ call, service }) => {
      assert.equal((await call.digest({}, { node: HOME })).length, 0);
      await assert.rejects(call.digest({}, { node: 'elsewhere' }), code('unavailable'));
      assert.deepEqual(service.seen, ['digest']);
    });

    onStage('a call can name the process that shall answer', async ({ buses, call, service }) => {
      assert.equal((await call.digest({}, { node: buses.serving.process })).length, 0);
      await assert.rejects(call.digest({}, { node: 'ABCDEFGHJKMN' }), code('unavailable'));
      assert.deepEqual(service.seen, ['digest']);
    });

    onStage('an operation that is served no more is unavailable', async ({ buses }) => {
      const stop = buses.serving.serve(address('extra'), async () => ({ ok: true, fields: 'here' }));
      await buses.settle();
      assert.deepEqual((await buses.calling.call(address('extra'), ask({}))).ok, true);
      stop();
      await buses.settle();
      await assert.rejects(buses.calling.call(address('extra'), ask({})), code('unavailable'));
    });
  }

  function failures(onStage: OnStage<Stage>): void {
    onStage('a declared error keeps its code and text', async ({ call }) => {
      await assert.rejects(call.fail({ how: 'full' }), { code: 'full', message: 'told to fail with full' });
    });

    for (const how of ['bug', 'undeclared-code']) {
      onStage(`an error that is not declared (${how}) is internal, and the mailbox lives on`, async ({ call }) => {
        await assert.rejects(call.fail({ how }), code('internal'));
        assert.equal((await call.digest({})).length, 0);
      });
    }

    onStage('a handler that breaks below the actor is internal', async ({ buses }) => {
      buses.serving.serve(address('broken'), () => Promise.reject(new Error('broken')));
      await buses.settle();
      const answer = await buses.calling.call(address('broken'), ask({}));
      assert.equal(answer.ok === false && answer.code, 'internal');
    });

    onStage('an operation without an instance is unavailable immediately', async ({ buses }) => {
      const start = performance.now();
      await assert.rejects(buses.calling.call(address('nothing'), ask({}, 60_000)), code('unavailable'));
      const other = { service: 'test-service', version: 2, operation: 'echo' };
      await assert.rejects(buses.calling.call(other, ask({}, 60_000)), code('unavailable'));
      assert.ok(performance.now() - start < 5000);
    });

    onStage('no answer in time is a timeout, and a late one does no harm', async ({ call, service }) => {
      await assert.rejects(call.wait({ key: 'late' }, { timeout: 50 }), code('timeout'));
      await service.release('late');
      assert.equal((await call.digest({})).length, 0);
    });

    onStage(
      'a full mailbox answers busy immediately, and takes requests again later',
      async ({ call, service }) => {
        const waiting = ['a', 'b'].map((key) => call.wait({ key }));
        await waitFor(() => service.seen.length === 2, { what: 'two open requests' });
        await assert.rejects(call.digest({}), code('busy'));
        await service.release('a');
        await waiting[0];
        await waitFor(() => call.digest({}), { what: 'an answer', timeout: 1000 });
        await service.release('b');
        await waiting[1];
      },
      2,
    );

    for (const fields of [undefined, null, 'text', {}, { text: 1 }, { text: 'x', count: 'y', list: [] }]) {
      onStage(
        `a malformed request (${JSON.stringify(fields)}) never reaches the handler`,
        async ({ buses, service }) => {
          const answer = await buses.calling.call(address('echo'), ask(fields));
          assert.equal(answer.ok === false && answer.code, 'malformed');
          assert.deepEqual(service.seen, []);
        },
      );
    }

    onStage('a malformed reply fails at the caller', async ({ buses }) => {
      buses.serving.serve({ ...address('echo'), service: 'liar' }, async () => ({ ok: true, fields: { text: 7 } }));
      await buses.settle();
      const liar = client(buses.calling, { ...testContract, name: 'liar' });
      await assert.rejects(liar.echo({ text: '', count: 0, list: [] }), code('malformed'));
    });

    onStage('an invalid node name reaches no node', async ({ call, service }) => {
      for (const node of ['*', '>', 'home\r\nPUB x 0', 'a.b', '']) {
        await assert.rejects(call.digest({}, { node }), SealpostError, JSON.stringify(node));
      }
      assert.deepEqual(service.seen, []);
    });
  }
}

type OnStage<Stage> = (title: string, body: (stage: Stage) => Promise<void>, mailbox?: number) => void;

function events(makeBuses: () => Promise<Buses>): void {
  test('every listener hears every event once, in the order of its publisher', async () => {
    await using buses = await makeBuses();
    const heard: number[][] = [[], [], []];
    const buses3 = [buses.serving, buses.calling, buses.calling];
    for (const [i, bus] of buses3.entries()) {
      listen(bus, testContract, silentLogger)('changed', ({ revision }) => heard[i]?.push(revision));
    }
    await buses.settle();
    const announce = announcer(buses.serving, testContract);
    const revisions = Array.from({ length: 100 }, (_, i) => i);
    for (const revision of revisions) announce('changed', { revision });
    await waitFor(() => heard.every((list) => list.at(-1) === 99), { what: 'the last event' });
    await buses.settle();
    for (const list of heard) assert.deepEqual(list, revisions);
  });

  test('a listener that stopped hears nothing, the others go on', async () => {
    await using buses = await makeBuses();
    const heard: string[] = [];
    const hear = listen(buses.calling, testContract, silentLogger);
    const stop = hear('changed', () => heard.push('stopped'));
    hear('changed', () => heard.push('other'));
    stop();
    stop();
    await buses.settle();
    announcer(buses.serving, testContract)('changed', { revision: 1 });
    await waitFor(() => heard.length > 0, { what: 'the event' });
    assert.deepEqual(heard, ['other']);
  });

  test('a malformed event and a listener that throws disturb no other', async () => {
    await using buses = await makeBuses();
    const heard: number[] = [];
    const hear = listen(buses.calling, testContract, silentLogger);
    hear('changed', () => {
      throw new Error('broken listener');
    });
    hear('changed', ({ revision }) => heard.push(revision));
    await buses.settle();
    buses.serving.publish(testContract.name, 1, 'changed', { revision: 'one' });
    buses.serving.publish(testContract.name, 1, 'changed', undefined);
    buses.serving.publish(testContract.name, 1, 'changed', { revision: 2 });
    await waitFor(() => heard.length > 0, { what: 'the good event' });
    assert.deepEqual(heard, [2]);
  });
}

function drain<Stage extends { buses: Buses; service: TestService; call: Client<TestContract> }>(
  onStage: OnStage<Stage>,
): void {
  onStage(
    'draining the serving side finishes what is under way and takes nothing new',
    async ({ buses, service, call }) => {
      const underWay = call.wait({ key: 'x' });
      await waitFor(() => service.seen.length === 1, { what: 'the call to be under way' });
      let over = false;
      const drained = buses.serving.drain().then(() => {
        over = true;
      });
      await waitFor(
        () =>
          call.digest({}).then(
            () => false,
            (error: SealpostError) => error.code === 'unavailable',
          ),
        { what: 'new calls to be refused' },
      );
      assert.equal(over, false);
      const before = service.seen.length;
      await service.release('x');
      assert.deepEqual(await underWay, { key: 'x' });
      await drained;
      assert.equal(buses.serving.connected, false);
      assert.equal(service.seen.length, before);
    },
  );

  onStage('a drained bus refuses calls, and draining twice is one', async ({ buses, call }) => {
    await Promise.all([buses.calling.drain(), buses.calling.drain()]);
    await assert.rejects(call.digest({}), code('unavailable'));
    assert.equal(buses.calling.connected, false);
  });
}
