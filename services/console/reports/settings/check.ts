import { Worker } from 'node:worker_threads';
import type { Change, Comparable } from '#cluster/config/comparison/changes.ts';
import { configDigests } from '#cluster/config/comparison/digest.ts';
import { missingSources } from '#cluster/config/rules/routes.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Facts } from '../doctor/finding.ts';

/**
 * What is wrong with the text of a configuration, and what it changes, found in a thread of its own: a text that somebody made
 * for it keeps the parser busy for minutes, and mail may be served by the same process.
 */

export type CheckedText = {
  problems: { path: string; line: number | undefined; message: string }[];
  warnings: string[];
  /** Of a valid one. */
  valid?: { changes: Change[]; facts: ConfigFacts };
};

/** What alarms go by. */
export type ConfigFacts = Pick<Facts, 'domains' | 'missingSources' | 'nekAge'> & { digests: Record<string, string> };

/** `before`: the configuration in force, as `comparable` makes it with this `salt`. */
export type Compared = { text: string; folder: string; before: Comparable; salt: string };

export const factsOf = (config: Config): ConfigFacts => ({
  domains: config.domains,
  missingSources: missingSources(config),
  nekAge: config.credentials['nek-age'],
  digests: configDigests(config),
});

const PATIENCE_MS = 10_000;
const MOST_MEMORY_MB = 256;

let isBusy = false;

/** Fails with `busy` while another text is checked, and with `timeout` where it takes too long or too much memory. */
export async function checkText(compared: Compared, patienceMs = PATIENCE_MS): Promise<CheckedText> {
  if (isBusy) throw new SealpostError('busy', 'another configuration is being checked: try again in some seconds');
  isBusy = true;
  const worker = new Worker(new URL('./check-worker.ts', import.meta.url), {
    workerData: compared,
    resourceLimits: { maxOldGenerationSizeMb: MOST_MEMORY_MB },
  });
  const { promise, resolve, reject } = Promise.withResolvers<CheckedText>();
  const tooMuch = (): void => reject(new SealpostError('timeout', TOO_MUCH));
  const late = setTimeout(tooMuch, patienceMs);
  worker.once('message', resolve);
  worker.once('error', (error) => {
    if ('code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY') tooMuch();
    else reject(error);
  });
  worker.once('exit', tooMuch);
  try {
    return await promise;
  } finally {
    clearTimeout(late);
    await worker.terminate();
    isBusy = false;
  }
}

const TOO_MUCH =
  'the configuration is too much work to check here: check it on the machine with "sealpost config check"';
