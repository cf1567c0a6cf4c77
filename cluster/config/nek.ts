import { type Nek, parseNeks } from '#shared/dkim/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Config } from './schema/schema.ts';
import { describeSource, readSecret, SecretReference } from './secrets.ts';

/** The option that names NEKs: those that wrap DKIM keys, or those that wrap the keys of certificates. */
export type NekOption = 'credentials.nek' | 'tls.nek';

/**
 * The NEKs that the configuration names, read again at every call so that a changed file is seen; none when none are
 * configured. `log` gets a warning when every user of the machine can read the file; frequent callers leave it out,
 * because the check of the configuration has said so. Fails with `secret-missing`, `secret-unreadable` or
 * `nek-invalid`; the text says which file or variable it is about.
 */
export async function loadNeks(
  source: Config['credentials']['nek'],
  log?: Logger,
  option: NekOption = 'credentials.nek',
): Promise<Nek[]> {
  if (source === undefined) return [];
  const reference = new SecretReference(typeof source === 'string' ? { file: source } : source);
  const { secret, warning } = await readSecret(reference);
  if (warning !== undefined) log?.warn(warning);
  try {
    return parseNeks(secret.reveal());
  } catch (error) {
    const reason = error instanceof SealpostError ? error.message : errorText(error);
    throw new SealpostError('nek-invalid', `${option}, ${describeSource(reference.source)}: ${reason}`);
  }
}

/** The NEKs of the configuration, or why there are none. */
export async function readNeks(source: Config['credentials']['nek']): Promise<Nek[] | string> {
  try {
    const neks = await loadNeks(source);
    if (neks.length > 0) return neks;
    return 'no named encryption key is configured: set credentials.nek to the one with which the keys were made';
  } catch (error) {
    return errorText(error);
  }
}

/**
 * The NEKs that wrap the private keys of certificates: the first wraps new ones. Fails like `loadNeks`, and with `no-nek`
 * where none is configured.
 */
export async function loadTlsNeks({ tls }: Pick<Config, 'tls'>): Promise<[Nek, ...Nek[]]> {
  const [first, ...others] = await loadNeks(tls?.nek, undefined, 'tls.nek');
  if (first !== undefined) return [first, ...others];
  throw new SealpostError(
    'no-nek',
    'no named encryption key for certificates is configured: "sealpost keys nek <name>" prints one; put it into a file that listeners and credential-stores can read, and name that in tls.nek',
  );
}
