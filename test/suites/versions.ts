import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { announcer, client, listen, serve } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { defineContract, type Handlers } from '#shared/contract.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { waitFor } from '#test/kit/wait.ts';
import { type Buses, HOME, sha256 } from './bus.ts';

/**
 * What a contract at version 2 and one at version 1 say to each other; `cluster/contract-versions.ts` has it in words.
 */

export const oldContract = defineContract('sample', 1, {
  operations: {
    /** Version 1 says how long in seconds. */
    delay: {
      request: z.object({ seconds: z.number(), note: z.string().default('none') }),
      reply: z.object({ until: z.string(), note: z.string() }),
      errors: ['full'],
      elsewhere: ['full'],
    },
    digest: { request: z.object({ name: z.string() }), reply: z.object({ sha256: z.string() }), bytes: 'request' },
    read: { request: z.object({}), reply: z.object({ length: z.number() }), bytes: 'reply' },
    dropped: { request: z.object({}), reply: z.object({}) },
  },
  events: { delayed: z.object({ seconds: z.number() }), same: z.object({ count: z.number() }) },
});

export const newContract = defineContract(
  'sample',
  2,
  {
    operations: {
      delay: {
        request: z.object({ ms: z.number(), note: z.string().optional() }),
        reply: z.object({ until: z.number(), note: z.string().default('nothing') }),
        errors: ['full', 'exists'],
        elsewhere: ['full'],
      },
      digest: { request: z.object({ name: z.string() }), reply: z.object({ sha256: z.string() }), bytes: 'request' },
      read: { request: z.object({}), reply: z.object({ bytes: z.number() }), bytes: 'reply' },
      added: { request: z.object({}), reply: z.object({}) },
    },
    events: { delayed: z.object({ ms: z.number() }), same: z.object({ count: z.number() }), added: z.object({}) },
  },
  {
    contract: oldContract,
    operations: {
      delay: {
        request: {
          older: ({ ms, note }) => ({ seconds: ms / 1000, ...(note !== undefined && { note }) }),
          newer: ({ seconds, note }) => ({ ms: seconds * 1000, note }),
        },
        reply: {
          older: ({ until, note }) => ({ until: String(until), note }),
          newer: ({ until, note }) => ({ until: Number(until), note }),
        },
      },
      read: { reply: { older: ({ bytes }) => ({ length: bytes }), newer: ({ length }) => ({ bytes: length }) } },
    },
    events: {
      delayed: { older: ({ ms }) => ({ seconds: ms / 1000 }), newer: ({ seconds }) => ({ ms: seconds * 1000 }) },
    },
  },
);

const life = { start: async () => undefined, stop: async () => undefined };
type Notes = { seen: string[]; fails?: ErrorCode };

const check = ({ fails }: Notes): void => {
  if (fails !== undefined) throw new SealpostError(fails, `told to fail with ${fails}`);
};

/** A process of the version before. */
export function serveOld(bus: Bus, notes: Notes): void {
  const handlers: Handlers<typeof oldContract> = {
    delay: ({ seconds, note }) => {
      check(notes);
      notes.seen.push(`old ${seconds} s`);
      return { until: String(seconds), note };
    },
    digest: (_, { bytes }) => ({ sha256: sha256(bytes) }),
    read: () => ({ reply: { length: 3 }, bytes: Buffer.from('old') }),
    dropped: () => ({}),
  };
  serve(bus, { contract: oldContract, handlers, ...life }, silentLogger);
}

/** A process of this version. */
export function serveNew(bus: Bus, notes: Notes, mailbox?: number): void {
  const handlers: Handlers<typeof newContract> = {
    delay: ({ ms, note = 'absent' }) => {
      check(notes);
      notes.seen.push(`new ${ms} ms`);
      return { until: ms, note };
    },
    digest: (_, { bytes }) => ({ sha256: sha256(bytes) }),
    read: () => ({ reply: { bytes: 3 }, bytes: Buffer.from('new') }),
    added: () => ({}),
  };
  serve(bus, { contract: newContract, handlers, ...life }, silentLogger, { mailbox });
}

const text = ({ bytes }: { bytes: Uint8Array }): string => Buffer.from(bytes).toString();

export function versionsSuite(name: string, makeBuses: () => Promise<Buses>): void {
  const onStage = (title: string, body: (buses: Buses, notes: Notes) => Promise<void>): void => {
    test(title, async () => {
      await using buses = await makeBuses();
      await body(buses, { seen: [] });
    });
  };

  describe(`${name}, versions of a contract`, () => {
    onStage('an older caller is served by a newer process', async ({ serving, calling, settle }, notes) => {
      serveNew(serving, notes);
      await settle();
      const old = client(calling, oldContract);
      assert.deepEqual(await old.delay({ seconds: 2 }), { until: '2000', note: 'none' });
      assert.deepEqual(await old.delay({ seconds: 3, note: 'x' }, { node: HOME }), { until: '3000', note: 'x' });
      assert.deepEqual(notes.seen, ['new 2000 ms', 'new 3000 ms']);
      const bytes = Buffer.from('body');
      assert.deepEqual(await old.digest({ name: 'n' }, { bytes }), { sha256: sha256(bytes) });
      const read = await old.read({});
      assert.deepEqual([read.reply, text(read)], [{ length: 3 }, 'new']);
      await assert.rejects(old.dropped({}), { code: 'unavailable' });
      notes.fails = 'exists';
      await assert.rejects(old.delay({ seconds: 1 }), { code: 'exists' });
    });

    onStage('an older request that does not fit never reaches the handler', async (buses, notes) => {
      serveNew(buses.serving, notes);
      await buses.settle();
      const address = { service: 'sample', version: 1, operation: 'delay' };
      const answer = await buses.calling.call(address, { fields: { ms: 5 }, timeout: 2000 });
      assert.equal(answer.ok === false && answer.code, 'malformed');
      assert.deepEqual(notes.seen, []);
    });

    onStage('a newer caller is served by an older process', async ({ serving, calling, settle }, notes) => {
      serveOld(serving, notes);
      await settle();
      const newer = client(calling, newContract);
      assert.deepEqual(await newer.delay({ ms: 2000 }), { until: 2, note: 'none' });
      assert.deepEqual(await newer.delay({ ms: 3000, note: 'x' }, { node: HOME }), { until: 3, note: 'x' });
      assert.deepEqual(notes.seen, ['old 2 s', 'old 3 s']);
      const bytes = Buffer.from('body');
      assert.deepEqual(await newer.digest({ name: 'n' }, { bytes }), { sha256: sha256(bytes) });
      const read = await newer.read({});
      assert.deepEqual([read.reply, text(read)], [{ bytes: 3 }, 'old']);
      await assert.rejects(newer.added({}), { code: 'unavailable' });
      await assert.rejects(newer.delay({ ms: 1 }, { node: 'elsewhere' }), { code: 'unavailable' });
      notes.fails = 'full';
      await assert.rejects(newer.delay({ ms: 1 }), { code: 'full' });
    });

    onStage('the same version needs no other, and its refusals stand', async ({ serving, calling, settle }, notes) => {
      serveNew(serving, notes);
      await settle();
      const newer = client(calling, newContract);
      assert.deepEqual(await newer.delay({ ms: 5 }), { until: 5, note: 'absent' });
      notes.fails = 'exists';
      await assert.rejects(newer.delay({ ms: 5 }), { code: 'exists' });
      notes.fails = 'full';
      await assert.rejects(newer.delay({ ms: 5 }), { code: 'full' });
    });

    for (const [kind, contract] of [
      ['an older', oldContract],
      ['a newer', newContract],
    ] as const) {
      onStage(`an event of ${kind} process reaches listeners of both versions once`, async (buses) => {
        const old: string[] = [];
        const newer: string[] = [];
        const onOld = listen(buses.calling, oldContract, silentLogger);
        const onNew = listen(buses.calling, newContract, silentLogger);
        onOld('delayed', ({ seconds }) => old.push(`${seconds} s`));
        onOld('same', ({ count }) => old.push(`${count}`));
        const stop = onNew('delayed', ({ ms }) => newer.push(`${ms} ms`));
        onNew('same', ({ count }) => newer.push(`${count}`));
        await buses.settle();
        const announce = (count: number): void => {
          if (contract === oldContract) announcer(buses.serving, oldContract)('delayed', { seconds: 2 });
          else announcer(buses.serving, newContract)('delayed', { ms: 2000 });
          announcer(buses.serving, contract as typeof oldContract)('same', { count });
        };
        announce(1);
        await waitFor(() => old.includes('1') && newer.includes('1'), { what: 'the events' });
        stop();
        await buses.settle();
        announce(2);
        await waitFor(() => old.includes('2') && newer.includes('2'), { what: 'the second events' });
        assert.deepEqual(old, ['2 s', '1', '2 s', '2']);
        assert.deepEqual(newer, ['2000 ms', '1', '2']);
      });
    }
  });
}
