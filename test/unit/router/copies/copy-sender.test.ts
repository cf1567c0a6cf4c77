import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { CopySender, type CopySenderDeps } from '#services/router/copies/copy-sender.ts';
import { type CopyPlace, keys, type MessageRecord, putBytes, putJson } from '#services/router/store/records.ts';
import { Slots } from '#services/router/store/slots.ts';
import { SealpostError } from '#shared/errors.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { ORIGIN, settingsFor } from '#test/unit/router/fixture.ts';

/** A way to a holder that does what the test says, and notes what it was asked for. */
class FakeOutbox {
  readonly place: CopyPlace;
  readonly unreachable = false;
  readonly asked: string[] = [];
  fails = false;
  /** Copies are confirmed when this resolves. */
  answered: Promise<void> = Promise.resolve();

  constructor(node: string) {
    this.place = { store: `STORE-${node}`, node, generation: 1 };
  }

  async copy(_id: string, _records: unknown, complete: boolean): Promise<void> {
    if (complete) this.asked.push('copy');
    await this.answered;
    if (this.fails) throw new SealpostError('timeout', 'no answer came in time');
  }

  async follow(): Promise<void> {
    this.asked.push('follow');
  }

  async drop(): Promise<void> {
    this.asked.push('drop');
  }
}

async function setUp(work: (site: Awaited<ReturnType<typeof make>>) => Promise<void>, ...nodes: string[]) {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  await work(await make(store, nodes));
  await store.close();
}

async function make(store: Store, nodes: string[]) {
  const slots = new Slots();
  const outboxes = nodes.map((node) => new FakeOutbox(node));
  const pairs = {
    choose: (without: FakeOutbox[] = []) => outboxes.find((outbox) => !without.includes(outbox)),
    outbox: (place?: CopyPlace) => outboxes.find((outbox) => outbox.place === place),
    isValid: () => true,
    pair: () => undefined,
  } as unknown as CopySenderDeps['pairs'];
  const settings = settingsFor('/nowhere', {
    bus: { servers: ['nats://127.0.0.1:4222'] },
    queue: { copies: 2, 'without-copy': 'accept' },
  });
  const unexpected = (): never => {
    throw new Error('unexpected');
  };
  const parts = { settings, store, slots, pairs, log: silentLogger, onOvertaken: unexpected, onDamaged: unexpected };
  const id = newQueueId();
  const record: MessageRecord = {
    ...{ reversePath: '', smtpUtf8: false, origin: ORIGIN, trace: 'T', arrived: 0, prepend: '', originating: false },
    ...{ junk: false, chunks: [1], recipients: 1, held: false, delayNoticed: false },
    facts: { headerBytes: 1, size: 1, bodyHash: '', eightBitBody: false, eightBitHeader: false },
  };
  const operations = [
    putBytes(keys.body(id, 0), Buffer.from('x')),
    putJson(keys.recipient(id, 0), { recipient: { address: 'bob@peer.example' }, status: { state: 'waiting' } }),
    putJson(keys.message(id), record),
  ];
  return { sender: new CopySender(parts), slots, outboxes, id, record, operations, store };
}

test('a copy whose answer was lost is taken back when the message gets another one', async () => {
  await setUp(
    async ({ sender, slots, outboxes, id, operations, store }) => {
      await store.write(operations);
      const slot = slots.add(id, 'deferred');
      const [first, second] = outboxes;
      if (first !== undefined) first.fails = true;
      assert.equal(await sender.ensure(slot), true);
      assert.deepEqual([first?.asked, second?.asked], [['drop'], ['copy']]);
      assert.equal(slot.copy?.node, 'edge-3');
    },
    'edge-2',
    'edge-3',
  );
});

test('a message that was accepted with one copy gets its second one later, unless it leaves before', async () => {
  await setUp(async ({ sender, slots, id, record, operations }) => {
    const onWritten = () => slots.add(id, 'active') !== undefined;
    await sender.commit({ id, record, operations: () => operations, beside: [], earlier: 0, onWritten });
    const slot = slots.get(id);
    assert.deepEqual([...sender.missing], [slot]);
    await sender.settled(slot, { id, gone: true, operations: [], notices: [] });
    assert.equal(sender.missing.size, 0);
  });
});

test('a message that names the place of its copy on disk has a copy there, whenever this node dies', async () => {
  await setUp(
    async ({ sender, slots, outboxes, id, record, operations, store }) => {
      const [first, second] = outboxes;
      assert.ok(first !== undefined && second !== undefined);
      const { promise, resolve } = Promise.withResolvers<void>();
      first.answered = promise;
      first.fails = true;
      const onWritten = (copy: CopyPlace | undefined) => slots.add(id, 'active', copy) !== undefined;
      const done = sender.commit({ id, record, operations: () => operations, beside: [], earlier: 0, onWritten });
      // What comes after a write that was begun before it is on disk when that is.
      await store.write([]);
      assert.deepEqual(await store.getMany([keys.place(id), keys.message(id)]), [undefined, undefined]);
      resolve();
      await done;
      assert.deepEqual([first.asked, second.asked], [['copy', 'drop'], ['copy']]);
      const [place, message] = await store.getMany([keys.place(id), keys.message(id)]);
      assert.ok(place?.includes('edge-3') && message !== undefined);
      assert.equal(slots.get(id)?.copy?.node, 'edge-3');
    },
    'edge-2',
    'edge-3',
  );
});

test('a change that only notes trouble of this node is not sent to the copy', async () => {
  await setUp(async ({ sender, slots, outboxes: [outbox], id, operations }) => {
    const slot = slots.add(id, 'deferred', outbox?.place);
    await sender.settled(slot, { id, gone: false, own: true, operations, notices: [] });
    assert.deepEqual(outbox?.asked, []);
    await sender.settled(slot, { id, gone: false, own: false, operations, notices: [] });
    assert.deepEqual(outbox?.asked, ['follow']);
  }, 'edge-2');
});
