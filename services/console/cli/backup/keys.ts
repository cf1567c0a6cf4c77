import { readFile } from 'node:fs/promises';
import { stdin } from 'node:process';
import { unreadable } from '#cluster/config/secrets.ts';
import { SealpostError } from '#shared/errors.ts';
import { Secret } from '#shared/secret.ts';
import { usageError } from '../exit.ts';
import { askPassword } from '../password.ts';
import type { Lock, Unlock } from './archive/encryption.ts';

/**
 * What closes and opens a backup. A passphrase comes from a file, from the environment or from the terminal, never from
 * the command line, which the shell keeps and every process of the machine sees. A public key may stand there: a timer that
 * makes backups needs no secret.
 */
export const PASSPHRASE_VARIABLE = 'SEALPOST_BACKUP_PASSPHRASE';

export type PassphraseOption = { passphraseFile?: string };

/** Fails with `usage` or `file-unreadable`. */
export async function readLock(options: PassphraseOption & { recipient?: string[] }): Promise<Lock> {
  const { recipient: recipients } = options;
  if (recipients === undefined) return { passphrase: await readPassphrase(options, 'made') };
  if (options.passphraseFile !== undefined) {
    throw usageError('--recipient and --passphrase-file exclude each other: age takes the one or the other');
  }
  return { recipients };
}

/** Fails with `usage` or `file-unreadable`. */
export async function readUnlock(options: PassphraseOption & { identity?: string }): Promise<Unlock> {
  const { identity, passphraseFile } = options;
  if (identity === undefined) return { passphrase: await readPassphrase(options, 'opened') };
  if (passphraseFile !== undefined) throw usageError('--identity and --passphrase-file exclude each other');
  const identities = linesOf(await readText(identity)).filter((line) => !line.startsWith('#'));
  if (identities.length === 0) throw usageError(`${identity} holds no private key of age (age-keygen makes one)`);
  return { identities: identities.map((line) => new Secret(line)) };
}

async function readPassphrase({ passphraseFile }: PassphraseOption, how: 'made' | 'opened'): Promise<Secret> {
  if (passphraseFile !== undefined) {
    const [first] = (await readText(passphraseFile)).split(/\r?\n/, 1);
    if (first === undefined || first === '') throw new SealpostError('empty', `${passphraseFile} holds no passphrase`);
    return new Secret(first);
  }
  const given = process.env[PASSPHRASE_VARIABLE];
  if (given !== undefined && given !== '') return new Secret(given);
  if (!stdin.isTTY) {
    const key = how === 'made' ? '--recipient' : '--identity';
    throw usageError(
      `there is no terminal to ask for a passphrase: use ${key}, --passphrase-file or ${PASSPHRASE_VARIABLE}`,
    );
  }
  return askPassword('Passphrase of the backup', { fromStdin: false, twice: how === 'made' });
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new SealpostError('file-unreadable', unreadable(file, error));
  }
}

function linesOf(text: string): string[] {
  return text.split(/\r?\n/).flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
}
