import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

/** The configuration that compose.yaml gives to its services. */
export const COMPOSE_CONFIG = resolve(import.meta.dirname, '../../../cluster/compose/sealpost.yaml');

/**
 * That configuration for a process on this machine, below a folder that `sealpost cluster init` has filled: the files
 * of `service` where its container has them. `changes`: other texts to replace. Resolves to the file.
 */
export async function composeConfig(
  folder: string,
  service: string,
  changes: readonly [from: string, to: string][] = [],
): Promise<string> {
  let text = await readFile(COMPOSE_CONFIG, 'utf8');
  const all: [string, string][] = [
    ['/run/sealpost-nek', join(folder, 'nek')],
    ['/run/sealpost-tls-nek', join(folder, 'tls-nek')],
    ['/run/sealpost', join(folder, service)],
    ['/var/lib/sealpost', join(folder, 'data', service)],
    ...changes,
  ];
  for (const [from, to] of all) {
    if (!text.includes(from)) throw new Error(`the configuration of compose.yaml has no ${from}`);
    text = text.replaceAll(from, to);
  }
  const file = join(folder, `${service}.yaml`);
  await writeFile(file, text);
  return file;
}
