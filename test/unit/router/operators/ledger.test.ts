import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { ledgerPage } from '#services/router/operators/ledger.ts';
import { keys, putJson, type Receipt, type RecipientRecord } from '#services/router/store/records.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import type { Origin, Outcome } from '#shared/mail/envelope.ts';
import { addTotal, type LedgerRequest, type LedgerRow, type LedgerTotal } from '#shared/mail/tls-ledger.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, LATER, OK, ORIGIN, settingsFor, TestRouter } from '#test/unit/router/fixture.ts';

/** The TLS ledger of one node (DOMINO T4). */

const HOUR = 3_600_000;
const START = Date.parse('2026-11-01T00:00:00Z');
const TLS = { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' };

type Protection = NonNullable<Outcome['protection']>;
const protection = (reached: Protection['reached'], more: Partial<Protection> = {}): Protection => ({
  wanted: 'opportunistic',
  by: 'default',
  reached,
  ...more,
});

function to(
  address: string,
  more: Partial<Outcome> = {},
  state: 'delivered' | 'failed' = 'delivered',
): RecipientRecord {
  const outcome = { at: START, host: 'mx.far.test [192.0.2.9]', reply: OK, ...more };
  return { recipient: { address }, status: { state, outcome }, nextHop: 'mx:far.test' };
}

type Mail = { arrived: number; recipients: RecipientRecord[]; origin?: Origin; reversePath?: string };

function receipt({ arrived, recipients, origin = ORIGIN, reversePath = 'a@Sender.test' }: Mail): Receipt {
  const ends = recipients.map(({ status }) => ('outcome' in status ? status.outcome.at : arrived));
  return { reversePath, origin, trace: 'T', arrived, finished: Math.max(arrived, ...ends), size: 1, recipients };
}

async function ledgerOf(...mails: Mail[]) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const store = await Store.open(dir.path, silentLogger);
  stack.defer(() => store.close());
  const ids = mails.map(({ arrived }) => newQueueId(arrived));
  const puts = mails.map((mail, n) => putJson(keys.receipt(ids[n] ?? ''), receipt(mail)));
  await store.write(puts);
  const deps = { settings: settingsFor(dir.path), store, log: silentLogger };
  const page = (request: Partial<LedgerRequest> = {}) => ledgerPage(deps, { limit: 500, ...request });
  const all = async (request: Partial<LedgerRequest>) => {
    const rows: LedgerRow[] = [];
    const totals = new Map<string, LedgerTotal>();
    let pages = 0;
    let unreadable = 0;
    for (let before: string | undefined; ; ) {
      const got = await page({ ...request, ...(before !== undefined && { before }) });
      pages++;
      rows.push(...got.rows);
      for (const total of got.totals) addTotal(totals, total);
      unreadable += got.unreadable;
      if (got.next === undefined) return { rows, totals, pages, unreadable };
      before = got.next;
    }
  };
  return { store, ids, page, all, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const encrypted = { tls: TLS, protection: protection('encrypted') };

test('T4 a row for the message that came, and one for each way that it left', async () => {
  const why = 'the host offers no TLS';
  const certificate = { name: true, chain: false, expires: START, problem: 'is signed by itself' };
  await using ledger = await ledgerOf({
    arrived: START,
    recipients: [
      to('b@Far.test', { tls: TLS, protection: protection('encrypted', { certificate }), at: START + 5 }),
      to('c@far.test', { tls: TLS, protection: protection('encrypted', { certificate }), at: START + 7 }),
      to('d@other.test', { protection: protection('clear', { wanted: 'required', by: 'message', why }) }, 'failed'),
      { ...to('e@local.test', { host: 'maildir' }), nextHop: 'maildir:/mail' },
    ],
  });
  const { rows, totals, unreadable } = await ledger.page();
  assert.deepEqual(
    rows.map((row) => [row.direction, row.domain, row.recipients, row.state, row.reached, row.wanted, row.by, row.at]),
    [
      ['in', 'sender.test', 4, 'received', 'clear', undefined, undefined, START],
      ['out', 'far.test', 2, 'delivered', 'encrypted', 'opportunistic', 'default', START + 7],
      ['out', 'other.test', 1, 'failed', 'clear', 'required', 'message', START],
    ],
  );
  assert.deepEqual(rows[1]?.certificate, certificate);
  assert.equal(rows[2]?.why, why);
  assert.equal(unreadable, 0);
  assert.deepEqual(
    totals.map(({ direction, domain, clear, encrypted, undelivered }) => [
      direction,
      domain,
      clear,
      encrypted,
      undelivered,
    ]),
    [
      ['in', 'sender.test', 1, 0, 0],
      ['out', 'far.test', 0, 1, 0],
      ['out', 'other.test', 0, 0, 1],
    ],
  );
});

test('T4 what was written before this was noted', async () => {
  const dane = { tls: { ...TLS, verified: 'dane-ee' as const } };
  await using ledger = await ledgerOf({
    arrived: START,
    recipients: [to('a@a.test', { tls: TLS }), to('b@b.test', dane), to('c@c.test'), to('d@d.test', {}, 'failed')],
  });
  const { rows } = await ledger.page({ direction: 'out' });
  assert.deepEqual(
    rows.map(({ domain, reached, wanted }) => [domain, reached, wanted]),
    [
      ['a.test', 'encrypted', undefined],
      ['b.test', 'verified', undefined],
      ['c.test', 'clear', undefined],
    ],
  );
});

test('T4 a client: its name, user and certificate; not our own notices', async () => {
  const certificate = { subject: 'branch', fingerprint: 'ab', verified: true, names: ['b.test'], expires: START };
  const client = { address: '192.0.2.1', name: 'b.test', helo: 'helo.test' };
  await using ledger = await ledgerOf(
    { arrived: START, recipients: [], origin: { ...ORIGIN, client, user: 'alice', tls: { ...TLS, certificate } } },
    { arrived: START + 1, recipients: [], origin: { ...ORIGIN, kind: 'internal' } },
    { arrived: START + 2, recipients: [], reversePath: '', origin: { ...ORIGIN, tls: TLS } },
  );
  const { rows } = await ledger.page();
  assert.equal(rows.length, 2);
  assert.deepEqual([rows[0]?.domain, rows[0]?.reached], ['', 'encrypted'], 'the newest first');
  const { peer, helo, user, reached, certificate: shown } = rows[1] ?? {};
  assert.deepEqual([peer, helo, user, reached], ['b.test [192.0.2.1]', 'helo.test', 'alice', 'verified']);
  assert.deepEqual(shown, { subject: 'branch', fingerprint: 'ab', chain: true, expires: START });
  assert.equal((await ledger.page({ domain: 'b.test' })).rows.length, 1, 'by the name of the client');
});

test('T4 selections', async () => {
  await using ledger = await ledgerOf(
    { arrived: START, recipients: [to('b@old.test', { ...encrypted, at: START + 5 * HOUR })] },
    { arrived: START + HOUR, recipients: [to('b@sub.far.test', { ...encrypted, at: START + HOUR })] },
    {
      arrived: START + 6 * HOUR,
      recipients: [to('b@notfar.test', { protection: protection('clear'), at: START + 6 * HOUR })],
    },
  );
  const domains = async (request: Partial<LedgerRequest>) =>
    (await ledger.all(request)).rows.map(({ direction, domain }) => `${direction} ${domain}`);
  assert.deepEqual(await domains({ direction: 'out' }), ['out notfar.test', 'out sub.far.test', 'out old.test']);
  assert.deepEqual(await domains({ domain: 'FAR.test' }), ['out sub.far.test']);
  // It arrived before and left since then.
  assert.deepEqual(await domains({ since: START + 4 * HOUR }), ['in sender.test', 'out notfar.test', 'out old.test']);
  assert.deepEqual(await domains({ direction: 'out', weakerThan: 'encrypted' }), ['out notfar.test']);
  const { rows, totals } = await ledger.all({ direction: 'out', limit: 0 });
  assert.deepEqual([rows.length, totals.size], [0, 3]);
});

test('T4 pages of any size have the same rows, each once, and fit a message of the bus', async () => {
  const why = 'x'.repeat(1000);
  const many = Array.from({ length: 2000 }, (_, i) => to(`b@d${i}.test`, { protection: protection('clear', { why }) }));
  const mails = Array.from({ length: 30 }, (_, n) => ({
    arrived: START + n,
    recipients: n === 11 ? many : [to('b@far.test', encrypted)],
  }));
  await using ledger = await ledgerOf(...mails);
  const whole = await ledger.all({});
  assert.equal(whole.rows.length, 30 + 29 + 2000);
  assert.ok(whole.pages > 3, 'one message is more than a page');
  assert.deepEqual((await ledger.all({ limit: 50 })).rows, whole.rows);
  assert.deepEqual((await ledger.all({ limit: 90 })).totals, whole.totals);
  const { rows } = await ledger.page();
  assert.ok(JSON.stringify(rows).length < 512 * 1024);
});

test('T4 a damaged receipt is counted, and hides no other', async () => {
  const mail = { recipients: [to('b@far.test', encrypted)] };
  await using ledger = await ledgerOf({ arrived: START, ...mail }, { arrived: START + 1, ...mail });
  await ledger.store.write([{ type: 'put', key: keys.receipt(ledger.ids[1] ?? ''), value: Buffer.from('damaged') }]);
  for (const since of [undefined, START + HOUR]) {
    const found = await ledger.all({ ...(since !== undefined && { since }) });
    assert.deepEqual([found.rows.length, found.unreadable], [since === undefined ? 2 : 0, 1]);
  }
});

test('T4 mail in the queue, and mail that left it, are each there once', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const id = await router.send({ envelope: envelope(['a@one.test', 'b@two.test']) });
  const job = await router.delivery.next();
  const why = 'the handshake failed';
  await job.end('deferred', LATER, { outcome: { at: 5, reply: LATER, protection: protection('clear', { why }) } });
  const page = await router.service.handlers['ledger-list']({ limit: 100 }, router.context());
  assert.ok(page.rows.every(({ queueId }) => queueId === id));
  const [came, ...left] = page.rows;
  assert.deepEqual([came?.direction, came?.recipients], ['in', 2]);
  assert.ok(left.length > 0 && left.every((row) => row.state === 'deferred' && row.why === why));
});
