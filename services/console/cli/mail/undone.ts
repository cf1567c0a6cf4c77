import { errorText } from '#shared/errors.ts';
import { exitCodeOf } from '../exit.ts';
import { cleanLines } from '../table.ts';

/** Say what a command has not done because a router did not answer. It goes on with the others, and fails in the end. */
export function tellUndone(what: string, error: unknown): void {
  console.error(cleanLines(`sealpost: ${what}: ${errorText(error)}`));
  process.exitCode = exitCodeOf(error);
}
