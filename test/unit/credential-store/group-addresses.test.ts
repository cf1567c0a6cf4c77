import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { GroupAddresses } from '#services/credential-store/directory/group-addresses.ts';
import { type DirectoryRecord, directoryKey, type GroupRecord } from '#shared/directory/records.ts';

const group = (name: string, ...addresses: string[]): GroupRecord => ({ kind: 'group', name, addresses, members: [] });

test('an address that went from one group to another is found, in whatever order the two changes come', () => {
  for (const order of [
    ['a', 'b'],
    ['b', 'a'],
  ]) {
    const records = new Map<string, DirectoryRecord>();
    let changed: (keys: readonly string[]) => void = () => undefined;
    const put = (record: GroupRecord) => records.set(directoryKey('group', record.name), record);
    put(group('a', 'staff@example.com'));
    put(group('b'));
    const groups = new GroupAddresses({
      entries: () => [...records].map(([key, value]) => ({ key, version: 1, value })),
      get: (key: string) => ({ key, version: 1, value: records.get(key) }),
      onChange: (listener: typeof changed) => {
        changed = listener;
      },
    } as unknown as ReplicatedMap<DirectoryRecord>);
    put(group('a'));
    put(group('b', 'Staff@example.com'));
    changed(order.map((name) => directoryKey('group', name)));
    assert.equal(groups.get('staff@example.com')?.name, 'b', order.join(' before '));
  }
});
