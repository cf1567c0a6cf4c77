import type { Secret } from '#shared/secret.ts';
import type { Config } from './schema/schema.ts';
import { readSecret, SecretReference } from './secrets.ts';

/**
 * User and password at the NATS servers, read from where the configuration says they are: processes that share one file
 * get theirs from the environment. Fails as `readSecret` does.
 */
export async function busLogin({ user, password }: Config['bus']): Promise<{ user?: string; password?: Secret }> {
  const name = typeof user === 'object' ? (await readSecret(new SecretReference(user))).secret.reveal() : user;
  return {
    ...(name !== undefined && { user: name }),
    ...(password !== undefined && { password: (await readSecret(password)).secret }),
  };
}
