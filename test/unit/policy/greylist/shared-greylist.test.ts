import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Settings } from '#cluster/config/settings.ts';
import { MOST_GREYLISTED, policyContract } from '#services/policy/contract.ts';
import { readGreylist } from '#services/policy/greylist/greylist-file.ts';
import { type GreylistBus, SharedGreylist } from '#services/policy/greylist/shared-greylist.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { config } from '#test/unit/policy/fixtures.ts';

/** The bus between policy services; the line of each can be cut. */
class Bus {
  messages = 0;
  readonly #heard = new Set<{ line: Line; listener: (heard: never) => void }>();

  peers(line: Line): GreylistBus {
    return {
      announce: (_name, payload) => {
        assert.ok(line.up, 'nothing is said into a line that is cut');
        this.messages++;
        const heard = policyContract.events.greylist.parse(JSON.parse(JSON.stringify(payload)));
        for (const { line: other, listener } of this.#heard) if (other.up) listener(heard as never);
      },
      hear: (_name, listener) => {
        const entry = { line, listener: listener as never };
        this.#heard.add(entry);
        return () => this.#heard.delete(entry);
      },
      connected: () => line.up,
    };
  }
}

type Line = { up: boolean };

async function instance(bus: Bus, folder: string, enabled = true) {
  const input = { node: { data: folder }, checks: { greylist: { enabled, delay: '1s' } } };
  const line = { up: true };
  const settings = new Settings(config(input));
  const list = new SharedGreylist({ settings, log: silentLogger, peers: bus.peers(line) });
  await list.start();
  const attempt = (client: string) => list.look(client, 'a@x.test', 'b@example.com');
  const defer = (client: string) => list.note(attempt(client), 'deferred');
  return { line, attempt, defer, [Symbol.asyncDispose]: () => list.stop() };
}

test('what one instance learns the others know within a moment, and keep on disk', async () => {
  const bus = new Bus();
  await using folder = await tempDir('greylist');
  const [here, there] = [join(folder.path, 'one'), join(folder.path, 'two')];
  {
    await using one = await instance(bus, here);
    await using two = await instance(bus, there);
    one.defer('192.0.2.7');
    await waitFor(() => two.attempt('192.0.2.8').kind !== 'first', { timeout: 900, what: 'the other one to know' });
  }
  const [record] = await readGreylist(join(there, 'greylist.json'));
  assert.equal(record?.network, '192.0.2.0/24');
  assert.equal(record?.triples.length, 1);
});

test('an instance that comes later is told everything, in messages of a bounded size', async () => {
  const bus = new Bus();
  await using folder = await tempDir('greylist');
  await using one = await instance(bus, join(folder.path, 'one'));
  for (let n = 0; n < 1000; n++) one.defer(`10.${n >> 8}.${n & 255}.1`);
  await waitFor(() => bus.messages >= 1000 / MOST_GREYLISTED, { what: 'the first to have said everything' });
  await using late = await instance(bus, join(folder.path, 'late'));
  const known = () => Array.from({ length: 1000 }, (_, n) => late.attempt(`10.${n >> 8}.${n & 255}.1`));
  await waitFor(() => known().every(({ kind }) => kind !== 'first'), { what: 'the late one to know all' });
});

test('what is learned while an instance is cut off is told when it is back, to it and by it', async () => {
  const bus = new Bus();
  await using folder = await tempDir('greylist');
  await using one = await instance(bus, join(folder.path, 'one'));
  await using two = await instance(bus, join(folder.path, 'two'));
  two.line.up = false;
  one.defer('192.0.2.7');
  two.defer('198.51.100.7');
  // The line is looked at each second; by then the first one has said what it knows to nobody.
  await delay(1200);
  two.line.up = true;
  await waitFor(() => two.attempt('192.0.2.7').kind !== 'first' && one.attempt('198.51.100.7').kind !== 'first', {
    what: 'each to hear of the other',
  });
});

test('where the greylist is off nothing is said, and what is heard is known when it is turned on', async () => {
  const bus = new Bus();
  await using folder = await tempDir('greylist');
  await using off = await instance(bus, join(folder.path, 'off'), false);
  await delay(1200);
  assert.equal(bus.messages, 0);
  await using on = await instance(bus, join(folder.path, 'on'));
  on.defer('192.0.2.7');
  await waitFor(() => off.attempt('192.0.2.7').kind !== 'first', { what: 'it to be heard' });
});
