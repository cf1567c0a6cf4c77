import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { Copies, type CopiesIntake } from '#services/router/copies/copies.ts';
import type { Queue } from '#services/router/queue/queue.ts';
import { Corrupt } from '#services/router/store/corrupt.ts';
import { Slots } from '#services/router/store/slots.ts';
import { Space } from '#services/router/store/space.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { indexOf, NO_ROUTER, settingsFor } from '#test/unit/router/fixture.ts';

test('copies that were stopped before they began neither renew the lease nor take anything over', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  const slots = new Slots();
  const copies = await Copies.open({
    index: await indexOf(store),
    ...{ settings: settingsFor(folder.path), log: silentLogger, store, slots, router: NO_ROUTER },
    jetStream: { current: undefined, restricted: false, onChange: () => () => undefined },
    space: new Space(folder.path, () => 0),
    corrupt: new Corrupt(store, slots, silentLogger),
  });
  const listening = mock.method(copies.map, 'onChange');
  const timers = mock.method(globalThis, 'setInterval');
  const stopping = copies.stop();
  copies.begin({} as Queue, {} as CopiesIntake);
  await stopping;
  assert.deepEqual([listening.mock.callCount(), timers.mock.callCount()], [0, 0]);
  mock.restoreAll();
  await store.close();
});
