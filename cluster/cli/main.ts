import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { registerCapture } from '#cluster/cli/commands/capture.ts';
import { registerConfig } from '#cluster/cli/commands/config.ts';
import { registerKeys } from '#cluster/cli/commands/keys.ts';
import { registerQueue } from '#cluster/cli/commands/queue.ts';
import { registerSend } from '#cluster/cli/commands/send.ts';
import { registerStart } from '#cluster/cli/commands/start.ts';
import { registerStatus } from '#cluster/cli/commands/status.ts';
import { registerUsers } from '#cluster/cli/commands/users.ts';
import { EXIT, exitCodeOf, failureText } from '#cluster/cli/exit.ts';

/** Everything that `sealpost` can be asked: one file for each command. */
function createProgram(): Command {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string;
  };
  const program = new Command('sealpost')
    .description('A mail router for the edge of an organisation')
    .version(manifest.version)
    .showHelpAfterError('(try --help)')
    .exitOverride();
  for (const register of [
    registerStart,
    registerStatus,
    registerConfig,
    registerQueue,
    registerKeys,
    registerUsers,
    registerCapture,
    registerSend,
  ]) {
    register(program);
  }
  program.addHelpText('after', `\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 no node answers.`);
  return program;
}

/** `head` and `less` close the pipe when they have seen enough: that is no failure. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  throw error;
});

try {
  await createProgram().parseAsync();
} catch (error) {
  // Commander has printed its own message already.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  else {
    console.error(failureText(error, process.argv.includes('--json')));
    process.exitCode = exitCodeOf(error);
  }
}
