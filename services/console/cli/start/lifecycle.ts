import type { RunningNode } from '#services/node.ts';
import type { Logger } from '#shared/log.ts';
import { EXIT } from '../exit.ts';

/** How long a graceful stop may take. */
const STOP_LIMIT_MS = 30_000;

/**
 * The life of a node process, from start to exit. This is the only place below `main.ts` that ends the process.
 *
 * - SIGTERM, SIGINT: stop gracefully, within `STOP_LIMIT_MS`; a second one stops at once. Mail that was accepted is on
 *   disk by then, so either way loses nothing.
 * - An administrator drained it (`sealpost cluster drain`): the same, when nothing is left.
 * - SIGHUP: read the configuration and its files again.
 * - An error that nobody caught: the process is in a state that nobody knows, so it logs and ends.
 */
export async function runNode(start: () => Promise<RunningNode>, log: Logger): Promise<never> {
  const asked = Promise.withResolvers<NodeJS.Signals | 'drained'>();
  let signals = 0;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      asked.resolve(signal);
      if (++signals > 1) {
        log.warn({ signal }, 'stopped at once');
        process.exit(EXIT.failed);
      }
    });
  }
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.fatal({ err: error, event }, 'unexpected error: the process ends');
      process.exit(EXIT.failed);
    });
  }
  // Without a handler the signal would end the process; before the node is up there is nothing to reload.
  let reload = async (): Promise<void> => undefined;
  process.on('SIGHUP', () => void reload());

  const node = await start();
  reload = () => node.reload();
  void node.drained.then(() => asked.resolve('drained'));
  const why = await asked.promise;
  log.info(why === 'drained' ? { drained: true } : { signal: why }, 'stopping');
  process.exit((await stopsInTime(node, log)) ? EXIT.ok : EXIT.failed);
}

async function stopsInTime(node: RunningNode, log: Logger): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => {
      log.error(`not stopped within ${STOP_LIMIT_MS / 1000} s: the process ends with work under way`);
      resolve(false);
    }, STOP_LIMIT_MS);
  });
  const stopped = node.stop().then(
    () => {
      log.info('stopped');
      return true;
    },
    (error: unknown) => {
      log.error({ err: error }, 'stopped with an error');
      return false;
    },
  );
  const inTime = await Promise.race([stopped, late]);
  clearTimeout(timer);
  return inTime;
}
