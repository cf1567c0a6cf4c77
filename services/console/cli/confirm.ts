import { stderr, stdin } from 'node:process';
import { createInterface } from 'node:readline/promises';
import { SealpostError } from '#shared/errors.ts';
import { usageError } from './exit.ts';

/**
 * Ask before an action that cannot be undone. `what` is what will happen. Fails with `aborted` when the answer is not
 * yes, with `usage` without a terminal and without `yes`.
 */
export async function confirm(what: string, { yes = false }: { yes?: boolean }): Promise<void> {
  if (yes) return;
  if (!stdin.isTTY) throw usageError(`${what}. There is no terminal to ask on: use --yes`);
  const line = createInterface({ input: stdin, output: stderr });
  const aborted = new AbortController();
  line.once('SIGINT', () => aborted.abort()).once('close', () => aborted.abort());
  const answer = await line
    .question(`${what}. Go on? [y/N] `, { signal: aborted.signal })
    // Control-C and Control-D.
    .catch(() => '');
  line.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new SealpostError('aborted', 'nothing was changed');
}
