import type { Config } from '#cluster/config/schema.ts';
import { describeSource, readSecret, SecretReference } from '#cluster/config/secrets.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
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
    const reason = error instanceof SealpostError ? error.message : errorText(error);
    throw new SealpostError('nek-invalid', `credentials.nek, ${describeSource(reference.source)}: ${reason}`);
  }
}
