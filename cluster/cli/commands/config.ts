import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { parse, stringify } from 'yaml';
import { type CommonOptions, configFile, print, withCommon } from '#cluster/cli/context.ts';
import { EXIT } from '#cluster/cli/exit.ts';
import { pairs } from '#cluster/cli/table.ts';
import { effective, jsonSchema, listOptions, type OptionText } from '#cluster/config/describe.ts';
import { loadConfig, requireConfig } from '#cluster/config/load.ts';
import { formatPath, formatProblem } from '#cluster/config/problem.ts';
import type { Config } from '#cluster/config/schema.ts';
import { SANDBOX_FOLDER, sandboxData } from '#cluster/sandbox.ts';
import { listUsers } from '#services/policy/users-file.ts';
import { errorText, SealpostError } from '#shared/errors.ts';

export function register(program: Command): void {
  const config = program.command('config').description('check, show and explain the configuration');
  withCommon(config.command('check').description('list every problem of the configuration')).action(check);
  withCommon(config.command('show').description('print the configuration in force, with all defaults')).action(show);
  withCommon(config.command('schema').description('explain every option')).action(schema);
}

async function check(options: CommonOptions): Promise<void> {
  const file = requireFile(options);
  const loaded = await loadConfig(file);
  const problems = loaded.ok ? await usersProblems(loaded.config) : loaded.problems.map((p) => formatProblem(file, p));
  const { warnings } = loaded;
  const value = loaded.ok
    ? { file, ok: problems.length === 0, problems: problems.map((message) => ({ message })), warnings }
    : { file, ok: false, problems: loaded.problems.map((p) => ({ ...p, path: formatPath(p.path) })), warnings };
  print(options, value, () =>
    [
      ...warnings.map((warning) => `${file}: warning: ${warning}`),
      ...(problems.length === 0 ? [`${file} is valid`] : problems),
    ].join('\n'),
  );
  if (problems.length > 0) process.exitCode = EXIT.failed;
}

/** The users file has a form of its own, which the policy service knows. */
async function usersProblems({ directory }: Config): Promise<string[]> {
  if (directory.users === undefined) return [];
  try {
    await listUsers(directory.users);
    return [];
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    return errorText(error).split('\n');
  }
}

async function show(options: CommonOptions): Promise<void> {
  const file = configFile(options);
  if (file !== undefined) await requireConfig(file, { files: false });
  const written: unknown =
    file === undefined ? sandboxData(resolve(SANDBOX_FOLDER)) : parse(await readFile(file, 'utf8'));
  const value = effective(written ?? {});
  print(options, value, () => stringify(value, { lineWidth: 0 }).trimEnd());
}

function schema(options: CommonOptions): void {
  print(options, jsonSchema(), () => listOptions().map(describe).join('\n\n'));
}

function describe(option: OptionText): string {
  return `${option.path}\n${pairs([
    ['  type', option.type],
    ...(option.default === '' ? [] : [['  default', option.default] as const]),
    ['  about', option.explanation],
  ])}`;
}

function requireFile(options: CommonOptions): string {
  const file = configFile(options);
  if (file !== undefined) return file;
  throw new SealpostError('config-unreadable', 'there is no ./sealpost.yaml: name the file with --config');
}
