import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { announcedProcessesOf, gone } from '#services/console/cli/cluster/drain-node.ts';
import type { Caller } from '#services/console/cli/context.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { SealpostError } from '#shared/errors.ts';

/** What a caller reaches: the answers to `member-ping` of the process and to `member-list` of any. */
type Reached = { connected: boolean; ping: ErrorCode; members: { process: string; stopped: boolean }[] | ErrorCode };

function fakeCaller({ connected, ping, members }: Reached): Caller {
  const fail = (code: ErrorCode): never => {
    throw new SealpostError(code, code);
  };
  const calls = {
    'member-ping': async () => fail(ping),
    'member-list': async () => (typeof members === 'string' ? fail(members) : { members }),
  };
  const close = async () => undefined;
  return {
    config: ConfigSchema.parse({}),
    client: (() => calls) as never,
    meet: async () => [],
    connected,
    [Symbol.asyncDispose]: close,
  };
}

const stopped = [{ process: 'P1', stopped: true }];
const heard = [{ process: 'P1', stopped: false }];
for (const [name, reached, ended] of [
  ['it said that it ends', { connected: true, ping: 'unavailable', members: stopped }, true],
  ['a later one took its place', { connected: true, ping: 'unavailable', members: [] }, true],
  ['it was the last one', { connected: true, ping: 'unavailable', members: 'unavailable' }, true],
  ['the node has no bus and its socket is gone', { connected: true, ping: 'no-node', members: 'no-node' }, true],
  ['NATS is away', { connected: false, ping: 'unavailable', members: 'unavailable' }, false],
  ['it does not answer, and did not say that it ends', { connected: true, ping: 'unavailable', members: heard }, false],
  ['it hangs', { connected: true, ping: 'timeout', members: heard }, false],
] as [string, Reached, boolean][]) {
  test(`a drain ${ended ? 'has' : 'has not'} ended: ${name}`, async () => {
    const end = performance.now() + (ended ? 20_000 : 400);
    const watched = gone(fakeCaller(reached), { process: 'P1', node: 'edge-1', end, options: { timeout: '1s' } });
    if (ended) await watched;
    else await assert.rejects(watched, { code: 'not-drained' });
  });
}

test('a process that has just started is asked again until it has heard of the node', async () => {
  const member = { node: 'edge-1', state: 'up', services: ['router'] };
  const answers = [[], [], [member]];
  const calls = { 'member-list': async () => ({ members: answers.shift() }) };
  const caller = { connected: true, client: () => calls } as unknown as Caller;
  assert.deepEqual(await announcedProcessesOf(caller, 'edge-1'), [member]);
  assert.deepEqual(answers, []);
});
