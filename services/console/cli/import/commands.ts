import { basename } from 'node:path';
import { type CommonOptions, withStore } from '../context.ts';
import { EXIT, exitCodeOf } from '../exit.ts';
import { planHarakaKeys } from './haraka/keys.ts';
import { examineKeys, type ImportOptions, type ImportOutcome, importKeys } from './key-import.ts';
import { readNotesIni } from './notes-ini.ts';
import { reportNotesIni } from './notes-ini-report.ts';
import { planOpendkim } from './opendkim.ts';
import type { ImportPlan } from './plan.ts';
import { reportImport } from './report.ts';
import { planRspamd } from './rspamd.ts';
import { readTextFile } from './text-file.ts';

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

export async function importHaraka(folder: string, options: ImportOptions): Promise<void> {
  await run(await planHarakaKeys(folder), options);
}

export async function importNotesIni(file: string, options: CommonOptions): Promise<void> {
  await reportNotesIni(file, readNotesIni(await readTextFile(file)), options);
}

async function run(plan: ImportPlan, options: ImportOptions): Promise<void> {
  await reportImport(plan, await outcomesOf(plan, options), options);
}

async function outcomesOf(plan: ImportPlan, options: ImportOptions): Promise<ImportOutcome[]> {
  try {
    return await withStore(options, (store) => importKeys(store, plan.keys, options));
  } catch (error) {
    // A dry run is worth something before there is a node.
    if (!options.dryRun || exitCodeOf(error) !== EXIT.unreachable) throw error;
    return examineKeys(plan.keys, options);
  }
}
