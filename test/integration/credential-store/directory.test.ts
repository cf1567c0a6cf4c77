import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connect } from 'nats';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { subjectOf } from '#cluster/replicated/jetstream-stream.ts';
import { DIRECTORY_BUCKET } from '#services/credential-store/contract.ts';
import { errorCode } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { type StoreNode, startNode } from '#test/unit/credential-store/fixture.ts';

/** The directory of a store on a bus: what it knows when others are away, and what it believes of the stream. */

async function start(folder: string, name: string, url: string): Promise<StoreNode> {
  const data = join(folder, name);
  await mkdir(data, { recursive: true });
  const bus = await NatsBus.connect({ servers: [url], node: name, log: silentLogger });
  return startNode(data, { name, bus, config: { bus: { servers: [url] } } });
}

/** The revision, or the code of the error. */
const answer = (node: StoreNode, name: string) =>
  node.calls['directory-list']({}, { node: name }).then(({ revision }) => revision, errorCode);

describe('the directory on a bus', needs('nats-server'), () => {
  test('a node that has no entry says so only when it heard the others, and remembers it without NATS', async () => {
    await using folder = await tempDir('directory');
    await using nats = await startNatsServer();
    {
      await using node = await start(folder.path, 'edge-1', nats.url);
      assert.equal(await answer(node, 'edge-1'), 'not-caught-up');
      await waitFor(async () => (await answer(node, 'edge-1')) === 0, { what: 'that there is none', timeout: 15_000 });
    }
    await nats.stop();
    await using again = await start(folder.path, 'edge-1', nats.url);
    assert.equal(await answer(again, 'edge-1'), 0);
    await using other = await start(folder.path, 'edge-2', nats.url);
    assert.equal(await answer(other, 'edge-2'), 'not-caught-up');
  });

  test('what is not a record, or has no MAC by the NEK, makes no entry and changes none', async () => {
    await using folder = await tempDir('directory');
    await using nats = await startNatsServer({ jetStream: true });
    await using node = await start(folder.path, 'edge-1', nats.url);
    const alias = (address: string, target: string) => ({
      ...{ kind: 'alias' as const, address: `${address}@x.test`, targets: [`${target}@x.test`] },
    });
    await waitFor(() => node.calls['alias-set']({ ...alias('a', 'b'), targets: { set: ['b@x.test'] }, create: true }), {
      what: 'an alias',
    });
    const stranger = await connect({ servers: nats.url });
    const forged = (key: string, value: object, version = 9) =>
      JSON.stringify({
        ...{ schema: 1, key, version, writeId: 'x'.repeat(20), previous: [], node: 'edge-9' },
        ...{ time: new Date().toISOString(), value },
      });
    const messages: [key: string, text: string][] = [
      ['alias!a@x.test', forged('alias!a@x.test', alias('a', 'mallory'))],
      ['alias!c@x.test', forged('alias!c@x.test', alias('c', 'mallory'))],
      ['alias!d@x.test', forged('alias!e@x.test', alias('e', 'mallory'))],
      ['user!\u0000\u001b', 'not json'],
      ['user!big', forged('user!big', { kind: 'user', name: 'x'.repeat(300_000) })],
      ['nothing', '[]'],
    ];
    for (const [key, text] of messages) stranger.publish(subjectOf(DIRECTORY_BUCKET, key), Buffer.from(text));
    await stranger.flush();
    await stranger.drain();
    const refused = async () => (await node.calls['status-show']({})).refused?.length ?? 0;
    await waitFor(async () => (await refused()) >= messages.length, { what: 'the refusals', timeout: 15_000 });
    const { records } = await node.calls['directory-list']({});
    assert.deepEqual(
      records.map(({ key, json }) => [key, JSON.parse(json)]),
      [['alias!a@x.test', alias('a', 'b')]],
    );
    // Others go on.
    await node.calls['alias-set']({ address: 'f@x.test', targets: { set: ['b@x.test'] }, create: true });
  });
});
