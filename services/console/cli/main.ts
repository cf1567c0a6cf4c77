import { CommanderError } from 'commander';
import { EXIT, exitCodeOf, failureText } from './exit.ts';
import { createProgram } from './program.ts';

/**
 * The console: everything that people ask a node or a cluster. This file is where the program begins; `program.ts` has
 * the table of its commands.
 *
 *   cli/          what is common to commands: which node is meant (context), exit codes (exit), tables, passwords
 *     commands/   one file for each command: its options, and what it does where that is little
 *     start/      sealpost start: the life of the process, its health, the sandbox
 *     keys/       sealpost keys; import/ takes in the keys of other programs
 *     keymgmt/    the same in Domino's words
 *     migration/  sealpost import: what the settings of other mail servers become
 *     cluster/    sealpost cluster: its secrets, the users of the bus and their permissions, drain
 *   reports/      what is known of nodes and keys, for every interface: facts that are gathered from nodes, checks, and
 *                 words for people. It prints nothing and knows nothing of the command line
 *     doctor/     facts and checks of sealpost doctor
 *     cluster/    facts and checks of sealpost cluster status
 *     keys/       keys, rotations and DNS records in words
 *
 * A new command is a file in commands/ and a line in `program.ts`. What it asks of a service is an operation of that
 * service's contract: docs/build/design.md has the steps.
 */
const asJson = process.argv.includes('--json');

/** `head` and `less` close the pipe when they have seen enough: that is not a failure. */
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
