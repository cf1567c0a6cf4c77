import { stderr, stdin } from 'node:process';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { SealpostError } from '#shared/errors.ts';
import { Secret } from '#shared/secret.ts';
import { usageError } from './exit.ts';

/**
 * A password from the terminal without echo, or the first line of standard input. Never from the arguments: those
 * are in the shell's history and in the list of processes.
 */
export async function askPassword(prompt: string, options: { fromStdin: boolean; twice: boolean }): Promise<Secret> {
  if (options.fromStdin) return new Secret(notEmpty(await firstLine()));
  if (!stdin.isTTY) throw usageError('there is no terminal to ask on: pipe the password in with --password-stdin');
  const password = notEmpty(await ask(`${prompt}: `));
  if (options.twice && (await ask(`${prompt}, once more: `)) !== password) {
    throw new SealpostError('mismatch', 'the two passwords differ: nothing was changed');
  }
  return new Secret(password);
}

function notEmpty(password: string): string {
  if (password === '') throw new SealpostError('empty', 'the password is empty: nothing was changed');
  return password;
}

async function firstLine(): Promise<string> {
  let text = '';
  for await (const chunk of stdin.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk;
    if (text.includes('\n')) break;
  }
  return text.split(/\r?\n/, 1)[0] ?? '';
}

/** Readline edits the line in raw mode and echoes what it is told to; it is told to echo nothing. */
async function ask(prompt: string): Promise<string> {
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const line = createInterface({ input: stdin, output: mute, terminal: true });
  const aborted = new AbortController();
  line.once('SIGINT', () => aborted.abort());
  stderr.write(prompt);
  try {
    return await line.question('', { signal: aborted.signal });
  } catch (error) {
    // Control-C aborts through the signal, Control-D by itself.
    if (error instanceof Error && error.name === 'AbortError') {
      throw new SealpostError('aborted', 'nothing was changed');
    }
    throw error;
  } finally {
    line.close();
    stderr.write('\n');
  }
}
