import { decoyHash, type PasswordHash, verifyPassword } from '#cluster/config/users/password.ts';
import { isInNetwork, parseIp, parseNetwork } from '#shared/address/ip-address.ts';
import { readAppPassword } from '#shared/directory/app-password.ts';
import type { Verified, Verify } from './account.ts';

/** Compared with where there is no such user: that must cost what a wrong password costs. */
const DECOY = decoyHash();

/** Where the hash of a password is: at hand, or to be unwrapped first; a text says why it is not known. */
type HashOf = () => PasswordHash | string | Promise<PasswordHash | string>;
export type AppPasswordFacts = {
  tag: string;
  name: string;
  networks: readonly string[];
  hash: HashOf;
  used?: () => void;
};
export type PasswordFacts = { hash: HashOf | undefined; appPasswords: readonly AppPasswordFacts[] };

/**
 * Whether a password is right. It is compared with one hash, whatever it is: that of the app password whose tag it has,
 * else that of the user's own password, else one that none has.
 */
export function verifyOf({ hash: own, appPasswords }: PasswordFacts): Verify {
  return async (typed, address): Promise<Verified> => {
    const text = readAppPassword(Buffer.from(typed).toString('utf8'));
    const app = text && appPasswords.find(({ tag }) => tag === text.tag);
    const hash = await (app?.hash ?? own)?.();
    if (typeof hash === 'string') return { outcome: 'unchecked', reason: hash };
    const isRight = await verifyPassword(hash ?? DECOY, app === undefined ? typed : Buffer.from(text?.text ?? ''));
    if (hash === undefined) return { outcome: 'wrong', reason: 'the user has no password' };
    if (!isRight) return { outcome: 'wrong' };
    if (app === undefined) return { outcome: 'right' };
    if (!mayComeFrom(app, address)) {
      return { outcome: 'wrong', reason: `the app password ${app.name} is not for clients of this network` };
    }
    app.used?.();
    return { outcome: 'right', appPassword: app.name };
  };
}

/** For a name that nobody has. */
export const verifyNobody: Verify = async (typed) => {
  await verifyPassword(DECOY, typed);
  return { outcome: 'wrong' };
};

/** Where the address tells nothing, as behind the gateway of a container network, nobody comes from a network. */
function mayComeFrom({ networks }: AppPasswordFacts, address: string | undefined): boolean {
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
