import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { unreadable } from '#cluster/config/secrets.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { writeNew } from '../keys/export.ts';

/**
 * The password of a user of the bus, from its file; a new one where there is none. Fails with `invalid-password` when
 * the file holds what nats-server would not take as a password, and with `secret-unreadable`.
 */
export async function readPassword(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw new SealpostError('secret-unreadable', unreadable(file, error));
    text = `${randomBytes(32).toString('base64url')}\n`;
    await writeNew(file, text, 0o600);
  }
  const password = text.replace(/\r?\n$/, '');
  // nats-server knows a hash by its beginning, and would ask for what it is the hash of.
  if (/^[\x21-\x7e]+$/.test(password) && !/^\$2[abxy]\$/.test(password)) return password;
  throw new SealpostError(
    'invalid-password',
    `file ${file} holds no password: it must be one line of printable ASCII without spaces, and not a bcrypt hash; ` +
      'remove the file to have one made',
  );
}
