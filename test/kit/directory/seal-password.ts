import type { CredentialStoreContract } from '#services/credential-store/contract.ts';
import type { Client } from '#shared/contract.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import { type SealedSecret, sealSecret } from '#shared/dkim/secret-seal.ts';

/** The password `secret`, at the least cost that the format allows, so that tests spend no time on it. */
export const SECRET = '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$QQCd8VPOryZiCF3MtwQnPTK7odKCaPcXJGplgNEuj1A';

/** A hash on its way to a store, as a command sends it. */
export async function sealedHash(
  store: Pick<Client<CredentialStoreContract>, 'sealing-key-show'>,
  user: string,
  { tag, hash = SECRET }: { tag?: string; hash?: string } = {},
): Promise<SealedSecret> {
  return sealSecret(await store['sealing-key-show']({}), passwordPlace(user, tag), Buffer.from(hash));
}
