import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ReplicatedMap } from '#cluster/replicated/map.ts';
import { Store } from '#cluster/store.ts';
import { CredentialRecord, type DomainRecord } from '#services/credential-store/records/domain-record.ts';
import { Records } from '#services/credential-store/records/records.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger as log } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { fails } from '#test/unit/credential-store/fixture.ts';
import { domainOf, keyUnder, nekOf } from '#test/unit/credential-store/neks/fixture.ts';

/** Records over a local map on disk. */
async function openRecords(folder: string, assertChangeable?: () => void) {
  const store = await Store.open(join(folder, 'credentials'), log);
  const map = await ReplicatedMap.open({
    ...{ store, prefix: 'map!', bucket: 'x', schema: CredentialRecord, node: 'edge-1', log, replicas: 1 },
    jetStream: undefined,
  });
  const close = async () => {
    await map.close();
    await store.close();
  };
  return { records: new Records(map, assertChangeable), map, [Symbol.asyncDispose]: close };
}

const nek = nekOf('edge');
const full: DomainRecord = {
  domain: 'b.example',
  keys: [
    {
      ...keyUnder(nek, 'b.example', 's1'),
      publication: { by: 'cname', zone: 'z.example', target: 's1.b.example.z.example' },
    },
    { ...keyUnder(undefined, 'b.example', 's2'), until: 5, problem: { text: 'x', since: 1, permanent: true } },
  ],
  used: [{ selector: 's0', fingerprint: 'AA', deleted: 1 }],
  rotation: {
    ...{ id: 'i', started: 1, by: 'edge-1', to: ['s1'], from: ['s2'], sideBySide: 0 },
    frozen: { at: 1, by: 'edge-1', reason: '' },
    switched: { at: 1, revision: 3 },
    ended: { at: 2, how: 'done' },
    events: [{ at: 1, node: 'edge-1', text: 'x' }],
  },
  schedule: { days: 90, at: '03:00', zone: 'UTC', parallel: false, next: 9 },
  driver: { node: 'edge-1', term: 4 },
};
const neks = { neks: [{ name: nek.name, fingerprint: nek.fingerprint, since: 1 }], current: nek.fingerprint };

test('what is written is read, by kind, in the order of domains, also after a restart', async () => {
  await using folder = await tempDir();
  {
    await using state = await openRecords(folder.path);
    const { records } = state;
    assert.deepEqual(
      [records.all(), records.neks(), records.get('b.example'), records.revision],
      [[], undefined, undefined, 0],
    );
    const { record, revision } = await records.update('b.example', () => full);
    assert.deepEqual([record, revision], [full, 1]);
    await records.update('a.example', () => domainOf('a.example'));
    assert.deepEqual((await records.updateNeks(() => neks)).neks, neks);
  }
  await using state = await openRecords(folder.path);
  const { records } = state;
  assert.deepEqual(records.all(), [domainOf('a.example'), full]);
  assert.deepEqual([records.get('b.example'), records.neks(), records.revision], [full, neks, 3]);
});

test('a change gets its last result; returning its argument changes nothing; undefined removes', async () => {
  await using folder = await tempDir();
  await using state = await openRecords(folder.path);
  const { records, map } = state;
  const heard: string[] = [];
  map.onChange((keys) => heard.push(...keys));
  await records.update('b.example', () => full);
  const before = records.get('b.example');
  assert.equal(records.get('b.example'), before);
  assert.equal(records.all()[0], before);
  const same = await records.update('b.example', (record) => {
    assert.equal(record, before);
    return record;
  });
  assert.deepEqual([same.record, same.revision], [before, 1]);
  await records.updateNeks(() => neks);
  assert.deepEqual((await records.updateNeks((list) => list ?? assert.fail())).revision, 2);
  assert.deepEqual(heard, ['domain!b.example', 'neks']);
  await assert.rejects(
    records.update('b.example', () => {
      throw new SealpostError('wrong-state', 'no');
    }),
    fails('wrong-state'),
  );
  assert.equal(records.get('b.example'), before);
  assert.deepEqual((await records.update('none', () => undefined)).revision, 2);
  const removed = await records.update('b.example', () => undefined);
  assert.deepEqual(
    [removed.record, removed.revision, records.get('b.example'), records.all()],
    [undefined, 3, undefined, []],
  );
  // Made again, its revisions go on from there.
  assert.equal((await records.update('b.example', (record) => record ?? full)).revision, 4);
});

test('concurrent changes of one record are all made, one on top of another', async () => {
  await using folder = await tempDir();
  await using state = await openRecords(folder.path);
  const { records } = state;
  const used = (n: number) => ({ selector: `s${n}`, fingerprint: 'AA', deleted: n });
  const add = (n: number) =>
    records.update('b.example', (record = domainOf('b.example')) => ({ ...record, used: [...record.used, used(n)] }));
  await Promise.all(Array.from({ length: 20 }, (_, n) => add(n)));
  assert.deepEqual(
    records.get('b.example')?.used,
    Array.from({ length: 20 }, (_, n) => used(n)),
  );
});

test('a value that is not a record is refused, and nothing is changed while that is not allowed', async () => {
  await using folder = await tempDir();
  let open = true;
  await using state = await openRecords(folder.path, () => {
    if (!open) throw new SealpostError('store-failed', 'not now');
  });
  const { records } = state;
  const broken = { ...full, keys: [{ ...full.keys[0], state: 'sleeping' }] } as unknown as DomainRecord;
  await assert.rejects(
    records.update('b.example', () => broken),
    fails('invalid-record', 'b.example'),
  );
  open = false;
  await assert.rejects(
    records.update('b.example', () => full),
    fails('store-failed', 'not now'),
  );
  await assert.rejects(
    records.updateNeks(() => neks),
    fails('store-failed', 'not now'),
  );
  assert.deepEqual([records.all(), records.revision], [[], 0]);
  open = true;
  await records.update('b.example', () => full);
  assert.deepEqual(records.get('b.example'), full);
});
