import { stdout } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import { formatDuration, formatTime } from '#shared/units.ts';
import { describeError } from '../../reports/describe-error.ts';
import type { CredentialStore } from '../../reports/keys/key-list.ts';
import { rotationText } from '../../reports/keys/text.ts';
import type { CommonOptions } from '../context.ts';
import { EXIT, exitCodeOf } from '../exit.ts';
import { clean, jsonText, shorten } from '../table.ts';

/**
 * Follows a rotation until it has ended. It only looks: the rotation goes on by itself when this ends. The node is
 * polled; when it does not answer, that is said once and the polling goes on.
 */

const POLL_MS = 500;
const PATIENCE = { timeout: 5000 };
/** The exit code of a command that Control-C ended. */
const INTERRUPTED = 130;

/** Show a rotation from what is known of it, `first`, to its end. Sets exit code 0 only when every node has switched. */
export async function watchRotation(
  store: CredentialStore,
  first: RotationStatus,
  options: CommonOptions,
): Promise<void> {
  const view = options.json ? jsonView() : stdout.isTTY ? terminalView() : lineView();
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once('SIGINT', interrupt);
  try {
    for (let known = first; ; ) {
      view.show(known);
      if (isOver(known)) {
        view.end();
        if (known.state === 'stopped' || known.state === 'rolled-back') process.exitCode = EXIT.failed;
        return;
      }
      const next = await news(store, known, view, interrupted.signal);
      if (next === undefined) break;
      known = next;
    }
  } finally {
    process.removeListener('SIGINT', interrupt);
  }
  view.end();
  const { domain } = first;
  console.error(
    `The rotation continues. To watch it: sealpost keys watch ${domain}; to stop it: sealpost keys freeze ${domain}`,
  );
  process.exitCode = INTERRUPTED;
}

/** Whether nothing more will happen: every node has switched, or the rotation ended otherwise. */
function isOver({ state, sideBySideUntil }: RotationStatus): boolean {
  return sideBySideUntil !== undefined || (state !== 'running' && state !== 'frozen');
}

/** The rotation as it is a moment later, however long it takes to find out; undefined when interrupted. */
async function news(
  store: CredentialStore,
  known: RotationStatus,
  view: View,
  interrupted: AbortSignal,
): Promise<RotationStatus | undefined> {
  const stop = ended(interrupted);
  while (!interrupted.aborted) {
    await delay(POLL_MS, undefined, { signal: interrupted }).catch(() => undefined);
    try {
      const rotation = await Promise.race([store['rotation-show']({ domain: known.domain }, PATIENCE), stop]);
      if (rotation === undefined || rotation.id === known.id) return rotation;
      if (rotation.started > known.started) throw superseded(known);
      view.trouble('a node answers that has yet to hear of this rotation');
    } catch (error) {
      if (!mayPass(error)) throw error;
      view.trouble(error instanceof SealpostError ? describeError(error) : errorText(error));
    }
  }
  return undefined;
}

/** Resolves when the signal comes, so that an interrupted command does not wait for an answer. */
function ended(signal: AbortSignal): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  if (signal.aborted) resolve(undefined);
  else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  return promise;
}

/** No node answers, or one that knows less than this command. */
function mayPass(error: unknown): boolean {
  const code = errorCode(error);
  return exitCodeOf(error) === EXIT.unreachable || code === CALL_ERRORS.busy || code === 'not-found';
}

function superseded({ domain }: RotationStatus): SealpostError {
  return new SealpostError(
    'superseded',
    `this rotation of ${domain} ended while no node answered, and another one has begun: sealpost keys list ${domain}`,
  );
}

type View = {
  show(rotation: RotationStatus): void;
  /** No news, and why; the last words are not repeated. */
  trouble(reason: string): void;
  end(): void;
};

/** One JSON object a line: `{ rotation }` whenever it changed, `{ trouble }` when there is no news. */
function jsonView(): View {
  let last = '';
  const line = (value: object): void => {
    const text = jsonText(value);
    if (text !== last) console.log(text);
    last = text;
  };
  return {
    show: (rotation) => line({ rotation }),
    trouble: (reason) => line({ trouble: reason }),
    end: () => undefined,
  };
}

/** Every event and every new reason to wait on a line, for a pipe or a file. */
function lineView(): View {
  const events = newEvents();
  let status = '';
  const say = (text: string): void => {
    if (text !== status) console.log(clean(text));
    status = text;
  };
  return {
    show(rotation) {
      for (const event of events(rotation)) console.log(clean(event));
      say(standing(rotation));
    },
    trouble: (reason) => say(`no news: ${reason}; asking again`),
    end: () => undefined,
  };
}

/** Events as lines, and below them one line that is redrawn. */
function terminalView(): View {
  const events = newEvents();
  const began = Date.now();
  const draw = (text: string): void => {
    const line = `${clean(text)} (${formatDuration(Date.now() - began)})`;
    // A terminal that does not know its width says 0.
    stdout.write(`\r\x1b[K${shorten(line, (stdout.columns || 80) - 1)}`);
  };
  return {
    show(rotation) {
      for (const event of events(rotation)) stdout.write(`\r\x1b[K${clean(event)}\n`);
      if (isOver(rotation)) stdout.write(`\r\x1b[K${clean(rotationText(rotation))}`);
      else draw(standing(rotation));
    },
    trouble: (reason) => draw(`no news: ${reason}; asking again`),
    end: () => void stdout.write('\n'),
  };
}

/** What `show` says below the events. No time passes in it, so that it can be compared. */
function standing(rotation: RotationStatus): string {
  const { state, to, waiting } = rotation;
  if (state !== 'running' || isOver(rotation)) return rotationText(rotation);
  const states = to.map((key) => `${key.selector} is ${key.state}`).join(', ');
  return waiting === undefined ? states : `${states}; ${waiting}`;
}

/** Gives the events that came since it was asked before, as lines. The rotation keeps the last 50. */
function newEvents(): (rotation: RotationStatus) => string[] {
  let seen = new Set<string>();
  return ({ events }) => {
    const fresh = events.filter((event) => !seen.has(JSON.stringify(event)));
    seen = new Set(events.map((event) => JSON.stringify(event)));
    return fresh.map(({ at, node, text }) => clean(`${formatTime(at)}  ${node}  ${text}`));
  };
}
