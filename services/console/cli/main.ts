import { Command, CommanderError } from 'commander';
import { VERSION } from '#cluster/version.ts';
import { EXIT, exitCodeOf, failureText, usageError } from './exit.ts';

/** Errors are for programs too then. */
const asJson = process.argv.includes('--json');

/** Everything that `sealpost` can be asked, in the order of its help: one file for each command. */
const COMMANDS: Record<string, () => Promise<{ register(program: Command): void }>> = {
  start: () => import('./commands/start.ts'),
  status: () => import('./commands/status.ts'),
  health: () => import('./commands/health.ts'),
  config: () => import('./commands/config.ts'),
  queue: () => import('./commands/queue.ts'),
  keys: () => import('./commands/keys.ts'),
  keymgmt: () => import('./keymgmt/command.ts'),
  doctor: () => import('./commands/doctor.ts'),
  cluster: () => import('./commands/cluster.ts'),
  users: () => import('./commands/users.ts'),
  capture: () => import('./commands/capture.ts'),
  send: () => import('./commands/send.ts'),
};

/** The program with the command that is asked for; with all of them for help, or when there is no such command. */
async function createProgram(asked: string | undefined): Promise<Command> {
  const program = new Command('sealpost')
    .description('A mail router for the edge of an organisation')
    .version(VERSION)
    .showHelpAfterError(asJson ? false : '(try --help)')
    .configureOutput({ outputError: (text, write) => write(`${usageText(text)}\n`) })
    .exitOverride();
  const own = asked !== undefined && Object.hasOwn(COMMANDS, asked) ? COMMANDS[asked] : undefined;
  for (const load of own === undefined ? Object.values(COMMANDS) : [own]) (await load()).register(program);
  program.addHelpText('after', `\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 no node answers.`);
  return program;
}

/** What commander has to say about wrong usage, in the form of all other errors. */
function usageText(text: string): string {
  return failureText(usageError(text.trim().replace(/^error: /, '')), asJson);
}

/** `head` and `less` close the pipe when they have seen enough: that is no failure. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  throw error;
});

try {
  await (await createProgram(process.argv[2])).parseAsync();
} catch (error) {
  // Commander has printed its own message already.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  else {
    console.error(failureText(error, asJson));
    process.exitCode = exitCodeOf(error);
  }
}
