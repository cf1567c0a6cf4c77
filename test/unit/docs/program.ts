import { type Command, CommanderError } from 'commander';
import { match } from '#services/console/cli/commands/keymgmt.ts';
import { createProgram } from '#services/console/cli/program.ts';
import { errorText } from '#shared/errors.ts';

/** The command line without its effects: what it takes and what it refuses. */

export type Program = {
  /** Why a command line is refused; undefined: it would run. In a `mention` arguments may be missing. */
  objection(args: readonly string[], form: 'command line' | 'mention'): Promise<string | undefined>;
  /** Commands at the top, such as `queue`. */
  names: ReadonlySet<string>;
  /** Long options of any command. */
  options: ReadonlySet<string>;
};

export async function loadProgram(): Promise<Program> {
  const program = await createProgram(undefined, false);
  const all = commandsBelow(program);
  const keymgmt = all.find((command) => command.name() === 'keymgmt');
  const forms = keymgmt === undefined ? [] : formsOf(keymgmt);
  for (const command of all) {
    command
      .exitOverride()
      .configureOutput({ writeOut: () => undefined, writeErr: () => undefined, outputError: () => undefined });
    if (command.commands.length === 0) command.action(() => undefined);
  }
  keymgmt?.action((words: string[]) => {
    if (!forms.some((form) => match(form, words) !== undefined))
      throw new Error(`no form of keymgmt is "${words.join(' ')}"`);
  });
  return {
    names: new Set(program.commands.map((command) => command.name())),
    options: new Set(['--help', ...all.flatMap((command) => command.options.flatMap(({ long }) => long ?? []))]),
    async objection(args, form) {
      try {
        await program.parseAsync(args, { from: 'user' });
        return undefined;
      } catch (error) {
        // A group of commands without one of them prints its help.
        if (error instanceof CommanderError && (error.exitCode === 0 || error.code === 'commander.help'))
          return undefined;
        const missing = error instanceof CommanderError && /^commander\.(?:missing|optionMissing)/.test(error.code);
        return missing && form === 'mention' ? undefined : errorText(error);
      }
    },
  };
}

function commandsBelow(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsBelow)];
}

/** The forms that the help of keymgmt lists. */
function formsOf(keymgmt: Command): string[] {
  let help = '';
  keymgmt.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  const lines = help.slice(help.indexOf('Forms:')).split('\n').slice(1);
  return lines.flatMap((line) => /^ {2}(\S.*?) {2,}\S/.exec(line)?.[1] ?? []);
}
