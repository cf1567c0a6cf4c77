import type { Command } from 'commander';
import { withCommon } from '../../context.ts';
import { exportFile, importFile } from '../transfer.ts';

export function register(program: Command): void {
  const directory = program
    .command('directory')
    .description("the cluster's directory as a whole: users, aliases, groups, maps");
  const command = (name: string, text: string): Command => withCommon(directory.command(name).description(text));
  command('import', 'take over what a users file has; what is there under the same names is replaced, the rest stays')
    .argument('<file>', 'the users file, YAML')
    .action(importFile);
  command('export', 'write all of it as a users file, with the password hashes; where the NEK is')
    .requiredOption('--out <file>', 'a new file; - for standard output, which must be no terminal')
    .action(exportFile);
}
