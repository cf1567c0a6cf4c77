import type { RunningNode } from '#services/node.ts';
import type { Logger } from '#shared/log.ts';
import { EXIT } from '../exit.ts';
import { PARENT } from './parent.ts';

/** How long a graceful stop may take. */
const STOP_LIMIT_MS = 30_000;
/** How often a node that npm started looks whether its parent is still there. */
const PARENT_INTERVAL_MS = 500;

/** Why a node stops. `orphaned`: npm, which started it, was ended by a signal that it did not pass on. */
type StopReason = NodeJS.Signals | 'drained' | 'orphaned';

/**
 * The life of a node process, from start to exit. This is the only place below `main.ts` that ends the process.
 *
 * - SIGTERM, SIGINT: stop gracefully, within `STOP_LIMIT_MS`; a second one stops immediately. Mail that was accepted is
 *   on disk by then, so either way loses nothing.
 * - An administrator drained it (`sealpost cluster drain`): the same, when nothing is left.
 * - npm or npx started it and has ended: the same.
 * - SIGHUP: read the configuration and its files again.
 * - An uncaught error: the state of the process is unknown, so it logs and ends.
 */
export async function runNode(start: () => Promise<RunningNode>, log: Logger): Promise<never> {
  const asked = Promise.withResolvers<StopReason>();
  let signals = 0;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      asked.resolve(signal);
      if (++signals > 1) {
        log.warn({ signal }, 'stopped immediately');
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
  // A start may take long (a large queue, NATS unreachable), and npm may end meanwhile.
  whenOrphaned(() => asked.resolve('orphaned'));

  const node = await start();
  reload = () => node.reload();
  void node.drained.then(() => asked.resolve('drained'));
  const reason = await asked.promise;
  log.info(reason === 'drained' || reason === 'orphaned' ? { [reason]: true } : { signal: reason }, 'stopping');
  const code = (await stopsInTime(node, log)) ? EXIT.ok : EXIT.failed;
  await new Promise<void>((resolve) => log.flush(() => resolve()));
  process.exit(code);
}

/**
 * Call `stop` when npm started this process and has ended. npx runs a command in a shell and passes SIGTERM and SIGINT to
 * that shell only, which dies of it; npm passes no other signal on, nor a kill -9. (A script of package.json that begins
 * with `exec` takes the place of the shell: `npm start` passes SIGTERM and SIGINT to the node itself.)
 */
function whenOrphaned(stop: () => void): void {
  // Children of other scripts inherit this variable too, and may outlive their parents.
  if (!/\bsealpost\b/.test(process.env['npm_lifecycle_script'] ?? '')) return;
  const timer = setInterval(() => {
    if (process.ppid === PARENT) return;
    clearInterval(timer);
    stop();
  }, PARENT_INTERVAL_MS).unref();
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
