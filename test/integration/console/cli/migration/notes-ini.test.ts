import assert from 'node:assert/strict';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { sealpost } from '#test/kit/command.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { tempDir } from '#test/kit/temp.ts';

/** A notes.ini with every setting that docs/move/domino.md has, imported, checked and run. */

type Result = { account: { place: string; setting: string; verdict: string }[]; problems: string[] };

test('every setting of a notes.ini has its line, and the node behaves so', async () => {
  await using temp = await tempDir('import');
  await copyFile(join(ROOT, 'test/kit/domino/notes.ini'), join(temp.path, 'notes.ini'));
  const made = await sealpost(['import', 'notes.ini', 'notes.ini', '--json'], { cwd: temp.path });
  assert.equal(made.code, 0, made.stderr + made.stdout);
  const { account, problems } = JSON.parse(made.stdout) as Result;
  assert.deepEqual(problems, []);
  const [, table = ''] = (await readFile(join(ROOT, 'docs/move/domino.md'), 'utf8')).split('## Settings of notes.ini');
  const names = [...table.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell = '']) => cell.match(/\w+\*?/g) ?? []);
  assert.ok(names.length > 35);
  for (const name of names.filter((n) => n !== 'setting')) {
    const start = name.replace('*', '');
    assert.ok(
      account.some(({ place, setting }) => place.startsWith('notes.ini:') && setting.startsWith(start)),
      `${name} has no line`,
    );
  }
  const check = await sealpost(['config', 'check'], { cwd: temp.path });
  assert.equal(check.code, 0, check.stdout);

  const port = await freePort();
  const config = parse(await readFile(join(temp.path, 'sealpost.yaml'), 'utf8')) as { listeners: { port: number }[] };
  for (const listener of config.listeners) listener.port = port;
  // This asks DNS of the Internet.
  const { checks: _, credentials: __, ...rest } = config as { checks?: object; credentials?: object };
  await using node = await SealpostNode.create({
    file: stringify({ ...rest, domains: [{ name: 'local.test', local: true }] }),
  });
  await node.start();
  await using client = await Dialog.connect(port);
  await client.expect(220, /ESMTP Welcome, it is .*\d{4}/);
  await client.say('EHLO client.test', 250);
  await client.say('MAIL FROM:someone@outside.test', 250);
  await client.say('RCPT TO:<other@elsewhere.test>', 554, 'Relay rejected for policy reasons');
  for (let i = 0; i < 100; i++) await client.say(`RCPT TO:user${i}@local.test`, 250);
  await client.say('RCPT TO:<one-more@local.test>', 452);
  const codes: number[] = [];
  while (codes.at(-1) !== 421 && codes.length < 10) codes.push((await client.command('NONSENSE')).code);
  assert.ok(codes.length <= 6, `${codes} beyond SMTPErrorLimit`);
});
