import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { formatSize, formatTime } from '#shared/units.ts';
import { print } from '../context.ts';
import { EXIT, usageError } from '../exit.ts';
import { Progress } from '../mail/bulk/progress.ts';
import { cleanLines } from '../table.ts';
import { ArchiveReader } from './archive/reader.ts';
import { type PassphraseOption, readUnlock } from './keys.ts';
import { type RestoreResult, restore } from './restore.ts';

/** `sealpost restore`: its options, and what it says. */

export function register(program: Command): void {
  program
    .command('restore')
    .description('put a backup back on this machine, whose node does not run; what is there is not overwritten')
    .argument('<file>', 'a backup that "sealpost backup" made')
    .option('-i, --identity <file>', 'file with the private key of age that it was encrypted for')
    .option('--passphrase-file <file>', 'file with the passphrase, on its first line')
    .option('--dry-run', 'check all of it, say what would be done, and write nothing')
    .option('--root <folder>', 'put everything below this folder, as a trial: nobody is asked')
    .option('--no-files', 'leave the files out: configuration, NEKs, certificates')
    .option('-c, --config <file>', 'with --no-files, the configuration of this machine (default: where it was)')
    .option('--no-records', 'leave the records out: keys, users')
    .addOption(
      new Option(
        '--queue <how>',
        'put mail into the queue too: it is delivered at the start, or waits for "queue release"',
      ).choices(['deliver', 'hold']),
    )
    .option('--node <name...>', 'whose mail (default: that of this node)')
    .option('--lost <name...>', 'nodes whose disks are lost for good, and that need not be asked for their mail')
    .option('--json', 'print JSON for programs')
    .addHelpText(
      'after',
      '\nWithout --identity the passphrase is asked for, or read from SEALPOST_BACKUP_PASSPHRASE. Files go where they were.' +
        '\nMail of a backup may have been delivered since: what other nodes know of is left out; docs/operate/backup.md has the rest.' +
        '\nExit code 1: nothing was restored, as the error says; or records were left out, as the warnings say.',
    )
    .action(run);
}

type Options = PassphraseOption & {
  identity?: string;
  dryRun?: boolean;
  root?: string;
  config?: string;
  files: boolean;
  records: boolean;
  queue?: 'deliver' | 'hold';
  node?: string[];
  lost?: string[];
  json?: boolean;
};

async function run(file: string, options: Options): Promise<void> {
  const { queue, node, lost = [], root, dryRun = false } = options;
  if (queue === undefined && (node !== undefined || lost.length > 0)) {
    throw usageError('--node and --lost are about mail, which is restored with --queue only');
  }
  if (options.files && options.config !== undefined) {
    throw usageError('the configuration is in the backup: --config goes with --no-files only');
  }
  await using archive = await ArchiveReader.open(file, () => readUnlock(options));
  const progress = new Progress(options.json !== true);
  try {
    const result = await restore({
      ...{ archive, dryRun, progress, files: options.files, records: options.records },
      root: root === undefined ? undefined : resolve(root),
      config: options.config,
      mail: queue && { mode: queue, nodes: node, lost },
    });
    progress.end();
    tell(file, options, result);
  } finally {
    progress.end();
  }
}

function tell(file: string, options: Options, result: RestoreResult): void {
  const { manifest, files, records, mail, living, warnings } = result;
  for (const warning of warnings) console.error(cleanLines(`warning: ${warning}`));
  const undone = (records?.differs.length ?? 0) + (records?.refused.length ?? 0);
  if (undone > 0) process.exitCode = EXIT.failed;
  const { created, sealpost, node } = manifest;
  const paths = files && {
    written: files.missing.map(({ path }) => path),
    same: files.same.map(({ path }) => path),
  };
  const value = {
    file,
    created,
    sealpost,
    node,
    dryRun: options.dryRun === true,
    living,
    files: paths,
    records,
    mail,
    warnings,
  };
  print(options, value, () => lines(options, result).join('\n'));
}

function lines({ dryRun = false }: Options, result: RestoreResult): string[] {
  const { manifest, files, records, mail, living } = result;
  const [did, put] = dryRun ? ['would be written', 'would be restored'] : ['written', 'restored'];
  return [
    `backup of ${formatTime(Date.parse(manifest.created))}, made on ${manifest.node} by Sealpost ${manifest.sealpost}: it is whole`,
    ...(living.length === 0 ? [] : [`nodes that run: ${living.join(', ')}; what they have is left as it is`]),
    ...(files === undefined ? [] : [`files: ${files.missing.length} ${did}, ${files.same.length} were there`]),
    ...(files?.missing.map(({ path, size }) => `  ${path}, ${formatSize(size)}`) ?? []),
    ...manifest.environment.map(
      ({ name }) => `  set the environment variable ${name}: the backup has it as environment/${name}`,
    ),
    ...(records === undefined
      ? []
      : [
          `records: ${records.restored} ${put}, ${records.same} were there, ${records.older} are newer here`,
          ...records.differs.map((key) => `  left alone, begun anew since the backup: ${key}`),
          ...records.refused.map(({ key, reason }) => `  refused: ${key}: ${reason}`),
        ]),
    ...mailLines(mail, put),
    ...(dryRun ? ['dry run: nothing was written'] : [`start the node now: ${result.data} has it all`]),
  ];
}

function mailLines(mail: RestoreResult['mail'], put: string): string[] {
  if (mail === undefined) return [];
  return [
    ...mail.counts.map(({ node, messages, known: { queued, finished, copy, damaged } }) => {
      const known = [
        ...(queued > 0 ? [`${queued} are in a queue`] : []),
        ...(finished > 0 ? [`${finished} have left it`] : []),
        ...(copy > 0 ? [`${copy} have a copy elsewhere`] : []),
        ...(damaged > 0 ? [`${damaged} were set aside`] : []),
      ];
      return [`mail of ${node}: ${messages} messages ${put}`, ...known].join(', ');
    }),
    ...(mail.left.length === 0 ? [] : [`mail of ${mail.left.join(', ')} was left out: --node`]),
  ];
}
