import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { SealpostError } from '#shared/errors.ts';
import { learnContainerName } from '../container-name.ts';
import { checkFiles } from './file-checks.ts';
import { expandGroups } from './groups.ts';
import { resolvePaths } from './paths.ts';
import { explainIssue } from './problems/messages.ts';
import { formatProblem, type Problem } from './problems/problem.ts';
import { parseYaml } from './problems/yaml.ts';
import { RULES } from './rules/rules.ts';
import { type Config, ConfigSchema } from './schema/schema.ts';
import { unreadable } from './secrets.ts';

export type Section = keyof Config;
type LoadOptions =
  | { files?: true; services?: readonly string[] | undefined }
  | { files: false; only?: readonly Section[] | undefined };

/** A configuration that may run, or everything that is wrong with it in the order of the file. */
export type Loaded =
  | { ok: true; config: Config; warnings: string[] }
  | { ok: false; problems: Problem[]; warnings: string[] };

/**
 * Read a configuration: YAML → schema → rules → groups → paths → files and secrets.
 *
 * `files: false` leaves the last step out, for commands that only need to know where things are; secrets that
 * stand in files are then not read. `only` names the sections that matter to such a command: the others may be wrong
 * (and have their defaults then), so that a running node can be managed although its file was broken since its start.
 *
 * `services` leaves out files and secrets that none of these services reads: a listener must not see the NEK.
 *
 * Fails with `config-unreadable` when the file itself cannot be read.
 */
export async function loadConfig(file: string, options: LoadOptions = {}): Promise<Loaded> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new SealpostError('config-unreadable', `the configuration cannot be read: ${unreadable(file, error)}`);
  }
  return parseConfig(text, dirname(resolve(file)), options);
}

/** Whether a problem is in one of the sections; one without a path is about the whole file. */
function concerns({ path: [section] }: Problem, sections: readonly string[]): boolean {
  return section === undefined || sections.includes(String(section));
}

/** Like `loadConfig`, for a text; relative paths start in `folder`. */
export async function parseConfig(text: string, folder: string, options: LoadOptions = {}): Promise<Loaded> {
  const yaml = parseYaml(text);
  const refuse = (problems: Problem[], warnings: string[] = []): Loaded => ({
    ok: false,
    warnings,
    problems: problems
      .map((problem) => ({ ...problem, line: problem.line ?? yaml.lineOf(problem.path) }))
      .sort((a, b) => (a.line ?? 0) - (b.line ?? 0)),
  });
  if (yaml.problems.length > 0) return refuse(yaml.problems);
  if (wantsContainerName(yaml.data)) await learnContainerName();
  const checked = checkValues(yaml.data);
  const located = resolvePaths(checked.config, folder);
  if (options.files === false) {
    const { only } = options;
    const problems = only === undefined ? checked.problems : checked.problems.filter((p) => concerns(p, only));
    return problems.length > 0 ? refuse(problems) : { ok: true, config: located, warnings: [] };
  }
  const files = await checkFiles(located, options.services);
  const problems = [...checked.problems, ...files.problems];
  return problems.length > 0
    ? refuse(problems, files.warnings)
    : { ok: true, config: files.config, warnings: files.warnings };
}

function wantsContainerName(data: unknown): boolean {
  return (data as { node?: { name?: { container?: unknown } } } | null)?.node?.name?.container === true;
}

/** The sections that fit the schema, with defaults for those that do not, and all problems of values and rules. */
function checkValues(data: unknown): { config: Config; problems: Problem[] } {
  const parsed = ConfigSchema.safeParse(data, { reportInput: true });
  const problems = parsed.success ? [] : parsed.error.issues.flatMap((issue) => explainIssue(issue, ConfigSchema));
  if (!parsed.success && (typeof data !== 'object' || data === null || Array.isArray(data))) {
    return { config: ConfigSchema.parse({}), problems };
  }
  const broken = new Set(problems.map((problem) => problem.path[0]));
  const config = parsed.success ? parsed.data : validSections(data as Record<string, unknown>, broken);
  for (const rule of RULES) {
    if (!rule.sections.some((section) => broken.has(section))) problems.push(...rule.check(config));
  }
  return { config: expandGroups(config), problems };
}

function validSections(data: Record<string, unknown>, broken: Set<PropertyKey | undefined>): Config {
  const known = Object.keys(ConfigSchema.shape);
  const valid = Object.entries(data).filter(([key]) => known.includes(key) && !broken.has(key));
  return ConfigSchema.parse(Object.fromEntries(valid));
}

/** The configuration, or a `config-invalid` error that lists every problem of the file. */
export async function requireConfig(
  file: string,
  options: LoadOptions = {},
): Promise<{ config: Config; warnings: string[] }> {
  const loaded = await loadConfig(file, options);
  if (loaded.ok) return loaded;
  const problems = loaded.problems.map((problem) => formatProblem(file, problem));
  throw new SealpostError('config-invalid', ['the configuration is not valid', ...problems].join('\n'));
}
