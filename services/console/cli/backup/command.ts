import { createHash } from 'node:crypto';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { stdout } from 'node:process';
import type { Command } from 'commander';
import { requireConfig } from '#cluster/config/load.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { syncFolder } from '#shared/files/folder.ts';
import { newId } from '#shared/ids.ts';
import { formatSize } from '#shared/units.ts';
import { type CommonOptions, configFile, print, readConfig, withCommon } from '../context.ts';
import { EXIT, usageError } from '../exit.ts';
import { Progress } from '../mail/bulk/progress.ts';
import { cleanLines } from '../table.ts';
import type { Sink } from './archive/writer.ts';
import { type BackupResult, writeBackup } from './backup.ts';
import { type PassphraseOption, readLock } from './keys.ts';

/** `sealpost backup`: its options, the file that it writes, and what it says. */

export function register(program: Command): void {
  withCommon(program.command('backup'))
    .description('NEKs, keys, certificates, users and the configuration of a cluster in one encrypted file')
    .argument('<file>', 'a new file; - for standard output')
    .option('-r, --recipient <key...>', 'public keys of age (age1…) that it is encrypted for')
    .option('--passphrase-file <file>', 'file with a passphrase, on its first line')
    .option('--include <path...>', 'files and folders besides those that the configuration names')
    .option('--queue', 'the mail in the queues of all nodes too')
    .addHelpText(
      'after',
      '\nWithout --recipient a passphrase is asked for, or read from SEALPOST_BACKUP_PASSPHRASE. --include takes what the' +
        '\nconfiguration does not name: the folder of "cluster init", the configuration of nats-server. "age" opens the file' +
        '\ntoo. Exit code 1: there is a backup, and it lacks what the warnings say; or there is none, as the error says.',
    )
    .action(backup);
}

type Options = CommonOptions & PassphraseOption & { recipient?: string[]; include?: string[]; queue?: boolean };

async function backup(file: string, options: Options): Promise<void> {
  if (file === '-' && options.json) throw usageError('- prints the backup itself: leave --json out');
  if (file === '-' && stdout.isTTY) throw usageError('a backup is not for a terminal: name a file, or pipe it on');
  const named = configFile(options);
  const config =
    named === undefined ? await readConfig(options) : (await requireConfig(named, { files: false })).config;
  const lock = await readLock(options);
  const progress = new Progress(options.json !== true);
  const { include = [], queue = false } = options;
  const making = { configFile: named, config, lock, include, queue, progress };
  const output = file === '-' ? standardOutput() : await newFile(file);
  let result: BackupResult;
  try {
    result = await writeBackup(making, output.sink);
    await output.keep();
  } catch (error) {
    await output.drop();
    throw error;
  } finally {
    progress.end();
  }
  tell(file, options, result, output.end());
}

function tell(
  file: string,
  options: Options,
  { manifest, absent, warnings }: BackupResult,
  written: { bytes: number; sha256: string },
): void {
  for (const path of absent) console.error(cleanLines(`not on this machine, and not in the backup: ${path}`));
  for (const warning of warnings) console.error(cleanLines(`warning: ${warning}`));
  if (warnings.length > 0) process.exitCode = EXIT.failed;
  if (file === '-') return;
  const { created, node, files, records, queues, missing } = manifest;
  const messages = queues.reduce((sum, one) => sum + one.messages, 0);
  const counts = { files: files.length, keys: records.keys.records, directory: records.directory.records };
  const value = { file, ...written, created, node, ...counts, messages, absent, missing, warnings };
  print(options, value, () =>
    [
      `wrote ${file}: ${formatSize(written.bytes)}, ${files.length} files, ${counts.keys} records of keys and certificates,` +
        ` ${counts.directory} of the directory${options.queue ? `, ${messages} messages` : ''}`,
      `SHA-256 ${written.sha256}`,
    ].join('\n'),
  );
}

type Output = {
  sink: Sink;
  /** It is complete. */
  keep(): Promise<void>;
  /** It is worth nothing. */
  drop(): Promise<void>;
  end(): { bytes: number; sha256: string };
};

function standardOutput(): Output {
  const write: Sink = (bytes) =>
    new Promise((resolve, reject) => stdout.write(bytes, (error) => (error ? reject(error) : resolve())));
  return { ...counted(write), keep: async () => undefined, drop: async () => undefined };
}

/** Written beside its name, which it takes when it is complete and synced. Fails with `exists`. */
async function newFile(path: string): Promise<Output> {
  const beside = join(dirname(path), `.${basename(path)}.${newId()}`);
  const there = await open(path, 'r').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  await there?.close();
  if (there !== undefined) throw exists(path);
  const handle: FileHandle = await open(beside, 'wx', 0o600);
  return {
    ...counted((bytes) => handle.writeFile(bytes)),
    keep: async () => {
      await handle.sync();
      await handle.close();
      await takeName(beside, path);
      await syncFolder(dirname(path));
    },
    drop: async () => {
      await handle.close().catch(() => undefined);
      await rm(beside, { force: true });
    },
  };
}

/** Unlike a rename, a link replaces nothing; some file systems have none. */
async function takeName(beside: string, path: string): Promise<void> {
  try {
    await link(beside, path);
    await rm(beside);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') throw exists(path);
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errorCode(error) ?? '')) throw error;
    await rename(beside, path);
  }
}

function exists(path: string): SealpostError {
  return new SealpostError('exists', `${path} is there already and is not overwritten: name another file`);
}

function counted(write: Sink): Pick<Output, 'sink' | 'end'> {
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    sink: async (piece) => {
      hash.update(piece);
      bytes += piece.length;
      await write(piece);
    },
    end: () => ({ bytes, sha256: hash.digest('hex') }),
  };
}
