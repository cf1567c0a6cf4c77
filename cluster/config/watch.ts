import { readFile } from 'node:fs/promises';
import { errorText } from '#shared/errors.ts';
import { FileWatch } from '#shared/files/watch.ts';
import type { Logger } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { loadConfig } from './load.ts';
import { formatProblem } from './problems/problem.ts';
import type { Config } from './schema/schema.ts';
import { describeSource, SecretReference } from './secrets.ts';
import type { Settings } from './settings.ts';

/**
 * Keeps the running configuration in step with its file.
 *
 * Whatever happens to the file, its text decides. A half-written file that is read is refused like any other invalid file
 * and the running configuration stays.
 */

export type ConfigWatch = {
  /** Read the file again now, also when its text is the same: certificates and secrets may have changed. */
  reload(): Promise<void>;
  close(): Promise<void>;
};

/** `services`: those that run in this process; only their files and secrets are read. Default: all. */
export async function watchConfig(
  file: string,
  settings: Settings,
  log: Logger,
  services?: readonly string[],
): Promise<ConfigWatch> {
  const watch = new FileWatch([file], () => enqueue(false));
  let lastText = await readFile(file, 'utf8');
  let work: Promise<void> = Promise.resolve();

  const read = async (force: boolean): Promise<void> => {
    try {
      const text = await readFile(file, 'utf8');
      if (text === lastText && !force) return;
      lastText = text;
      settings.refused = await apply(file, settings, log, services);
    } catch (error) {
      settings.refused = errorText(error);
      log.error({ file, error: settings.refused }, 'configuration not reloaded, the running one stays');
    }
  };
  const enqueue = (force: boolean): Promise<void> => {
    work = work.then(() => read(force));
    return work;
  };
  watch.start();
  return {
    reload: () => enqueue(true),
    close: async () => {
      await watch.close();
      await work;
    },
  };
}

/** Put the file in force. Resolves to the reason where that is refused. */
async function apply(
  file: string,
  settings: Settings,
  log: Logger,
  services: readonly string[] | undefined,
): Promise<string | undefined> {
  const refuse = (problems: string[]): string => {
    log.error({ file, problems }, 'configuration change refused, the running one stays');
    return problems.join('; ');
  };
  const loaded = await loadConfig(file, { services });
  for (const warning of loaded.warnings) log.warn({ file }, warning);
  if (!loaded.ok) {
    const problems = loaded.problems.map((problem) => formatProblem(file, problem));
    return refuse(problems);
  }
  const fixed = needsRestart(settings.current, loaded.config);
  if (fixed.length > 0) return refuse(fixed.map((path) => `${path} cannot change while running: restart sealpost`));
  const changed = changedPaths(settings.current, loaded.config);
  settings.replace(loaded.config);
  log.info(
    { file, changed },
    changed.length === 0 ? 'configuration reloaded, nothing changed' : 'configuration changed',
  );
  return undefined;
}

/** What differs and is only read at the start: the node's name and folder and its bus. */
export function needsRestart(running: Config, next: Config): string[] {
  return changedPaths(running, next).filter(isReadAtStart);
}

/** `bus.servers[0]` is, as all below it. */
export const isReadAtStart = (path: string): boolean => /^(?:node\.name|node\.data|bus)(?=[.[]|$)/.test(path);

/**
 * Paths at which two configurations differ: `queue.expire`, `listeners[1].port`, `domains` where entries came or went.
 */
export function changedPaths(a: unknown, b: unknown, path = ''): string[] {
  if (a instanceof Secret || b instanceof Secret) {
    return a instanceof Secret && b instanceof Secret && textOf(a) === textOf(b) ? [] : [path];
  }
  if (Array.isArray(a) && Array.isArray(b) && a.length === b.length) {
    return a.flatMap((entry, i) => changedPaths(entry, b[i], `${path}[${i}]`));
  }
  if (isRecord(a) && isRecord(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...keys].flatMap((key) => changedPaths(a[key], b[key], path === '' ? key : `${path}.${key}`));
  }
  return Object.is(a, b) ? [] : [path];
}

/** What tells two secrets apart: the text, or where one stands that this process does not read. */
function textOf(secret: Secret): string {
  return secret instanceof SecretReference ? describeSource(secret.source) : secret.reveal();
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
