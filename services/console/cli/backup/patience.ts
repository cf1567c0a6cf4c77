import { setTimeout as delay } from 'node:timers/promises';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode } from '#shared/errors.ts';

/** Errors of a process that starts, or has much to do. */
const PASSING: readonly unknown[] = [CALL_ERRORS.unavailable, CALL_ERRORS.timeout, CALL_ERRORS.busy];
const PATIENCE_MS = 30_000;
const AGAIN_MS = 1000;

/**
 * Ask again while the process that was asked starts, or is busy: a backup takes long enough to meet a restart, and each page of
 * it can be asked for twice. Fails as the last answer.
 */
export async function patiently<T>(ask: () => Promise<T>, again = AGAIN_MS, patience = PATIENCE_MS): Promise<T> {
  const end = performance.now() + patience;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!PASSING.includes(errorCode(error)) || performance.now() > end) throw error;
      await delay(again);
    }
  }
}
