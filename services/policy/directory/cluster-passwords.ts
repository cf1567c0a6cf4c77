import { type PasswordHash, parsePasswordHash } from '#cluster/config/users/password.ts';
import { isInNetwork, parseIp, parseNetwork } from '#shared/address/ip-address.ts';
import { readAppPassword } from '#shared/directory/app-password.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import type { AppPassword, UserRecord } from '#shared/directory/records.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { unwrapSecret, type WrappedSecret } from '#shared/dkim/secret-wrap.ts';
import { errorText } from '#shared/errors.ts';
import type { Verified, Verify } from './account.ts';
import { verifyHash } from './file-entries.ts';

/**
 * Passwords of the cluster's directory. A hash is unwrapped when its user logs in, and forgotten after that. What was typed
 * is compared with one hash: that of the app password whose tag it has, else that of the user's own password.
 */
export type ClusterPasswordDeps = {
  /** The NEKs of the configuration, or why there are none; read again where they are said to be old. */
  neks: (again: boolean) => Promise<Nek[] | string>;
  /** An app password was right. */
  used: (user: string, app: AppPassword) => void;
};

export function verifyUser(user: UserRecord, { neks, used }: ClusterPasswordDeps): Verify {
  return async (typed, address): Promise<Verified> => {
    const text = readAppPassword(Buffer.from(typed).toString('utf8'));
    const app = text && user.appPasswords.find(({ tag }) => tag === text.tag);
    const [wrapped, password] =
      app === undefined ? [user.password, typed] : [app.password, Buffer.from(text?.text ?? '')];
    const hash = wrapped && (await unwrapped(wrapped, { user: user.name, tag: app?.tag }, neks));
    if (typeof hash === 'string') return { outcome: 'unchecked', reason: hash };
    const verified = await verifyHash(hash)(password, address);
    if (hash === undefined) return { outcome: 'wrong', reason: 'the user has no password' };
    if (verified.outcome !== 'right' || app === undefined) return verified;
    if (!mayComeFrom(app, address)) {
      return { outcome: 'wrong', reason: `the app password ${app.name} is not for clients of this network` };
    }
    used(user.name, app);
    return { outcome: 'right', appPassword: app.name };
  };
}

/** The hash, or why it is not known. */
async function unwrapped(
  wrapped: WrappedSecret,
  { user, tag }: { user: string; tag: string | undefined },
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

/** Where the address tells nothing, as behind the gateway of a container network, nobody comes from a network. */
function mayComeFrom({ networks }: AppPassword, address: string | undefined): boolean {
  if (networks.length === 0) return true;
  const ip = address === undefined ? undefined : parseIp(address);
  return (
    ip !== undefined &&
    networks.some((text) => {
      const network = parseNetwork(text);
      return network !== undefined && isInNetwork(ip, network);
    })
  );
}
