import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { DnsViews } from '#services/credential-store/dns/views.ts';
import type { KeyRecord } from '#services/credential-store/records/domain-record.ts';
import { dkimRecordValue, revokedRecordValue } from '#shared/dkim/record.ts';
import { SealpostError } from '#shared/errors.ts';
import { answerTo, FakeDns, type Handler, txt } from '#test/kit/dns/fake-dns.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { waitFor } from '#test/kit/wait.ts';
import { domainOf, keyUnder, MemoryRecords, nekOf } from '#test/unit/credential-store/neks/fixture.ts';

const DOMAIN = 'example.com';
const NONE = { by: 'none' as const };
const nek = nekOf('edge');
const keyOf = (selector: string): KeyRecord => keyUnder(nek, DOMAIN, selector);
/** A name server that has the same record for every key, and none under other names. */
const saying = (...texts: string[]): Handler => {
  return (query) => {
    const name = query.questions[0]?.name ?? '';
    return answerTo(
      query,
      texts.length === 0 || !/^s\d+\./.test(name) ? { rcode: 3 } : { answers: texts.map((text) => txt(name, text)) },
    );
  };
};

/** The views of a node that has these keys, of one name server. */
async function setUp(keys: KeyRecord[]) {
  const dns = await FakeDns.start(saying(dkimRecordValue(keyOf('any'))));
  const zones = [{ name: DOMAIN, servers: [dns.server] }];
  const settings = new Settings(ConfigSchema.parse({ node: { name: 'edge-1' }, dns: { timeout: '2s', zones } }));
  const records = new MemoryRecords();
  records.putDomain(domainOf(DOMAIN, ...keys));
  const { log, lines } = logLines();
  const views = new DnsViews(settings, records, log);
  const stop = (): Promise<void> => {
    views.stop();
    return dns[Symbol.asyncDispose]();
  };
  return { dns, records, views, lines, [Symbol.asyncDispose]: stop };
}

test('a refresh looks at 8 records concurrently, and none begins while another one runs', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const keys = Array.from({ length: 20 }, (_, i) => keyOf(`s${i}`));
  await using state = await setUp([...keys, { ...keyOf('unpublished'), publication: NONE }]);
  const { dns, views } = state;
  const answer = dns.handler;
  const asked = new Set<string>();
  const waiting = new Map<string, () => void>();
  dns.handler = async (query) => {
    const name = query.questions[0]?.name ?? '';
    asked.add(name);
    await new Promise<void>((resolve) => waiting.set(name, resolve));
    return answer(query);
  };
  const letGo = (count: number): void => {
    for (const [name, go] of [...waiting].slice(0, count)) {
      waiting.delete(name);
      go();
    }
  };
  views.start();
  await waitFor(() => waiting.size === 8, { what: 'eight questions' });
  // Five minutes later the first ones are still not answered.
  t.mock.timers.tick(5 * 60_000);
  t.mock.timers.tick(5 * 60_000);
  letGo(1);
  await waitFor(() => asked.size === 9, { what: 'the ninth in its turn' });
  assert.deepEqual([asked.size, waiting.size], [9, 8]);
  await waitFor(
    () => {
      letGo(20);
      return keys.every((key) => views.last(DOMAIN, key)?.verdict === 'ok');
    },
    { what: 'every record to be looked at' },
  );
  assert.equal(asked.size, 20);
  assert.equal(dns.queries.length, 20);

  // The next one asks again.
  dns.handler = answer;
  t.mock.timers.tick(5 * 60_000);
  await waitFor(() => dns.queries.length === 40, { what: 'another refresh' });
});

test('a refresh looks at keys as they are in their turn, forgets those that are gone, and ends with the service', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const keys = Array.from({ length: 20 }, (_, i) => keyOf(`s${i}`));
  await using state = await setUp(keys);
  const { dns, records, views } = state;
  views.start();
  await waitFor(() => keys.every((key) => views.last(DOMAIN, key)), { what: 'every record to be looked at' });
  const [first, second, ...others] = keys as [KeyRecord, KeyRecord, ...KeyRecord[]];
  const { wrapped, ...erased } = first;
  const retired: KeyRecord = { ...erased, state: 'retired' };
  records.putDomain(domainOf(DOMAIN, retired, ...others));
  // What it said of the active key says nothing of the retired one.
  assert.equal(views.last(DOMAIN, retired), undefined);
  t.mock.timers.tick(5 * 60_000);
  await waitFor(() => views.last(DOMAIN, retired)?.verdict === 'different', {
    what: 'the retired key to be looked at',
  });
  await waitFor(() => views.last(DOMAIN, second) === undefined, { what: 'the other one to be forgotten' });

  dns.handler = () => undefined;
  dns.queries.length = 0;
  t.mock.timers.tick(5 * 60_000);
  await waitFor(() => dns.queries.length >= 8, { what: 'the first questions' });
  views.stop();
  const [asked] = dns.queries;
  assert.ok(asked);
  await waitFor(() => views.last(DOMAIN, others[5] as KeyRecord)?.verdict === 'unreachable', {
    what: 'no answer',
    timeout: 10_000,
  });
  const names = new Set(dns.queries.map((q) => q.questions[0]?.name));
  assert.equal(names.size, 8);
});

test('a wrong record of a signing key is logged when it begins and when it ends', async () => {
  const key = keyOf('s1');
  await using state = await setUp([key]);
  const { dns, views, lines } = state;
  const steps: [Handler, string, string[]][] = [
    [saying(dkimRecordValue(key)), 'ok', []],
    [saying(), 'missing', ['error']],
    [saying(), 'missing', []],
    [saying(revokedRecordValue(key)), 'different', ['error']],
    [saying(dkimRecordValue(key), dkimRecordValue(key)), 'duplicate', ['error']],
    [saying(dkimRecordValue(key)), 'ok', ['info']],
    // Then nothing is known of the record.
    [(query) => answerTo(query, { rcode: 2 }), 'error', ['warn']],
    [saying(dkimRecordValue(key)), 'ok', ['info']],
  ];
  for (const [handler, verdict, levels] of steps) {
    dns.handler = handler;
    const before = lines().length;
    const view = await views.look(DOMAIN, key);
    assert.deepEqual([view.verdict, view.node], [verdict, 'edge-1']);
    const said = lines().slice(before);
    assert.deepEqual(
      said.map((l) => l.level),
      levels,
      `${verdict}: ${JSON.stringify(said)}`,
    );
  }
  // The record of a key that does not sign yet is not reported.
  dns.handler = saying();
  const before = lines().length;
  await views.look(DOMAIN, { ...key, state: 'proven' });
  assert.equal(lines().length, before);
});

test('a compromised key that comes back after its revocation is logged once', async () => {
  const { wrapped, ...key } = keyOf('s1');
  const revoked: KeyRecord = { ...key, state: 'revoked', signed: true, compromised: true };
  await using state = await setUp([revoked]);
  const { dns, views, lines } = state;
  for (const [handler, levels] of [
    [saying(revokedRecordValue(key)), []],
    [saying(dkimRecordValue(key)), ['error']],
    [saying(dkimRecordValue(key)), []],
    [saying(), []],
  ] as [Handler, string[]][]) {
    dns.handler = handler;
    const before = lines().length;
    await views.look(DOMAIN, revoked);
    assert.deepEqual(
      lines()
        .slice(before)
        .map((l) => l.level),
      levels,
    );
  }
});

test('a key that is not in DNS is not looked at', async () => {
  const key = { ...keyOf('s1'), publication: NONE };
  await using state = await setUp([key]);
  await assert.rejects(
    state.views.look(DOMAIN, key),
    (error) => error instanceof SealpostError && error.code === 'not-in-dns',
  );
  assert.deepEqual(state.dns.queries, []);
  assert.equal(state.views.last(DOMAIN, key), undefined);
});
