import assert from 'node:assert/strict';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseConfig } from '#cluster/config/load.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import type { AccountLine, Plan } from '#services/console/cli/migration/plan.ts';
import { planPostfix } from '#services/console/cli/migration/postfix/postfix.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import { tempDir } from '#test/kit/temp.ts';

/** What an import of Postfix makes; the configuration passed the schema and its rules. */
export type Made = Plan & { config: Config; lines: (setting: string | RegExp) => AccountLine[] };

export type Given = { master?: string; opendkim?: string; tables?: Record<string, string>; openRelay?: boolean };

/** The plan of a main.cf with files beside it. */
export async function plan(
  main: string,
  { master, opendkim, tables = {}, openRelay = false }: Given = {},
): Promise<Made> {
  await using temp = await tempDir('postfix');
  const place = (name: string): string => join(temp.path, name);
  await writeFile(place('main.cf'), main);
  if (master !== undefined) await writeFile(place('master.cf'), master);
  if (opendkim !== undefined) await writeFile(place('opendkim.conf'), opendkim);
  for (const [name, text] of Object.entries(tables)) {
    await mkdir(dirname(place(name)), { recursive: true });
    await writeFile(place(name), text);
  }
  const files = {
    ...(master !== undefined && { master: place('master.cf') }),
    ...(opendkim !== undefined && { opendkim: place('opendkim.conf') }),
  };
  return await checked(await planPostfix(place('main.cf'), files, { openRelay }));
}

async function checked(made: Plan): Promise<Made> {
  const loaded = await parseConfig(made.draft.yaml('made by a test'), '/', { files: false });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  for (const { path, text } of made.files) if (path === 'users.yaml') parseUsersFile(text, path);
  const lines = (setting: string | RegExp): AccountLine[] =>
    made.account.filter((l) => (typeof setting === 'string' ? l.setting.startsWith(setting) : setting.test(l.setting)));
  return { ...made, config: loaded.config, lines };
}

/** A copy of `relay`, `submission` or `opendkim`, main.cf and files as people have them, in a folder. */
export async function copyFixture(name: string, folder: string): Promise<void> {
  await cp(join(ROOT, 'test/kit/postfix', name), folder, { recursive: true });
}
