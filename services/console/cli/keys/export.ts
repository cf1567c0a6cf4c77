import type { KeyObject } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { stdout } from 'node:process';
import { loadNeks } from '#cluster/config/nek.ts';
import { unwrapKey } from '#shared/dkim/key-wrap.ts';
import { describeNek, describeNeks, findNek } from '#shared/dkim/nek.ts';
import { publishedBytes } from '#shared/dkim/public-key.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import type { SigningKey } from '#shared/keys/key.ts';
import { silentLogger } from '#shared/log.ts';
import { type CommonOptions, print, readConfig, withStore } from '../context.ts';
import { usageError } from '../exit.ts';

/**
 * `sealpost keys export`: a private key in clear, for another system. It comes wrapped over the bus and is unwrapped
 * where the NEK is, by this command; it goes to a new file that nobody else can read, or into a pipe, never to a
 * terminal.
 */
export async function exportKey(
  domain: string,
  selector: string,
  options: CommonOptions & { out: string },
): Promise<void> {
  const { out } = options;
  if (out === '-' && options.json) throw usageError('--out - prints the key itself: leave --json out');
  if (out === '-' && stdout.isTTY) {
    throw usageError('a private key is not for a terminal: name a new file with --out, or pipe it on');
  }
  const key = await withStore(options, (store) => store['key-export']({ domain, selector }));
  const pem = (await unwrap(key, options)).export({ type: 'pkcs8', format: 'pem' }) as string;
  if (out === '-') {
    stdout.write(pem);
    return;
  }
  await writeNew(out, pem, 0o600);
  const value = { domain: key.domain, selector: key.selector, algorithm: key.algorithm, file: out };
  print(options, value, () => `wrote the private key ${key.selector} of ${key.domain} to ${out}: keep it safe`);
}

async function unwrap(key: SigningKey, options: CommonOptions): Promise<KeyObject> {
  const { credentials } = await readConfig(options, ['credentials']);
  const neks = await loadNeks(credentials.nek, silentLogger);
  const nek = findNek(neks, key.wrapped.nekFingerprint);
  if (nek === undefined) {
    const needed = describeNek({ name: key.wrapped.nek, fingerprint: key.wrapped.nekFingerprint });
    throw new SealpostError(
      'no-nek',
      `key ${key.selector} of ${key.domain} is wrapped with NEK ${needed}, and credentials.nek has ${describeNeks(neks)} on this machine: run this where that NEK is`,
    );
  }
  const privateKey = unwrapKey(nek, key, key.wrapped);
  if (publishedBytes(privateKey).toString('base64') === key.publicKey) return privateKey;
  throw new SealpostError(
    'key-damaged',
    `the private key ${key.selector} of ${key.domain} does not belong to its public key: nothing was exported`,
  );
}

/** Write a file that must not be there yet. Fails with `exists`. */
export async function writeNew(file: string, text: string, mode: number): Promise<void> {
  try {
    await writeFile(file, text, { flag: 'wx', mode, flush: true });
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    throw new SealpostError('exists', `${file} is there already and is not overwritten: name another file`);
  }
}
