import { hashPassword } from '#cluster/config/users/password.ts';
import { newAppPassword } from '#shared/directory/app-password.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import { userKey } from '#shared/directory/values.ts';
import { type SealedSecret, type SealingKey, sealSecret } from '#shared/dkim/secret-seal.ts';
import { errorCode } from '#shared/errors.ts';
import { Secret } from '#shared/secret.ts';
import type { CredentialStore } from '../keys/key-list.ts';

/** Passwords on their way into the cluster's directory: only their hashes leave this process, and those sealed. */

/** The hash of a password, sealed for a store: it never crosses the bus in clear. */
export async function sealedPassword(
  store: CredentialStore,
  password: Secret,
  { user }: { user: string },
): Promise<SealedSecret> {
  return sealedHash(await store['sealing-key-show']({}), await hashPassword(password.reveal()), { user });
}

export function sealedHash(
  key: SealingKey,
  hash: string,
  { user, tag }: { user: string; tag?: string | undefined },
): SealedSecret {
  return sealSecret(key, passwordPlace(user, tag), Buffer.from(hash));
}

/** Two that begin alike are rare, so a second one is tried. */
const TRIES = 5;

/** Make an app password. Only the caller ever has its text. */
export async function addAppPassword(
  store: CredentialStore,
  { user, name, networks }: { user: string; name: string; networks: string[] },
): Promise<Secret> {
  const key = await store['sealing-key-show']({});
  for (let attempt = 1; ; attempt++) {
    const { tag, text } = newAppPassword();
    const password = sealedHash(key, await hashPassword(text), { user, tag });
    try {
      await store['app-password-create']({ user, name, tag, networks, password });
      return new Secret(text);
    } catch (error) {
      if (errorCode(error) !== 'exists' || attempt === TRIES || (await hasName(store, user, name))) throw error;
    }
  }
}

async function hasName(store: CredentialStore, user: string, name: string): Promise<boolean> {
  const { entry } = await store['entry-show']({ kind: 'user', name: user });
  return entry.kind === 'user' && entry.appPasswords.some((one) => userKey(one.name) === userKey(name));
}
