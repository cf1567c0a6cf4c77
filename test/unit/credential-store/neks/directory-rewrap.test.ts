import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { DirectoryRewrap } from '#services/credential-store/directory/rewrap.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import { type DirectoryRecord, directoryKey, type UserRecord } from '#shared/directory/records.ts';
import { wrapSecret } from '#shared/dkim/secret-wrap.ts';
import { type Logger, silentLogger } from '#shared/log.ts';
import { SECRET } from '#test/kit/directory/seal-password.ts';
import { holder, nekOf } from './fixture.ts';

const [old, next] = [nekOf('old'), nekOf('next')];

/** `of`: whose hash it holds, which does not open in the place of another one. */
const user = (name: string, of = name): UserRecord => ({
  ...{ kind: 'user', name, addresses: [], onBehalfOf: [], appPasswords: [] },
  password: wrapSecret(old, passwordPlace(of), Buffer.from(SECRET)),
});

function mapOf(...users: UserRecord[]) {
  const records = new Map<string, DirectoryRecord>(users.map((one) => [directoryKey('user', one.name), one]));
  let cursor = 0;
  const map = {
    entries: () => [...records].map(([key, value]) => ({ key, version: 1, value })),
    get: (key: string) => ({ key, version: 1, value: records.get(key) }),
    update: async (key: string, change: (record: DirectoryRecord | undefined) => DirectoryRecord | undefined) => {
      const before = records.get(key);
      const after = change(before);
      if (after !== undefined && after !== before) {
        records.set(key, after);
        cursor++;
      }
    },
    get cursor() {
      return String(cursor);
    },
  };
  return map as unknown as ReplicatedMap<DirectoryRecord>;
}

test('a hash that does not open is not said to be re-wrapped, once or each second, and holds up no other', async () => {
  const lines: unknown[] = [];
  const note = (fields: object, text: string) => void lines.push([text, fields]);
  const log = { ...silentLogger, info: note, error: note, warn: note } as unknown as Logger;
  const rewrap = new DirectoryRewrap({
    ...{ node: 'edge-1', log, map: mapOf(user('alice', 'somebody else'), user('bob')), neks: () => [old, next] },
    current: () => next.fingerprint,
    live: () => [holder('edge-1', 'credential-store', [old, next])],
  });
  for (let second = 0; second < 3; second++) await rewrap.resume();
  assert.deepEqual([rewrap.wrappedBy(old.fingerprint), rewrap.wrappedBy(next.fingerprint)], [1, 1]);
  const [first, second] = lines;
  assert.deepEqual(first, ['password hashes re-wrapped with the current named encryption key', { users: 1 }]);
  assert.match(JSON.stringify(second), /cannot be re-wrapped.*the password of user alice does not open/);
  assert.equal(lines.length, 2);
});
