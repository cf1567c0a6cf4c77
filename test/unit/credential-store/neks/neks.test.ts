import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertCurrent, checkNeks } from '#services/credential-store/neks/nek-check.ts';
import { Neks } from '#services/credential-store/neks/neks.ts';
import { describeNek, type Nek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { domainOf, holder, keyUnder, MemoryRecords, nekOf, openAll } from './fixture.ts';

const [old, next, lost] = ['old', 'next', 'lost'].map(nekOf) as [Nek, Nek, Nek];

/** One node, edge-1, with these NEKs; `live` are the holders that it hears. */
function setUp(configured: Nek[], live?: Holder[] | undefined) {
  const records = new MemoryRecords();
  const node = { configured, live: live ?? [holder('edge-1', 'credential-store', configured)] } as {
    configured: Nek[] | Error;
    live: Holder[] | undefined;
  };
  const { log, lines } = logLines();
  const neks = new Neks({
    node: 'edge-1',
    log,
    records,
    configured: async () => {
      if (node.configured instanceof Error) throw node.configured;
      return node.configured;
    },
    live: () => node.live,
    directory: { wrappedBy: () => 0, without: () => 0, readers: () => [] },
  });
  return { records, node, neks, log, lines };
}

const fails = (code: string, ...texts: (RegExp | string)[]) => {
  return (error: unknown): boolean => {
    assert.ok(error instanceof SealpostError, String(error));
    assert.equal(error.code, code, error.message);
    for (const text of texts) {
      if (typeof text === 'string') assert.ok(error.message.includes(text), `${error.message} does not say ${text}`);
      else assert.match(error.message, text);
    }
    return true;
  };
};

test('the first key of a store begins it with the one NEK that is configured', async () => {
  const { neks, records } = setUp([old]);
  assert.deepEqual(neks.statuses(), []);
  assert.equal(await neks.current(), old);
  assert.equal(records.neks()?.current, old.fingerprint);
  assert.equal(await neks.current(), old);
  assert.equal(records.writes, 1);
});

test('of several NEKs an administrator must choose the first one, once', async () => {
  const { neks } = setUp([old, next]);
  await assert.rejects(neks.current(), fails('no-nek', describeNek(old), describeNek(next), /create credstore/));
  await assert.rejects(neks.use('absent'), fails('no-nek', /no NEK absent/, describeNek(old)));
  const status = await neks.use('next');
  assert.deepEqual([status.name, status.current, status.keys], ['next', true, 0]);
  assert.equal(await neks.current(), next);
  for (const name of ['next', 'old']) await assert.rejects(neks.use(name), fails('exists', describeNek(next)));
});

test('two nodes that initialize the store concurrently with different NEKs agree on one', async () => {
  const { neks, records } = setUp([old]);
  records.rival = () =>
    records.put('neks', {
      kind: 'neks',
      neks: [{ name: 'next', fingerprint: next.fingerprint, since: 1 }],
      current: next.fingerprint,
    });
  await assert.rejects(neks.current(), fails('nek-mismatch', describeNek(next), describeNek(old)));
  assert.equal(records.neks()?.current, next.fingerprint);
});

test('without a NEK, or with one that cannot be read, no key is made, and it is said why', async () => {
  const { neks, node } = setUp([]);
  await assert.rejects(neks.current(), fails('no-nek', /none is configured.*credentials\.nek/));
  node.configured = new SealpostError('secret-missing', 'file /x does not exist');
  await assert.rejects(neks.current(), fails('no-nek', /file \/x does not exist/));
});

test('a store with a current NEK that is not configured makes no key and names both', async () => {
  const { neks, node } = setUp([old]);
  await neks.current();
  node.configured = [next];
  await assert.rejects(neks.current(), fails('nek-mismatch', describeNek(old), describeNek(next), /credentials\.nek/));
});

test('a store is never initialized beside keys that this node cannot open', async () => {
  const { neks, records } = setUp([old]);
  records.putDomain(domainOf('a.example', keyUnder(lost, 'a.example', 's1')));
  await assert.rejects(neks.current(), fails('nek-mismatch', describeNek(lost), /wraps 1 key/));
  await assert.rejects(neks.use('old'), fails('nek-mismatch', describeNek(lost)));
  assert.equal(records.neks(), undefined);
});

test('a rotation re-wraps every key, and then the old NEK can be deleted', async () => {
  const { neks, records } = setUp([old, next]);
  await neks.use('old');
  for (const domain of ['a.example', 'b.example']) {
    records.putDomain(
      domainOf(domain, keyUnder(old, domain, 's1'), keyUnder(undefined, domain, 's2'), keyUnder(old, domain, 's3')),
    );
  }
  await assert.rejects(neks.delete('old'), fails('in-use', /is the current one and wraps 4 keys/));
  const { nek, rewrapped } = await neks.rotate('next');
  assert.equal(rewrapped, 4);
  assert.deepEqual([nek.name, nek.current, nek.keys, nek.having], ['next', true, 4, ['edge-1']]);
  assert.equal(openAll(records, [next]), 4);
  assert.deepEqual(
    neks.statuses().map((n) => [n.name, n.current, n.keys]),
    [
      ['old', false, 0],
      ['next', true, 4],
    ],
  );
  assert.equal((await neks.rotate('next')).rewrapped, 0);
  await assert.rejects(neks.delete('next'), fails('in-use'));
  await neks.delete('old');
  await assert.rejects(neks.delete('old'), fails('not-found', describeNek(next)));
  assert.equal(neks.statuses().length, 1);
});

test('a NEK that a live node lacks does not become current; the nodes are named', async () => {
  const { neks, records, node } = setUp([old, next]);
  await neks.use('old');
  node.live = [
    holder('edge-1', 'credential-store', [old, next]),
    holder('edge-1', 'signer', [old, next]),
    holder('edge-2', 'credential-store', [old, next]),
    holder('edge-2', 'signer', [old]),
    holder('edge-3', 'signer', [old]),
  ];
  await assert.rejects(neks.rotate('next'), fails('nek-missing-on-node', describeNek(next), /of edge-2, edge-3:/));
  assert.equal(records.neks()?.current, old.fingerprint);
  const [status] = neks.statuses();
  assert.deepEqual([status?.having, status?.lacking], [['edge-1', 'edge-2', 'edge-3'], []]);
  node.live = undefined;
  await assert.rejects(neks.rotate('next'), fails('no-quorum', /try again/));
});

const REFUSED: [string, string, Nek[], string, RegExp][] = [
  ['to one that is not configured', 'lost', [old, next], 'no-nek', /no NEK lost/],
  ['without the old one', 'next', [next], 'nek-mismatch', /old \([0-9a-f]{16}\), the current one, wraps 1 key; this/],
  ['to another one of the same name', 'old', [nekOf('old')], 'nek-mismatch', /needs NEK old/],
];

for (const [what, name, configured, code, text] of REFUSED) {
  test(`a rotation is refused: ${what}`, async () => {
    const { neks, records, node } = setUp([old]);
    await neks.current();
    records.putDomain(domainOf('a.example', keyUnder(old, 'a.example', 's1')));
    const { writes } = records;
    node.configured = configured;
    node.live = [holder('edge-1', 'credential-store', configured)];
    await assert.rejects(neks.rotate(name), fails(code, text));
    assert.equal(records.writes, writes);
  });
}

test('a NEK does not take the name of one that is remembered', async () => {
  const { neks, node } = setUp([old, next]);
  await neks.use('old');
  await neks.rotate('next');
  const namesake = nekOf('old');
  node.configured = [next, namesake];
  node.live = [holder('edge-1', 'signer', node.configured)];
  await assert.rejects(neks.rotate('old'), fails('nek-mismatch', describeNek(old), /new name/));
});

test('a damaged key stays as it is, is reported once, and keeps its NEK from being deleted', async () => {
  const { neks, records, lines } = setUp([old, next]);
  await neks.use('old');
  const damaged = { ...keyUnder(old, 'a.example', 's1'), selector: 's2' };
  records.putDomain(domainOf('a.example', damaged, keyUnder(old, 'a.example', 's3')));
  assert.equal((await neks.rotate('next')).rewrapped, 1);
  await neks.resume();
  assert.deepEqual(records.get('a.example')?.keys[0], damaged);
  const errors = lines().filter((l) => l.level === 'error');
  assert.deepEqual(
    errors.map((l) => [l['domain'], l['selector']]),
    [['a.example', 's2']],
  );
  await assert.rejects(neks.delete('old'), fails('in-use', /wraps 1 key:/));
});

test('a key that another node changes meanwhile keeps the change', async () => {
  const { neks, records } = setUp([old, next]);
  await neks.use('old');
  const key = keyUnder(old, 'a.example', 's1');
  records.putDomain(domainOf('a.example', key));
  await neks.rotate('next');
  records.putDomain(domainOf('a.example', key));
  records.rival = () => records.putDomain(domainOf('a.example', { ...key, state: 'retiring', until: 7 }));
  await neks.resume();
  const [after] = records.get('a.example')?.keys ?? [];
  assert.deepEqual([after?.state, after?.until, after?.wrapped?.nek], ['retiring', 7, 'next']);
});

test('what is left is done by the first live node that has all the NEKs it takes', async () => {
  const { neks, records, node } = setUp([old, next]);
  await neks.use('old');
  await neks.rotate('next');
  records.putDomain(domainOf('a.example', keyUnder(old, 'a.example', 's1')));
  const both = [old, next];
  const CASES: [Holder[] | undefined, boolean][] = [
    [undefined, false],
    [[], false],
    [[holder('edge-0', 'credential-store', both), holder('edge-1', 'credential-store', both)], false],
    [[holder('edge-1', 'signer', both)], false],
    [[holder('edge-1', 'credential-store', [next])], false],
    [[holder('edge-2', 'credential-store', both), holder('edge-1', 'credential-store', both)], true],
    [[holder('edge-0', 'credential-store', [next]), holder('edge-1', 'credential-store', both)], true],
    [[holder('edge-0', 'signer', both), holder('edge-1', 'credential-store', both)], true],
  ];
  for (const [live, done] of CASES) {
    records.putDomain(domainOf('a.example', keyUnder(old, 'a.example', 's1')));
    node.live = live;
    await neks.resume();
    assert.equal(records.get('a.example')?.keys[0]?.wrapped?.nek, done ? 'next' : 'old', JSON.stringify(live));
  }
});

test('trouble while finishing is logged, and the next change tries again', async () => {
  const { neks, records, lines } = setUp([old, next]);
  await neks.use('old');
  await neks.rotate('next');
  records.putDomain(domainOf('a.example', keyUnder(old, 'a.example', 's1')));
  records.writesLeft = 0;
  await neks.resume();
  assert.ok(lines().some((l) => l.level === 'warn' && /could not be re-wrapped yet/.test(l.msg)));
  records.writesLeft = Number.POSITIVE_INFINITY;
  await Promise.all([neks.resume(), neks.resume()]);
  assert.equal(openAll(records, [next]), 1);
});

const CHECKS: [string, Nek | undefined, Nek[], Nek[], boolean][] = [
  ['an empty store, no NEK', undefined, [], [], true],
  ['an empty store, a NEK', undefined, [], [old], true],
  ['all that is needed and more', next, [old, next], [next, lost, old], true],
  ['the current one is missing, though it wraps nothing', next, [], [old], false],
  ['the one of a key is missing', next, [old, next], [next], false],
  ['another of the same name', old, [old], [nekOf('old')], false],
  ['keys and no record', undefined, [lost], [old], false],
];

for (const [what, current, wraps, configured, fine] of CHECKS) {
  test(`at the start: ${what}`, () => {
    const { records, log, lines } = setUp([]);
    if (current !== undefined) {
      const { name, fingerprint } = current;
      records.put('neks', { kind: 'neks', neks: [{ name, fingerprint, since: 0 }], current: fingerprint });
    }
    records.putDomain(domainOf('a.example', ...wraps.map((nek, i) => keyUnder(nek, 'a.example', `s${i}`))));
    if (fine) checkNeks(records, configured, log, true);
    else {
      const needed = (current !== undefined && !configured.includes(current) ? current : wraps[0]) as Nek;
      const texts = [describeNek(needed), ...configured.map(describeNek), /credentials\.nek/];
      assert.throws(() => checkNeks(records, configured, log, true), fails('nek-mismatch', ...texts));
    }
    assert.deepEqual(lines(), []);
  });
}

test('at the start, with no NEK at all: a warning that names what is needed', () => {
  const { records, log, lines } = setUp([]);
  records.putDomain(domainOf('a.example', keyUnder(old, 'a.example', 's1')));
  checkNeks(records, [], log, true);
  assert.match(String(lines()[0]?.['needed']), /^old \(/);
});

test('at the start, with old records: a warning, because the other nodes may have re-wrapped the keys', () => {
  const { records, log, lines } = setUp([]);
  records.putDomain(domainOf('a.example', keyUnder(old, 'a.example', 's1')));
  checkNeks(records, [next], log, false);
  assert.match(String(lines()[0]?.['error']), /needs NEK old \(.*; this node has next \(/);
});

test('a key that is under another NEK than the current one is not stored', async () => {
  const { neks, records } = setUp([old]);
  const under = (nek: Nek) => {
    const { wrapped } = keyUnder(nek, 'a.example', 's1');
    assert.ok(wrapped);
    return () => assertCurrent(records, wrapped);
  };
  assert.throws(under(old), fails('nek-mismatch', /current one is none/));
  await neks.current();
  under(old)();
  assert.throws(under(next), fails('nek-mismatch', describeNek(old), describeNek(next)));
});
