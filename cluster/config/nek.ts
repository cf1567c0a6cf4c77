import type { Config } from '#cluster/config/schema.ts';
import { readSecret, SecretReference } from '#cluster/config/secrets.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { type Nek, parseNek } from '#shared/nek.ts';

/**
 * The NEK that the configuration names, read anew at every call so that a changed file is seen; undefined when none is
 * configured. Fails with `secret-missing` or `nek-invalid`; the text says which file or variable it is about.
 */
export async function loadNek(source: Config['credentials']['nek'], log: Logger): Promise<Nek | undefined> {
  if (source === undefined) return undefined;
  const reference = new SecretReference(typeof source === 'string' ? { file: source } : source);
  const { secret, warning } = await readSecret(reference);
  if (warning !== undefined) log.warn(warning);
  try {
    return parseNek(secret.reveal());
  } catch (error) {
    const where = typeof source === 'string' ? `file ${source}` : `environment variable ${source.env}`;
    throw new SealpostError('nek-invalid', `credentials.nek, ${where}`, { cause: error });
  }
}
