import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entries, type TlsKey } from '#services/router/tls-memory/entries.ts';
import type { TlsRecord } from '#shared/mail/tls-memory.ts';

const NOW = Date.UTC(2036, 0, 1);
const DAY_MS = 86_400_000;
const domain = (at: number, reached?: 'encrypted' | 'verified', name = 'd.test'): TlsRecord => ({
  ...{ kind: 'domain', name, at },
  ...(reached !== undefined && { reached }),
});
const policy = (at: number, { id = '1', used = at, maxAge = 604_800, mx = 'mx.test' } = {}, name = 'd.test') =>
  ({
    ...{ kind: 'policy', name, at },
    policy: { id, used, lines: ['version: STSv1', 'mode: enforce', `mx: ${mx}`, `max_age: ${maxAge}`] },
  }) satisfies TlsRecord;

/** Entries that have learned records in this order, at `NOW`. */
function learned(...records: TlsRecord[]): Entries {
  const entries = new Entries();
  for (const record of records) entries.learn(record, NOW);
  return entries;
}

const WAYS: [name: string, records: TlsRecord[], counts: TlsRecord][] = [
  ['the later', [domain(1e12, 'encrypted'), domain(2e12, 'verified')], domain(2e12, 'verified')],
  ['what is forgotten', [domain(1e12, 'encrypted'), domain(2e12)], domain(2e12)],
  ['what is learned after it was forgotten', [domain(1e12), domain(2e12, 'verified')], domain(2e12, 'verified')],
  ['what is forgotten in the same moment', [domain(2e12), domain(2e12, 'verified')], domain(2e12)],
  ['the later policy, whenever the other was used', [policy(2e12), policy(1e12, { used: NOW })], policy(2e12)],
  ['the later use of one policy', [policy(2e12, { used: 1 }), policy(2e12, { used: 2 })], policy(2e12, { used: 2 })],
];

for (const [name, records, counts] of WAYS) {
  test(`of two records ${name} counts, whichever comes first`, () => {
    const shifted = (record: TlsRecord): TlsRecord => ({ ...record, at: NOW - (2e12 - record.at) / 1e6 });
    for (const order of [records, records.toReversed()]) {
      const entries = learned(...order.map(shifted));
      assert.deepEqual(entries.get(counts.kind, 'd.test'), shifted(counts));
    }
  });
}

test('a record of a time to come counts as of now', () => {
  const entries = learned(domain(NOW + 10 * DAY_MS, 'verified'));
  assert.equal(entries.get('domain', 'd.test')?.at, NOW);
  assert.equal(entries.learn(domain(NOW + 1, 'encrypted'), NOW + 1).news, true);
});

test('what was learned 90 days ago is forgotten, a policy when its time is over', () => {
  const year = policy(NOW - 100 * DAY_MS, { maxAge: 365 * 86_400 }, 'year.test');
  const entries = learned(
    domain(NOW - 89 * DAY_MS, 'verified'),
    domain(NOW - 90 * DAY_MS, 'verified', 'old.test'),
    year,
  );
  assert.equal(entries.learn(policy(NOW - 8 * DAY_MS), NOW).news, false, 'it is over');
  entries.learn(policy(NOW - 6 * DAY_MS), NOW);
  assert.equal(entries.size, 3);
  assert.deepEqual(entries.expire(NOW + DAY_MS), ['domain!d.test', 'policy!d.test']);
  assert.equal(entries.policy('year.test')?.file.mx[0], 'mx.test');
});

test('a policy that is not one is told and not kept', () => {
  const broken = { ...policy(NOW), policy: { id: '1', used: NOW, lines: ['mode: enforce'] } };
  const entries = new Entries();
  assert.match(entries.learn(broken, NOW).problem ?? '', /version/);
  assert.equal(entries.size, 0);
});

test('what was learned longest ago makes room, among records of its kind', () => {
  const entries = new Entries({
    domain: { records: 2, bytes: Number.POSITIVE_INFINITY },
    host: { records: 2, bytes: Number.POSITIVE_INFINITY },
    policy: { records: 1000, bytes: 100_000 },
  });
  const gone: TlsKey[] = [];
  const learn = (record: TlsRecord): void => void gone.push(...entries.learn(record, NOW).gone);
  learn(policy(NOW, {}, 'first.test'));
  for (const name of ['a', 'b', 'a', 'c']) learn(domain(NOW - 10 + gone.length, 'verified', name));
  assert.deepEqual(gone, ['domain!a']);
  for (let n = 0; n < 250; n++) learn(policy(NOW, { mx: `${'x'.repeat(60)}.test` }, `p${n}.test`));
  assert.ok(entries.policy('first.test') === undefined, 'policies by their bytes');
  assert.ok(entries.policy('p249.test') !== undefined);
  assert.equal(entries.get('domain', 'c')?.reached, 'verified');
});

test('policies of the many subdomains of one domain push out no others', () => {
  const mx = Array.from({ length: 100 }, (_, n) => `${'x'.repeat(60)}.${'y'.repeat(60)}.${'z'.repeat(60)}.m${n}.test`);
  const lines = ['version: STSv1', 'mode: enforce', ...mx.map((name) => `mx: ${name}`), 'max_age: 604800'];
  const entries = learned(policy(NOW, {}, 'good.co.uk'), policy(NOW, {}, 'other.co.uk'));
  const gone = Array.from({ length: 1000 }, (_, n) => {
    const record = { ...policy(NOW, {}, `s${n}.t${n}.evil.co.uk`), policy: { id: '1', used: NOW, lines } };
    return entries.learn(record, NOW).gone;
  }).flat();
  assert.ok(gone.length > 400, 'so many that they do not all have room');
  assert.ok(gone.every((key) => key.endsWith('.evil.co.uk')));
  assert.equal(gone[0], 'policy!s0.t0.evil.co.uk');
});

test('policies that nothing is enforced by make room first', () => {
  const mode = (word: string, name: string): TlsRecord => {
    const record = policy(NOW, {}, name);
    const lines = record.policy.lines.map((line) => line.replace('enforce', word));
    return { ...record, policy: { ...record.policy, lines } };
  };
  const entries = new Entries({
    ...{ domain: { records: 1, bytes: 1 }, host: { records: 1, bytes: 1 } },
    policy: { records: 200, bytes: 1_000_000 },
  });
  for (const record of [mode('enforce', 'a.test'), mode('testing', 'b.test'), mode('none', 'c.test')])
    entries.learn(record, NOW);
  const gone = Array.from({ length: 200 }, (_, n) => entries.learn(mode('enforce', `p${n}.test`), NOW).gone).flat();
  assert.deepEqual(gone, ['policy!b.test', 'policy!c.test', 'policy!a.test']);
});

test('all records of a full memory are learned within seconds', () => {
  const entries = new Entries();
  const began = performance.now();
  for (let n = 0; n < 120_000; n++) entries.learn(domain(NOW - n, 'encrypted', `d${n}.test`), NOW);
  assert.equal(entries.size, 100_000);
  assert.ok(performance.now() - began < 5000);
});
