import { type PasswordHash, parsePasswordHash } from '#cluster/config/users/password.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import type { AppPassword, UserRecord } from '#shared/directory/records.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { unwrapSecret, type WrappedSecret } from '#shared/dkim/secret-wrap.ts';
import { errorText } from '#shared/errors.ts';
import type { Verify } from './account.ts';
import { verifyOf } from './passwords.ts';

/** Passwords of the cluster's directory. A hash is unwrapped when its user logs in, and forgotten after that. */
export type ClusterPasswordDeps = {
  /** The NEKs of the configuration, or why there are none; read again where they are said to be old. */
  neks: (again: boolean) => Promise<Nek[] | string>;
  /** An app password was right. */
  used: (user: string, app: AppPassword) => void;
};

export function verifyUser({ name, password, appPasswords }: UserRecord, { neks, used }: ClusterPasswordDeps): Verify {
  return verifyOf({
    hash: password && (() => unwrapped(password, { user: name }, neks)),
    appPasswords: appPasswords.map((app) => ({
      ...app,
      hash: () => unwrapped(app.password, { user: name, tag: app.tag }, neks),
      used: () => used(name, app),
    })),
  });
}

/** The hash, or why it is not known. */
async function unwrapped(
  wrapped: WrappedSecret,
  { user, tag }: { user: string; tag?: string },
  neks: ClusterPasswordDeps['neks'],
): Promise<PasswordHash | string> {
  const place = passwordPlace(user, tag);
  let known = await neks(false);
  // A NEK that came into the configuration since.
  if (typeof known === 'string' || known.every(({ fingerprint }) => fingerprint !== wrapped.nekFingerprint)) {
    known = await neks(true);
  }
  if (typeof known === 'string') return known;
  try {
    const bytes = unwrapSecret(known, place, wrapped);
    const hash = parsePasswordHash(bytes.toString());
    bytes.fill(0);
    return hash ?? `${place.text} is not an argon2id hash`;
  } catch (error) {
    return errorText(error);
  }
}
