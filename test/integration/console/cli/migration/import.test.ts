import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { sealpost } from '#test/kit/command.ts';
import { tempDir } from '#test/kit/temp.ts';

/** `sealpost import` as an administrator runs it: files, exit codes, JSON. */

test('a notes.ini becomes a configuration that passes config check, once', async () => {
  await using temp = await tempDir('import');
  await writeFile(join(temp.path, 'notes.ini'), 'SMTPErrorLimit=7\r\nKitType=2\r\n');
  const args = ['import', 'notes.ini', 'notes.ini'];

  const dry = await sealpost([...args, '--dry-run'], { cwd: temp.path });
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, /^notes\.ini:1 +SMTPErrorLimit=7 +taken over \(limits\.errors\): 7$/m);
  assert.match(dry.stdout, /^sealpost\.yaml would be:/m);
  await assert.rejects(readFile(join(temp.path, 'sealpost.yaml')), { code: 'ENOENT' });

  const made = await sealpost([...args, '--json'], { cwd: temp.path });
  assert.equal(made.code, 0, made.stderr);
  const result = JSON.parse(made.stdout) as { ok: boolean; written: string[]; account: { place: string }[] };
  assert.deepEqual([result.ok, result.written], [true, ['sealpost.yaml']]);
  assert.equal(result.account[0]?.place, 'notes.ini:1');
  const check = await sealpost(['config', 'check'], { cwd: temp.path });
  assert.equal(check.code, 0, check.stdout);
  const before = await readFile(join(temp.path, 'sealpost.yaml'), 'utf8');

  const again = await sealpost(args, { cwd: temp.path });
  assert.equal(again.code, 1);
  assert.match(again.stderr, /nothing was written, because this is there: sealpost\.yaml\. Another place: --out/);
  assert.equal(await readFile(join(temp.path, 'sealpost.yaml'), 'utf8'), before);
});

test('a problem is exit code 1, and the rest is written; a file that is not there is none', async () => {
  await using temp = await tempDir('import');
  await mkdir(join(temp.path, 'edge'));
  await writeFile(join(temp.path, 'notes.ini'), 'SMTPErrorLimit=x\nSMTPMaxSessions=9\n');
  const made = await sealpost(['import', 'notes.ini', 'notes.ini', '--out', 'edge/sealpost.yaml'], { cwd: temp.path });
  assert.equal(made.code, 1);
  assert.match(made.stdout, /problem: "x" is not a whole number/);
  assert.match(await readFile(join(temp.path, 'edge', 'sealpost.yaml'), 'utf8'), /sessions: 9/);
  const missing = await sealpost(['import', 'notes.ini', 'none.ini', '--json'], { cwd: temp.path });
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /"file-unreadable"/);
});
