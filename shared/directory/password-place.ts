import type { SecretPlace } from '../dkim/secret-wrap.ts';
import { userKey } from './values.ts';

/** What the hash of a password is bound to: the user, and of an app password its tag. */
export function passwordPlace(user: string, tag = ''): SecretPlace {
  return {
    bound: Buffer.from(JSON.stringify(['password hash', 1, userKey(user), tag])),
    text: tag === '' ? `the password of user ${user}` : `the app password ${tag} of user ${user}`,
  };
}
