import assert from 'node:assert/strict';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseConfig } from '#cluster/config/load.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { parseUsersFile } from '#cluster/config/users/users-file.ts';
import { planHaraka } from '#services/console/cli/migration/haraka/haraka.ts';
import type { AccountLine, Plan } from '#services/console/cli/migration/plan.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { tempDir } from '#test/kit/temp.ts';

/** What an import of Haraka makes; the configuration passed the schema and its rules. */
export type Made = Plan & { config: Config; lines: (setting: string | RegExp) => AccountLine[]; folder: string };

/** The plan of a folder config with these files; `tls_key.pem` and `tls_cert.pem` are made where `tls` runs. */
export async function plan(files: Record<string, string>, { openRelay = false } = {}): Promise<Made> {
  await using temp = await tempDir('haraka');
  await writeFolder(temp.path, files);
  const made = await planHaraka(temp.path, { openRelay });
  const loaded = await parseConfig(made.draft.yaml('made by a test'), '/', { files: false });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  for (const { path, text } of made.files) if (path === 'users.yaml') parseUsersFile(text, path);
  const lines = (setting: string | RegExp): AccountLine[] =>
    made.account.filter((l) => (typeof setting === 'string' ? l.setting.startsWith(setting) : setting.test(l.setting)));
  return { ...made, config: loaded.config, lines, folder: temp.path };
}

async function writeFolder(folder: string, files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries({ plugins: '', ...files })) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  if (/^tls$/m.test(files['plugins'] ?? '')) await writePair(folder);
}

/** A copy of `edge`, a folder config as people have it, with a certificate and without the private key of DKIM. */
export async function copyFolder(folder: string): Promise<void> {
  await cp(join(ROOT, 'test/kit/haraka/edge'), folder, { recursive: true });
  await writePair(folder);
}

async function writePair(folder: string): Promise<void> {
  const { certificateFile, keyFile } = await writeCertificate(folder, { names: ['mx1.example.com', 'localhost'] });
  await cp(certificateFile, join(folder, 'tls_cert.pem'));
  await cp(keyFile, join(folder, 'tls_key.pem'));
}
