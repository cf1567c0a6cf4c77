import { Command } from 'commander';
import { VERSION } from '#cluster/version.ts';
import { failureText, usageError } from './exit.ts';

/**
 * Every command, in the order of its help; each has a file of its own, in `commands/`, `directory/commands/`,
 * `mail/commands/` or its folder, which describes its arguments and options to commander. Only the file of the command that was asked
 * for is loaded, so that it starts fast.
 */
const COMMANDS: Record<string, () => Promise<{ register(program: Command): void }>> = {
  start: () => import('./commands/start.ts'),
  status: () => import('./commands/status.ts'),
  top: () => import('./commands/top.ts'),
  health: () => import('./commands/health.ts'),
  config: () => import('./commands/config.ts'),
  queue: () => import('./mail/commands/queue.ts'),
  why: () => import('./mail/commands/why.ts'),
  keys: () => import('./commands/keys.ts'),
  keymgmt: () => import('./commands/keymgmt.ts'),
  import: () => import('./commands/import.ts'),
  set: () => import('./commands/set.ts'),
  explain: () => import('./commands/explain.ts'),
  tls: () => import('./commands/tls.ts'),
  transcript: () => import('./mail/commands/transcript.ts'),
  certificates: () => import('./commands/certificates.ts'),
  doctor: () => import('./commands/doctor.ts'),
  cluster: () => import('./commands/cluster.ts'),
  audit: () => import('./audit/command.ts'),
  webhooks: () => import('./webhooks/command.ts'),
  backup: () => import('./backup/command.ts'),
  restore: () => import('./backup/restore-command.ts'),
  users: () => import('./directory/commands/users.ts'),
  aliases: () => import('./directory/commands/aliases.ts'),
  groups: () => import('./directory/commands/groups.ts'),
  directory: () => import('./directory/commands/directory.ts'),
  locks: () => import('./commands/locks.ts'),
  console: () => import('./console/command.ts'),
  dmarc: () => import('./mail/commands/dmarc.ts'),
  capture: () => import('./mail/commands/capture.ts'),
  send: () => import('./commands/send.ts'),
};

/**
 * The program with the command that is asked for; with all commands for help, or when the command does not exist.
 * `asJson`: errors are for programs too.
 */
export async function createProgram(asked: string | undefined, asJson: boolean): Promise<Command> {
  const program = new Command('sealpost')
    .description('A mail router for the edge of an organisation')
    .version(VERSION)
    .showHelpAfterError(asJson ? false : '(try --help)')
    .configureOutput({ outputError: (text, write) => write(`${usageText(text, asJson)}\n`) })
    .exitOverride();
  for (const load of needed(asked)) (await load()).register(program);
  program.addHelpText('after', `\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 no node answers.`);
  return program;
}

/** What must be loaded to answer; commander knows the version by itself. */
function needed(asked: string | undefined): (typeof COMMANDS)[string][] {
  if (asked === '--version' || asked === '-V') return [];
  const own = asked !== undefined && Object.hasOwn(COMMANDS, asked) ? COMMANDS[asked] : undefined;
  return own === undefined ? Object.values(COMMANDS) : [own];
}

/** What commander has to say about wrong usage, in the form of all other errors. */
function usageText(text: string, asJson: boolean): string {
  return failureText(usageError(text.trim().replace(/^error: /, '')), asJson);
}
