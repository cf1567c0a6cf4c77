import type { Command } from 'commander';
import { readTextFile } from '../import/text-file.ts';
import { planNotesIni } from '../migration/domino/notes-ini.ts';
import { planHaraka } from '../migration/haraka/haraka.ts';
import { planPostfix } from '../migration/postfix/postfix.ts';
import { type ImportOptions, runImport } from '../migration/run.ts';

/** What each command is given. */
const WHAT = { 'notes.ini': 'notes.ini', postfix: 'main.cf', haraka: 'config of Haraka, which has the file plugins' };

/** `sealpost import …`: the configuration of another mail server as a sealpost.yaml. Needs no node. */
export function register(program: Command): void {
  const group = program
    .command('import')
    .description('make a sealpost.yaml of the configuration of another mail server, with an account of every setting')
    .addHelpText(
      'after',
      '\nExit codes: 0 every setting has its answer, 1 there are problems, 2 a question could not be asked.',
    );
  const command = (name: keyof typeof WHAT, text: string): Command =>
    group
      .command(name)
      .description(text)
      .argument(name === 'haraka' ? '<folder>' : '<file>', WHAT[name])
      .option('--out <file>', 'where it is written; other files go beside it', 'sealpost.yaml')
      .option('--data <folder>', 'node.data: the folder of its queue and keys, such as /var/lib/sealpost')
      .option('--hostname <name>', 'node.hostname, where it is not in what is imported')
      .option('--dry-run', 'write nothing, print it')
      .option('--accept-open-relay', 'take over what opens the relay, without a question')
      .option('--without-open-relay', 'leave out what opens the relay, without a question')
      .option('--json', 'print JSON for programs');
  command('notes.ini', 'the settings of a Domino server').action(importNotesIni);
  command('postfix', 'main.cf of Postfix, or what "postconf -n" prints; the tables that it names are read too')
    .option('--master <file>', 'master.cf, for the ports')
    .option('--opendkim <file>', 'opendkim.conf, for the domains that it signs')
    .action(importPostfix);
  command('haraka', 'the folder config of Haraka').action(importHaraka);
}

async function importNotesIni(file: string, options: ImportOptions): Promise<void> {
  const text = await readTextFile(file);
  await runImport(file, async () => planNotesIni(text, file), options);
}

async function importHaraka(folder: string, options: ImportOptions): Promise<void> {
  await runImport(folder, (choice) => planHaraka(folder, choice), options);
}

async function importPostfix(
  file: string,
  options: ImportOptions & { master?: string; opendkim?: string },
): Promise<void> {
  const { master, opendkim } = options;
  await runImport(file, (choice) => planPostfix(file, { master, opendkim }, choice), options);
}
