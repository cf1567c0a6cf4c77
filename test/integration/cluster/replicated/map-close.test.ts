import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { endsWithin } from '#cluster/bus/bus.ts';
import { SealpostError } from '#shared/errors.ts';
import { MapNode } from '#test/kit/bus/map-node.ts';
import { count } from '#test/kit/bus/map-site.ts';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { Note } from '#test/suites/replicated-map.ts';

test(
  'a map that is closed while its changes are on their way ends, and so do they; none is lost',
  needs('nats-server'),
  async () => {
    await using folder = await tempDir();
    await using nats = await startNatsServer({ jetStream: true });
    const options = {
      schema: Note,
      node: 'n0',
      bucket: 'notes',
      folder: join(folder.path, 'n0'),
      servers: [nats.url],
      replicas: 1,
    };
    let made = 0;
    let unknown = 0;
    // The change is caught at another place each time.
    for (let round = 0; round < 40; round++) {
      const node = await MapNode.start<Note>(options);
      const change = node.map.update('k', count).then(
        () => made++,
        (error) => {
          assert.ok(
            error instanceof SealpostError && ['no-quorum', 'store-failed'].includes(error.code),
            String(error),
          );
          unknown++;
        },
      );
      await delay((round % 20) / 4);
      assert.ok(await endsWithin(5000, node.map.close()), `closing hangs in round ${round}`);
      await change;
      await node[Symbol.asyncDispose]();
    }
    await using node = await MapNode.start<Note>(options);
    const counted = Number(node.map.get('k')?.value.text ?? 0);
    assert.ok(counted >= made && counted <= made + unknown, `${made} made, ${unknown} unknown, ${counted} counted`);
  },
);
