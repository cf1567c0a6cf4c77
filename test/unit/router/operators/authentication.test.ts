import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { authenticationPage } from '#services/router/operators/authentication.ts';
import { loadedMessage, messageRecords } from '#services/router/store/message.ts';
import { keys, putJson, type Receipt } from '#services/router/store/records.ts';
import { newQueueId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import {
  type AuthenticationRequest,
  type AuthenticationTotal,
  sumOfCounts,
} from '#shared/mail/reports/authentication-totals.ts';
import { tempDir } from '#test/kit/temp.ts';
import { OK, ORIGIN } from '#test/unit/router/fixture.ts';

/** What was found out about the mail of one node, added up. */

const HOUR = 3_600_000;
const START = Date.parse('2026-11-01T00:00:00Z');

type Mail = {
  at?: number;
  source?: string;
  from?: string;
  reversePath?: string;
  to?: string;
  spf?: Authenticity['spf']['result'];
  dkim?: Authenticity['dkim'][number]['result'][];
  dmarc?: Authenticity['dmarc']['result'];
  disposition?: Authenticity['dmarc']['disposition'];
  /** It originates inside: nothing was checked. */
  inside?: boolean;
  queued?: boolean;
};

function found({ from = 'sender.test', spf = 'pass', dkim = [], dmarc = 'pass', disposition = 'none' }: Mail) {
  const authenticity: Authenticity = {
    spf: { result: spf, scope: 'mfrom', domain: 'bounces.sender.test' },
    dkim: dkim.map((result) => ({ result, domain: from, selector: 's1', aligned: true })),
    arc: { result: 'none', sets: 0 },
    dmarc: {
      ...{ result: dmarc, dkimAligned: false, spfAligned: true, disposition },
      ...(from !== '' && { from }),
    },
  };
  return authenticity;
}

function operationsOf(mail: Mail): StoreOperation[] {
  const { at = START, source = '192.0.2.1', reversePath = 'a@sender.test', to = 'b@here.test' } = mail;
  const id = newQueueId(at);
  const origin = { ...ORIGIN, client: { ...ORIGIN.client, address: source } };
  const authenticity = mail.inside === true ? undefined : found(mail);
  const fields = { reversePath, origin, trace: 'T', arrived: at, junk: false, authenticity };
  if (mail.queued !== true) {
    const status = { state: 'delivered' as const, outcome: { at, reply: OK } };
    const receipt: Receipt = { ...fields, finished: at, size: 1, recipients: [{ recipient: { address: to }, status }] };
    return [putJson(keys.receipt(id), receipt)];
  }
  const facts = { headerBytes: 100, size: 2000, bodyHash: '', eightBitBody: false, eightBitHeader: false };
  const record = {
    ...{ ...fields, facts, smtpUtf8: false, prepend: '', originating: false, chunks: [2000], recipients: 1 },
    ...{ held: false, delayNoticed: false },
  };
  return messageRecords(loadedMessage(id, record, [{ recipient: { address: to }, status: { state: 'waiting' } }]));
}

async function storeWith(...mails: Mail[]) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const store = await Store.open(dir.path, silentLogger);
  stack.defer(() => store.close());
  await store.write(mails.flatMap(operationsOf));
  const all = async (request: Partial<AuthenticationRequest> = {}) => {
    const totals = new Map<string, AuthenticationTotal>();
    let [pages, unreadable] = [0, 0];
    for (let below: string | undefined; ; ) {
      const page = await authenticationPage({ store, log: silentLogger }, { since: 0, ...request, below });
      pages++;
      unreadable += page.unreadable;
      for (const total of page.totals) {
        const key = `${total.domain} ${total.source}`;
        const known = totals.get(key);
        totals.set(key, known === undefined ? total : { ...total, ...sumOfCounts(known, total) });
      }
      if (page.next === undefined) return { totals, pages, unreadable };
      below = page.next;
    }
  };
  return { store, all, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const NONE = { spfPass: 0, spfFail: 0, dkimPass: 0, dkimFail: 0, dmarcPass: 0, dmarcFail: 0, quarantine: 0 };

test('results are added up by domain and client, of receipts and of the queue', async () => {
  await using node = await storeWith(
    { spf: 'pass', dkim: ['fail', 'pass'] },
    { spf: 'softfail', dkim: ['fail', 'permerror'], dmarc: 'fail', disposition: 'quarantine', at: START + 5 },
    { spf: 'none', dmarc: 'none', queued: true, at: START + 7 },
    { source: '192.0.2.2', spf: 'fail', dmarc: 'temperror' },
    { from: 'Other.test', queued: true },
    { inside: true },
    { inside: true, queued: true },
  );
  const { totals, unreadable } = await node.all();
  assert.equal(unreadable, 0);
  assert.deepEqual(Object.fromEntries(totals), {
    'sender.test 192.0.2.1': {
      ...{ domain: 'sender.test', source: '192.0.2.1', messages: 3, spfPass: 1, spfFail: 1, dkimPass: 1, dkimFail: 1 },
      ...{ dmarcPass: 1, dmarcFail: 1, quarantine: 1, last: START + 7 },
    },
    'sender.test 192.0.2.2': {
      ...{ ...NONE, domain: 'sender.test', source: '192.0.2.2', messages: 1, spfFail: 1, last: START },
    },
    'other.test 192.0.2.1': {
      ...{ ...NONE, domain: 'other.test', source: '192.0.2.1', messages: 1, spfPass: 1, dmarcPass: 1, last: START },
    },
  });
});

test('mail without one author is that of the domain which SPF was asked about', async () => {
  await using node = await storeWith({ from: '', dmarc: 'permerror' });
  assert.deepEqual([...(await node.all()).totals.keys()], ['bounces.sender.test 192.0.2.1']);
});

test('only what arrived since then', async () => {
  await using node = await storeWith({ at: START }, { at: START + HOUR }, { at: START + 2 * HOUR, queued: true });
  const messages = async (since: number) =>
    [...(await node.all({ since })).totals.values()].reduce((sum, one) => sum + one.messages, 0);
  assert.equal(await messages(START), 3);
  assert.equal(await messages(START + 1), 2);
  assert.equal(await messages(START + 2 * HOUR), 1);
  assert.equal(await messages(START + 3 * HOUR), 0);
});

test('domains see mail in their name and mail to their recipients, and none of a domain below', async () => {
  await using node = await storeWith(
    { from: 'mine.test', to: 'x@elsewhere.test' },
    { from: 'a.test', reversePath: 'list@mine.test', to: 'x@elsewhere.test' },
    { from: 'b.test', to: 'bob@mine.test' },
    { from: 'c.test', to: 'bob@Mine.test', queued: true },
    { from: 'd.test', to: 'bob@sub.mine.test', queued: true },
    { from: 'e.test', to: 'bob@elsewhere.test' },
    { from: 'sub.mine.test', to: 'bob@elsewhere.test' },
  );
  const { totals } = await node.all({ domains: ['mine.test'] });
  assert.deepEqual([...totals.values()].map(({ domain }) => domain).toSorted(), [
    'a.test',
    'b.test',
    'c.test',
    'mine.test',
  ]);
});

test('a page has so many different sources, and the next goes on after it', async () => {
  const mails = Array.from({ length: 2500 }, (_, n) => ({ from: `d${n}.test`, at: START + n, queued: n % 2 === 0 }));
  await using node = await storeWith(...mails);
  const { totals, pages } = await node.all();
  assert.equal(totals.size, 2500);
  assert.ok([...totals.values()].every(({ messages }) => messages === 1));
  assert.ok(pages >= 3, `${pages} pages`);
});

test('a damaged record is counted as one, and the rest goes on', async () => {
  await using node = await storeWith({ at: START + 1 });
  const sealed = putJson(keys.receipt(newQueueId(START)), { authenticity: 1 });
  await node.store.write([sealed]);
  const { totals, unreadable } = await node.all();
  assert.equal(unreadable, 1);
  assert.equal(totals.size, 1);
});
