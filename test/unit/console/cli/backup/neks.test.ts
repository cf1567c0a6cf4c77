import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { NeededNeks, neksIn } from '#services/console/cli/backup/neks.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { tempDir } from '#test/kit/temp.ts';

test('NEKs are those of the files as they were taken in; a file that was changed since ends the backup', async () => {
  await using dir = await tempDir('neks');
  const path = join(dir.path, 'nek.key');
  const text = generateNek('a');
  await writeFile(path, text);
  const config = ConfigSchema.parse({ credentials: { nek: path } });
  const sha256 = createHash('sha256').update(text).digest('hex');
  const files = [{ path, mode: 0o600, uid: 0, gid: 0, size: text.length, sha256 }];
  const neks = await neksIn(files, config);
  assert.deepEqual(
    neks.map(({ name }) => name),
    ['a'],
  );
  await writeFile(path, `${text}${generateNek('b')}`);
  await assert.rejects(neksIn(files, config), /was changed while the backup was made/);
});

test('every NEK that wraps something is needed, and one of those whose MACs a record has', () => {
  const [a, b, c] = ['a', 'b', 'c'].map((name) => parseNek(generateNek(name)));
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  const needed = new NeededNeks();
  const wrapped = { version: 1, nek: 'a', nekFingerprint: a.fingerprint, iv: '', tag: '', data: '' };
  needed.add(JSON.stringify({ key: 'x', value: { keys: [{ wrapped }] }, macs: [{ nek: a.fingerprint, mac: '' }] }));
  // A tombstone, sealed with both while one replaced the other.
  needed.add(
    JSON.stringify({
      key: 'y',
      macs: [
        { nek: b.fingerprint, mac: '' },
        { nek: c.fingerprint, mac: '' },
      ],
    }),
  );
  needed.assertIn([a, b]);
  needed.assertIn([a, c]);
  assert.throws(() => needed.assertIn([b, c]), {
    code: 'no-nek',
    message: new RegExp(`need NEK a \\(${a.fingerprint}\\)`),
  });
  assert.throws(() => needed.assertIn([a]), { code: 'no-nek' });
  new NeededNeks().assertIn([]);
});
