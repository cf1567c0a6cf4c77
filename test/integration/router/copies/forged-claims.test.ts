import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import { subjectOf } from '#cluster/replicated/jetstream-stream.ts';
import { CLAIMS_BUCKET } from '#services/router/contract.ts';
import { leaseKey, pairKey } from '#services/router/copies/claims.ts';
import { newId } from '#shared/ids.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, OK } from '#test/unit/router/fixture.ts';
import { RouterSite, ready, type SiteRouter } from './router-site.ts';

/** What somebody can do to mail who writes into the stream of claims, as if it were the owner of mail, or its holder. */

const MAIL = envelope(['bob@peer.example']);
const MESSAGES = 5;

async function withStream<R>(site: RouterSite, use: (stream: NatsConnection) => Promise<R>): Promise<R> {
  const connection = await connect({ servers: site.nats.url });
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}

/** A record as it is in the stream. */
async function inStream(connection: NatsConnection, key: string) {
  const jsm = await connection.jetstreamManager();
  const last_by_subj = subjectOf(CLAIMS_BUCKET, key);
  const found = await jsm.streams.getMessage(`KV_${CLAIMS_BUCKET}`, { last_by_subj });
  return JSON.parse(Buffer.from(found.data).toString());
}

/** Write a record of the claims as the next version of what is there, or as another one. */
async function forge(site: RouterSite, key: string, value: object, version?: number): Promise<void> {
  await withStream(site, async (connection) => {
    const before = await inStream(connection, key);
    const previous = [before.writeId, ...before.previous];
    const next = { ...before, version: version ?? before.version + 1, writeId: newId(20), previous };
    const record = { ...next, value: { ...before.value, ...value } };
    await connection.jetstream().publish(subjectOf(CLAIMS_BUCKET, key), JSON.stringify(record));
  });
}

/** Wait until the owner has opened a pair in a generation from this one on. */
const reopened = (site: RouterSite, pair: string, from: number): Promise<unknown> =>
  withStream(site, (connection) =>
    waitFor(
      async () => {
        const { value } = await inStream(connection, pair);
        return value.state === 'open' && value.generation >= from;
      },
      { what: 'the pair to be opened again', timeout: 30_000 },
    ),
  );

async function site(names: [string, string]) {
  await using undo = new AsyncDisposableStack();
  const site = undo.use(await RouterSite.start());
  const [a, b] = [undo.use(await site.router(names[0])), undo.use(await site.router(names[1]))];
  await ready(a, b);
  const ids: string[] = [];
  for (let n = 0; n < MESSAGES; n++) ids.push(await a.router.send({ envelope: MAIL }));
  assert.equal((await b.copies()).held, MESSAGES);
  const pair = pairKey((await a.copies()).store, (await b.copies()).store);
  const resources = undo.move();
  return { site, a, b, ids, pair, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

const queued = async ({ router }: SiteRouter): Promise<number> => {
  const { active, deferred, hold } = await router.status();
  return active + deferred + hold;
};

/** Deliver all that delivery was given and may send; resolves to the queue ids that went out. */
async function deliver(node: SiteRouter): Promise<string[]> {
  const sent: string[] = [];
  for (const job of node.router.delivery.jobs.splice(0)) {
    if (!(await job.job.open()).ok) continue;
    await job.end('delivered', OK);
    sent.push(job.job.queueId);
  }
  return sent;
}

describe('claims that nobody made', { ...needs('nats-server'), timeout: 120_000 }, () => {
  test('mail that is called taken over, by a holder that never had it, is delivered by its owner', async () => {
    await using cluster = await site(['a1', 'b1']);
    const { a, b, ids, pair } = cluster;
    await forge(cluster.site, pair, { generation: 1000, state: 'claimed', adopted: true, dropped: false });
    // The holder denies it: the pair ends, and a new one begins.
    await reopened(cluster.site, pair, 1001);
    await waitFor(async () => (await b.copies()).held === MESSAGES && (await a.copies()).elsewhere === MESSAGES, {
      ...{ what: 'the copies to be made again', timeout: 30_000 },
    });
    assert.deepEqual([await queued(a), await queued(b)], [MESSAGES, 0]);
    assert.deepEqual((await deliver(a)).toSorted(), ids.toSorted());
    assert.deepEqual([(await a.copies()).handedOver, (await b.copies()).takenOver], [0, 0]);
  });

  test('mail that is claimed for its holder is in the holder’s queue before its owner deletes it, and delivered once', async () => {
    await using cluster = await site(['a2', 'b2']);
    const { a, b, ids, pair } = cluster;
    await forge(cluster.site, pair, { state: 'claimed', adopted: true, dropped: false });
    await waitFor(async () => (await a.copies()).handedOver === MESSAGES, { what: 'the hand-over', timeout: 30_000 });
    assert.deepEqual([await queued(a), await queued(b)], [0, MESSAGES]);
    assert.deepEqual(await deliver(a), []);
    await waitFor(() => b.router.delivery.jobs.length === MESSAGES, { what: 'delivery by the holder' });
    assert.deepEqual((await deliver(b)).toSorted(), ids.toSorted());
  });

  test('copies that are called void are deleted when their owner says so, and the mail gets others', async () => {
    await using cluster = await site(['a3', 'b3']);
    const { a, b, ids, pair } = cluster;
    await forge(cluster.site, pair, { generation: 7, state: 'closed', adopted: false, dropped: false });
    await reopened(cluster.site, pair, 7);
    await waitFor(async () => (await a.copies()).missing === 0 && (await a.copies()).elsewhere === MESSAGES, {
      ...{ what: 'new copies', timeout: 30_000 },
    });
    // Both generations are there until the owner was asked.
    assert.equal((await b.copies()).held, 2 * MESSAGES);
    await waitFor(async () => (await b.copies()).held === MESSAGES, { what: 'the void copies to go', timeout: 30_000 });
    assert.deepEqual((await deliver(a)).toSorted(), ids.toSorted());
    assert.deepEqual([await queued(a), await queued(b)], [0, 0]);
  });

  test('void copies of a store whose disk is gone do not stay for ever', async () => {
    await using cluster = await site(['a5', 'b5']);
    const { a, b, pair } = cluster;
    await a[Symbol.asyncDispose]();
    await forge(cluster.site, pair, { generation: 7, state: 'closed', adopted: false, dropped: false });
    await using fresh = await cluster.site.router('a5', { disk: 'a5-new' });
    await waitFor(async () => (await b.copies()).held === 0, { what: 'the void copies to go', timeout: 40_000 });
    assert.deepEqual([(await b.copies()).takenOver, await queued(fresh)], [0, 0]);
  });

  test('void copies of a node that never comes back are told, and deleted when an operator says that it is gone', async () => {
    await using cluster = await site(['a6', 'b6']);
    const { a, b, pair } = cluster;
    const forget = async (node: string): Promise<number> =>
      (await b.router.service.handlers['copy-forget']({ node }, b.router.context())).count;
    await a[Symbol.asyncDispose]();
    await forge(cluster.site, pair, { generation: 7, state: 'closed', adopted: false, dropped: false });
    // Its node may be there yet.
    assert.equal((await b.copies()).void, undefined);
    assert.equal(await forget('a6'), 0);
    await waitFor(async () => (await b.copies()).void !== undefined, { what: 'the silence', timeout: 20_000 });
    assert.deepEqual((await b.copies()).void, [{ node: 'a6', copies: MESSAGES }]);
    assert.equal(await forget('b6'), 0);
    assert.equal((await b.copies()).held, MESSAGES);
    assert.equal(await forget('a6'), MESSAGES);
    const { held, takenOver, void: left } = await b.copies();
    assert.deepEqual([held, takenOver, left], [0, 0, undefined]);
  });

  test('a lease of version 2^53−1 takes nobody’s mail and stops nobody', async () => {
    await using cluster = await site(['a4', 'b4']);
    const { a, b } = cluster;
    const lease = leaseKey((await a.copies()).store);
    await forge(cluster.site, lease, { state: 'drained' }, Number.MAX_SAFE_INTEGER);
    const { renewed = 0 } = await a.copies();
    await waitFor(async () => ((await a.copies()).renewed ?? 0) > renewed + 4000, {
      what: 'renewals',
      timeout: 30_000,
    });
    assert.deepEqual([await queued(a), (await b.copies()).held, (await b.copies()).takenOver], [MESSAGES, MESSAGES, 0]);
    assert.equal((await a.copies()).lease, 'held');
  });
});
