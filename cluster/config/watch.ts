import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { errorText } from '#shared/errors.ts';
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
 * The folder is watched, not the file: editors and configuration managers put a new file in its place, and a mounted
 * ConfigMap swaps a symbolic link beside it. Whatever happens there, the text of the file decides. A change waits
 * until the folder has been quiet for a moment, so that a half-written file is rarely read; one that is read is refused
 * like any other invalid file and the running configuration stays.
 */

const QUIET_MS = 200;

export type ConfigWatch = {
  /** Read the file again now, also when its text is the same: certificates and secrets may have changed. */
  reload(): Promise<void>;
  close(): Promise<void>;
};

/** `services`: which ones run here; only their files and secrets are read. Default: all. */
export async function watchConfig(
  file: string,
  settings: Settings,
  log: Logger,
  services?: readonly string[],
): Promise<ConfigWatch> {
  let timer: NodeJS.Timeout | undefined;
  let lastText = await readFile(file, 'utf8');
  let work: Promise<void> = Promise.resolve();
  // What was said last about a file that cannot be read: the folder may change often, and by our own log.
  let unreadable: string | undefined;

  const read = async (force: boolean): Promise<void> => {
    try {
      const text = await readFile(file, 'utf8');
      unreadable = undefined;
      if (text === lastText && !force) return;
      lastText = text;
      await apply(file, settings, log, services);
    } catch (error) {
      const reason = errorText(error);
      if (reason === unreadable && !force) return;
      unreadable = reason;
      log.error({ file, reason }, 'configuration not reloaded, the running one stays');
    }
  };
  const enqueue = (force: boolean): Promise<void> => {
    work = work.then(() => read(force));
    return work;
  };
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(dirname(resolve(file)), () => {
      clearTimeout(timer);
      timer = setTimeout(() => void enqueue(false), QUIET_MS);
    });
    watcher.on('error', (error) =>
      log.warn({ file, reason: errorText(error) }, 'configuration file is not watched any more'),
    );
  } catch (error) {
    log.warn({ file, reason: errorText(error) }, 'configuration file is not watched: send SIGHUP to reload it');
  }
  return {
    reload: () => enqueue(true),
    close: async () => {
      clearTimeout(timer);
      watcher?.close();
      await work;
    },
  };
}

async function apply(
  file: string,
  settings: Settings,
  log: Logger,
  services: readonly string[] | undefined,
): Promise<void> {
  const loaded = await loadConfig(file, { services });
  for (const warning of loaded.warnings) log.warn({ file }, warning);
  if (!loaded.ok) {
    const problems = loaded.problems.map((problem) => formatProblem(file, problem));
    log.error({ file, problems }, 'configuration change refused, the running one stays');
    return;
  }
  const fixed = needsRestart(settings.current, loaded.config);
  if (fixed.length > 0) {
    log.error(
      { file, problems: fixed.map((path) => `${path} cannot change while running: restart sealpost`) },
      'configuration change refused, the running one stays',
    );
    return;
  }
  const changed = changedPaths(settings.current, loaded.config);
  settings.replace(loaded.config);
  log.info(
    { file, changed },
    changed.length === 0 ? 'configuration reloaded, nothing changed' : 'configuration changed',
  );
}

/** What differs and is only read at the start: the node's name and folder and its bus. */
export function needsRestart(running: Config, next: Config): string[] {
  return changedPaths(
    { name: running.node.name, data: running.node.data, bus: running.bus },
    { name: next.node.name, data: next.node.data, bus: next.bus },
  ).map((path) => (path.startsWith('bus') ? path : `node.${path}`));
}

/** Paths at which two configurations differ: `queue.expire`, `listeners[1].port`, `domains` where entries came or went. */
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
