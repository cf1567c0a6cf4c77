import { Worker } from 'node:worker_threads';
import { SealpostError } from '#shared/errors.ts';

/**
 * What is wrong with the text of a configuration, found in a thread of its own: a text that somebody made for it keeps the
 * parser busy for minutes, and mail may be served by the same process.
 */

export type CheckedText = {
  problems: { path: string; line: number | undefined; message: string }[];
  warnings: string[];
};

const PATIENCE_MS = 10_000;
const MOST_MEMORY_MB = 256;

let isBusy = false;

/** Fails with `busy` while another text is checked, and with `timeout` where it takes too long or too much memory. */
export async function checkText(text: string, patienceMs = PATIENCE_MS): Promise<CheckedText> {
  if (isBusy) throw new SealpostError('busy', 'another configuration is being checked: try again in some seconds');
  isBusy = true;
  const worker = new Worker(new URL('./check-worker.ts', import.meta.url), {
    workerData: text,
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
