import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { loadConfig, parseConfig } from '#cluster/config/load.ts';
import { formatProblem } from '#cluster/config/problems/problem.ts';
import { openedBy } from '#cluster/config/rules/relay.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import { replaceFile } from '#shared/files/replace.ts';
import { ask } from '../confirm.ts';
import { print } from '../context.ts';
import { EXIT, usageError } from '../exit.ts';
import { cleanLines } from '../table.ts';
import type { Choice, Plan } from './plan.ts';
import { accountText, counts } from './report.ts';

/**
 * What every import does with its plan, in this order:
 *
 * 1. plan without what would open the relay; where there is such a setting, ask, and plan again where it is accepted
 * 2. add what every node needs: its data folder, and a NEK where there are domains whose keys it wraps
 * 3. check the configuration as `config check` does, but for files
 * 4. write, unless this is a dry run: nothing that is there already is overwritten, and sealpost.yaml comes last
 * 5. check what was written, its files too, and report
 */

export type ImportOptions = {
  out: string;
  data?: string;
  hostname?: string;
  dryRun?: boolean;
  acceptOpenRelay?: boolean;
  withoutOpenRelay?: boolean;
  json?: boolean;
};

export async function runImport(
  source: string,
  planner: (choice: Choice) => Promise<Plan>,
  options: ImportOptions,
): Promise<void> {
  const { plan, open } = await decided(planner, options);
  complete(plan, options);
  const yaml = plan.draft.yaml(`Made of ${basename(resolve(source))} by "sealpost import".`);
  await assertValid(yaml, open, options);
  const written = options.dryRun ? [] : await write(plan, yaml, options.out);
  const { problems, warnings } = options.dryRun ? { problems: [], warnings: [] } : await findings(options.out);
  const count = counts(plan.account);
  const ok = count.problem === 0 && problems.length === 0;
  const value = { source, ok, counts: count, account: plan.account, written, problems, warnings, config: yaml };
  print(options, value, () =>
    [
      accountText(plan),
      ...(options.dryRun ? [`${options.out} would be:\n\n${yaml.trimEnd()}`] : [`Written: ${written.join(', ')}`]),
      ...(problems.length + warnings.length === 0
        ? []
        : [[...problems, ...warnings.map((w) => `warning: ${w}`)].join('\n')]),
    ].join('\n\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

/** The first NEK is made here, since the keys that are brought next need one, and a configuration names no file without it. */
function complete({ draft, files, advice }: Plan, { data, hostname }: ImportOptions): void {
  if (hostname !== undefined) draft.set('node.hostname', hostname);
  if (data !== undefined) draft.set('node.data', resolve(data));
  if (draft.get('domains') === undefined) return;
  draft.set('credentials.nek', './secrets/nek.key');
  files.push({ path: 'secrets/nek.key', text: generateNek('edge') });
  advice.push(
    'secrets/nek.key has a new NEK, which wraps the DKIM keys: back it up apart from the data. All nodes of a cluster have the same one.',
  );
}

/** The plan, after the question whether the relay may be open. Fails with `usage` where nobody can be asked. */
async function decided(
  planner: (choice: Choice) => Promise<Plan>,
  options: ImportOptions,
): Promise<{ plan: Plan; open: boolean }> {
  const { acceptOpenRelay = false, withoutOpenRelay = false } = options;
  if (acceptOpenRelay && withoutOpenRelay)
    throw usageError('--accept-open-relay and --without-open-relay exclude each other');
  const closed = await planner({ openRelay: false });
  if (closed.openings.length === 0 || withoutOpenRelay) return { plan: closed, open: false };
  const what = `${closed.openings.join('\n')}\nTaken over, this makes an OPEN RELAY: anybody who reaches the server may send mail to anywhere through it`;
  const accepted =
    acceptOpenRelay ||
    (await ask(cleanLines(`${what}. Take it over? [y/N] `), () =>
      usageError(
        `${what}. There is no terminal to ask on: --without-open-relay leaves it out, --accept-open-relay takes it over`,
      ),
    ));
  return { plan: accepted ? await planner({ openRelay: true }) : closed, open: accepted };
}

/** Fails with `config-invalid` when the plan makes no configuration, or opens the relay unasked. Nothing was written then. */
async function assertValid(yaml: string, open: boolean, { out }: ImportOptions): Promise<void> {
  const checked = await parseConfig(yaml, dirname(resolve(out)), { files: false });
  const problems = checked.ok ? [] : checked.problems.map((p) => formatProblem(out, p));
  const opened = checked.ok && !open ? openedBy(checked.config.relay) : undefined;
  if (opened !== undefined) problems.push(`${opened}: this would open the relay`);
  if (problems.length > 0) {
    throw new SealpostError('config-invalid', ['nothing was written: the result is not valid', ...problems].join('\n'));
  }
}

/** Write files that are not there yet. Fails with `exists`. */
async function write({ files }: Plan, yaml: string, out: string): Promise<string[]> {
  const folder = dirname(out);
  const all = [...files.map(({ path, text }) => ({ file: join(folder, path), text })), { file: out, text: yaml }];
  const there = all.filter(({ file }) => existsSync(file)).map(({ file }) => file);
  if (there.length > 0) {
    const names = there.join(', ');
    throw new SealpostError(
      'exists',
      `nothing was written, because this is there: ${names}. Another place: --out <folder>/sealpost.yaml`,
    );
  }
  for (const { file, text } of all) {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await replaceFile(file, text);
  }
  return all.map(({ file }) => file);
}

/** What `config check` says of it. */
async function findings(out: string): Promise<{ problems: string[]; warnings: string[] }> {
  const { warnings, ...loaded } = await loadConfig(out);
  return { problems: loaded.ok ? [] : loaded.problems.map((p) => formatProblem(out, p)), warnings };
}
