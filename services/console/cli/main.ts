import { CommanderError } from 'commander';
import { EXIT, exitCodeOf, failureText } from './exit.ts';
import { createProgram } from './program.ts';

const asJson = process.argv.includes('--json');

/** `head` and `less` close the pipe when they have seen enough: that is no failure. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  throw error;
});

try {
  await (await createProgram(process.argv[2], asJson)).parseAsync();
} catch (error) {
  // Commander has printed its own message already.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  else {
    console.error(failureText(error, asJson));
    process.exitCode = exitCodeOf(error);
  }
}
