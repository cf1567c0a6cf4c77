import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { HarakaFolder, parseIni } from '#services/console/cli/import/haraka/folder.ts';
import { planHarakaKeys } from '#services/console/cli/import/haraka/keys.ts';
import { tempDir } from '#test/kit/temp.ts';

/** The files of Haraka as its own reader takes them. */

test('ini: sections, lists, comments, continued lines, Windows line ends', () => {
  const ini = parseIni('; a\r\na = 1\r\n[ one ]\nb[] = x\nb[]=y\n# c\nlong=1,\\\n2\nalone\n[main]\na=2\n=3\n', 't.ini');
  assert.deepEqual([ini.text('a'), ini.list('b', 'one'), ini.list('long', 'one')], ['2', ['x', 'y'], ['1', '2']]);
  assert.deepEqual(ini.sections, ['one']);
  assert.deepEqual(ini.stray, [{ place: 't.ini:12', text: '=3' }]);
  assert.deepEqual([ini.yes('alone', true, 'one'), ini.yes('gone', true)], [false, true]);
  assert.equal(ini.entries.find(({ key }) => key === 'long')?.place, 't.ini:8');
});

test('the folder is found from the installation too, and is told from another', async () => {
  await using temp = await tempDir('haraka');
  await mkdir(join(temp.path, 'config'));
  await assert.rejects(HarakaFolder.open(temp.path), /has no file "plugins"/);
  await assert.rejects(HarakaFolder.open(join(temp.path, 'gone')), { code: 'file-unreadable' });
  await writeFile(join(temp.path, 'config', 'plugins'), '# none\ntls\n');
  const folder = await HarakaFolder.open(temp.path);
  assert.equal(folder.path, join(temp.path, 'config'));
  assert.deepEqual(await folder.lines('plugins'), [{ place: 'plugins:2', text: 'tls' }]);
});

test('keys: a folder for each domain; one without its selector is a problem', async () => {
  await using temp = await tempDir('haraka');
  for (const [name, text] of [
    ['plugins', ''],
    ['host_list', 'example.com\nother.example\n'],
    ['dkim/example.com/private', 'k'],
    ['dkim/example.com/selector', 's1\n'],
    ['dkim/half.example/private', 'k'],
    ['dkim.private.key', 'k'],
    ['dkim.ini', '[sign]\ndomain=corp.example\nselector=mail\n'],
  ] as const) {
    await mkdir(join(temp.path, name, '..'), { recursive: true });
    await writeFile(join(temp.path, name), text);
  }
  const { keys, remarks, domains } = await planHarakaKeys(temp.path);
  assert.deepEqual(
    keys.map(
      ({ domain, selector, key }) => `${selector} ${domain} ${'file' in key ? key.file.replace(temp.path, '') : ''}`,
    ),
    ['s1 example.com /dkim/example.com/private', 'mail corp.example /dkim.private.key'],
  );
  assert.deepEqual(
    remarks.map((r) => [r.place, r.problem]),
    [
      ['dkim/half.example', true],
      ['dkim.private.key', false],
    ],
  );
  assert.deepEqual(domains, [{ name: 'other.example', signAs: 'corp.example' }]);
});
