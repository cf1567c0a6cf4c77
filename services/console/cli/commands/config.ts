import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Argument, type Command } from 'commander';
import { parse, stringify } from 'yaml';
import { changesBetween, comparable, type Effect } from '#cluster/config/comparison/changes.ts';
import { loadConfig, parseConfig, requireConfig } from '#cluster/config/load.ts';
import { formatPath, formatProblem } from '#cluster/config/problems/problem.ts';
import { effective, jsonSchema, listOptions, type OptionText } from '#cluster/config/schema/describe.ts';
import { unreadable } from '#cluster/config/secrets.ts';
import { listUsers } from '#cluster/config/users/edit.ts';
import { SERVICES } from '#services/topology.ts';
import { SealpostError } from '#shared/errors.ts';
import { describeError } from '../../reports/describe-error.ts';
import { type CommonOptions, configFile, print, withCommon } from '../context.ts';
import { EXIT } from '../exit.ts';
import { SANDBOX_FOLDER, sandboxData } from '../start/sandbox.ts';
import { pairs, table } from '../table.ts';

/** The path of the users file in the configuration. */
const USERS = 'directory.users';

export function register(program: Command): void {
  const config = program.command('config').description('check, show and explain the configuration');
  withCommon(config.command('check').description('list every problem of the configuration'))
    .addArgument(
      new Argument('[services...]', 'look only at files that these read (default: at all)').choices([
        ...SERVICES,
        'operator',
      ]),
    )
    .addHelpText(
      'after',
      '\nA container has the secrets of its own service alone: name that, or "operator" for its container, where' +
        '\nfiles and secrets of the services are not looked at.',
    )
    .action(check);
  withCommon(config.command('diff').description('what another configuration would change in this one'))
    .argument('<file>', 'the other one, as it would stand in the place of this one')
    .action(diff);
  withCommon(config.command('show').description('print the configuration in force, with all defaults')).action(show);
  withCommon(config.command('schema').description('explain every option')).action(schema);
}

async function check(services: string[], options: CommonOptions): Promise<void> {
  const file = requireFile(options);
  const loaded = await loadConfig(file, services.length === 0 ? {} : { services });
  const { warnings } = loaded;
  const own = loaded.ok
    ? []
    : loaded.problems.map(({ path, line, message }) => ({ path: formatPath(path), line, message }));
  const texts = loaded.ok ? [] : loaded.problems.map((problem) => formatProblem(file, problem));
  // A users file that is not there or not named was reported with the rest.
  const skipped = services.length > 0 && !services.includes('policy');
  const users = skipped || own.some(({ path }) => path.startsWith(USERS)) ? [] : await usersProblems(file);
  const problems = [...own, ...users.map((message) => ({ path: USERS, message }))];
  const ok = problems.length === 0;
  print(options, { file, ok, problems, warnings }, () =>
    [
      ...warnings.map((warning) => `${file}: warning: ${warning}`),
      ...(ok ? [`${file} is valid`] : [...texts, ...users]),
    ].join('\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

/** The users file has a form of its own, which the policy service knows; its lines say where in it. */
async function usersProblems(file: string): Promise<string[]> {
  const loaded = await loadConfig(file, { files: false, only: ['directory'] });
  const users = loaded.ok ? loaded.config.directory.users : undefined;
  if (users === undefined) return [];
  try {
    await listUsers(users);
    return [];
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    return describeError(error).split('\n');
  }
}

async function diff(other: string, options: CommonOptions): Promise<void> {
  const file = requireFile(options);
  const folder = dirname(resolve(file));
  const text = await readFile(other, 'utf8').catch((error: unknown) => {
    throw new SealpostError('config-unreadable', `the other configuration cannot be read: ${unreadable(other, error)}`);
  });
  const { config } = await requireConfig(file, { files: false });
  const loaded = await parseConfig(text, folder, { files: false });
  if (!loaded.ok) {
    const problems = loaded.problems.map((problem) => formatProblem(other, problem));
    throw new SealpostError('config-invalid', ['the other configuration is not valid', ...problems].join('\n'));
  }
  const salt = randomUUID();
  const changes = changesBetween(comparable(config, salt), comparable(loaded.config, salt));
  print(options, { file, other, changes }, () => {
    if (changes.length === 0) return 'nothing changes';
    const rows = changes.map(({ path, before = '–', after = '–', effect }) => [path, before, after, EFFECTS[effect]]);
    return table(['OPTION', 'BEFORE', 'AFTER', 'TAKES EFFECT'], rows);
  });
}

const EFFECTS: Record<Effect, string> = { now: 'while it runs', restart: 'after a restart' };

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
    ['  type', option.default === 'required' ? `${option.type}, required` : option.type],
    ...(['', 'required'].includes(option.default) ? [] : [['  default', option.default] as const]),
    ['  about', option.explanation],
  ])}`;
}

function requireFile(options: CommonOptions): string {
  const file = configFile(options);
  if (file !== undefined) return file;
  throw new SealpostError('config-unreadable', 'there is no ./sealpost.yaml: name the file with --config');
}
