import { Decrypter, Encrypter } from 'age-encryption';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Secret } from '#shared/secret.ts';

/** `age` (C2SP, age-encryption.org/v1): the one thing that keeps a backup secret, and that tells when it was changed. */

/** How a backup is closed: for public keys, or with a passphrase. */
export type Lock = { recipients: readonly string[] } | { passphrase: Secret };
/** How it is opened: with private keys, or with the passphrase. */
export type Unlock = { identities: readonly Secret[] } | { passphrase: Secret };

/** Longest beginning of a file, with the keys for its recipients. */
export const LONGEST_HEADER = 64 * 1024;

/** Fails with `usage` where a recipient is none. */
export function encrypter(lock: Lock): Encrypter {
  const made = new Encrypter();
  if ('passphrase' in lock) {
    made.setPassphrase(lock.passphrase.reveal());
    return made;
  }
  for (const recipient of lock.recipients) {
    try {
      made.addRecipient(recipient);
    } catch (error) {
      const text = `"${recipient}" is not a public key of age (age1…): ${errorText(error)}`;
      throw new SealpostError('usage', text, { cause: error });
    }
  }
  return made;
}

/**
 * What decrypts a file with these first bytes, any number of times: the key of the file is taken out of them once. Fails
 * with `backup-key` where it was closed otherwise, and with `backup-damaged` where it is not an age file.
 */
export async function decrypter(unlock: Unlock, beginning: Uint8Array): Promise<Decrypter> {
  const opening = new Decrypter();
  if ('passphrase' in unlock) opening.addPassphrase(unlock.passphrase.reveal());
  else for (const identity of unlock.identities) addIdentity(opening, identity);
  let fileKey: Uint8Array;
  try {
    fileKey = await opening.decryptHeader(beginning);
  } catch (error) {
    throw explain(error, 'passphrase' in unlock);
  }
  const made = new Decrypter();
  made.addIdentity({ unwrapFileKey: () => fileKey });
  return made;
}

function addIdentity(opening: Decrypter, identity: Secret): void {
  try {
    opening.addIdentity(identity.reveal());
  } catch {
    // What the library says may quote the key.
    throw new SealpostError('usage', 'the file of --identity holds something that is not a private key of age');
  }
}

function explain(error: unknown, withPassphrase: boolean): SealpostError {
  if (/no identity matched/.test(errorText(error))) {
    const what = withPassphrase
      ? 'the passphrase does not open the backup, or it was made for a public key (--identity), or its beginning is damaged'
      : 'none of the private keys opens the backup, or it was made with a passphrase, or its beginning is damaged';
    return new SealpostError('backup-key', what);
  }
  const text = `the file is not a backup, or its beginning is damaged: ${errorText(error)}`;
  return new SealpostError('backup-damaged', text, { cause: error });
}
