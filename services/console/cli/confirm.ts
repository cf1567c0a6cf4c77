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
  const agreed = await ask(`${what}. Go on? [y/N] `, () =>
    usageError(`${what}. There is no terminal to ask on: use --yes`),
  );
  if (!agreed) throw new SealpostError('aborted', 'nothing was changed');
}

/** Whether the answer to a question is yes. Fails with `nobody` without a terminal, with `aborted` when it is closed. */
export async function ask(question: string, nobody: () => SealpostError): Promise<boolean> {
  if (!stdin.isTTY) throw nobody();
  const line = createInterface({ input: stdin, output: stderr });
  const aborted = new AbortController();
  line.once('SIGINT', () => aborted.abort()).once('close', () => aborted.abort());
  const answer = await line.question(question, { signal: aborted.signal }).catch(() => {
    // Control-C and Control-D.
    throw new SealpostError('aborted', 'nothing was changed');
  });
  line.close();
  return /^y(es)?$/i.test(answer.trim());
}
