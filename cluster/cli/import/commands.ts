import { basename } from 'node:path';
import type { CommonOptions } from '#cluster/cli/context.ts';
import { EXIT, exitCodeOf } from '#cluster/cli/exit.ts';
import { examineKeys, type ImportOptions, importKeys, type Outcome } from '#cluster/cli/import/key-import.ts';
import { readNotesIni } from '#cluster/cli/import/notes-ini.ts';
import { reportNotesIni } from '#cluster/cli/import/notes-ini-report.ts';
import { planOpendkim } from '#cluster/cli/import/opendkim.ts';
import type { Plan } from '#cluster/cli/import/plan.ts';
import { reportImport } from '#cluster/cli/import/report.ts';
import { planRspamd } from '#cluster/cli/import/rspamd.ts';
import { readTextFile } from '#cluster/cli/import/text-file.ts';
import { withStore } from '#cluster/cli/keys/store.ts';

/** The commands below `sealpost keys import`. */

export async function importPem(domain: string, selector: string, file: string, options: ImportOptions): Promise<void> {
  const key = { domain, selector, key: { file }, place: basename(file) };
  await run({ keys: [key], remarks: [], domains: [] }, options);
}

export async function importOpendkim(
  options: ImportOptions & { keyTable: string; signingTable?: string },
): Promise<void> {
  await run(await planOpendkim(options.keyTable, options.signingTable), options);
}

export async function importRspamd(
  conf: string | undefined,
  options: ImportOptions & { selectors?: string; paths?: string },
): Promise<void> {
  const { selectors, paths } = options;
  await run(await planRspamd({ conf, selectors, paths }), options);
}

export async function importNotesIni(file: string, options: CommonOptions): Promise<void> {
  await reportNotesIni(file, readNotesIni(await readTextFile(file)), options);
}

async function run(plan: Plan, options: ImportOptions): Promise<void> {
  await reportImport(plan, await outcomesOf(plan, options), options);
}

async function outcomesOf(plan: Plan, options: ImportOptions): Promise<Outcome[]> {
  try {
    return await withStore(options, (store) => importKeys(store, plan.keys, options));
  } catch (error) {
    // A dry run is worth something before there is a node.
    if (!options.dryRun || exitCodeOf(error) !== EXIT.unreachable) throw error;
    return examineKeys(plan.keys, options);
  }
}
