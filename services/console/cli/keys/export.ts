import type { KeyObject } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { stdout } from 'node:process';
import { readNeks } from '#cluster/config/nek.ts';
import { unwrapKey } from '#shared/dkim/key-wrap.ts';
import { describeNek, describeNeks, findNek, type Nek } from '#shared/dkim/nek.ts';
import { publishedBytes } from '#shared/dkim/public-key.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import type { SigningKey } from '#shared/keys/key.ts';
import { type CommonOptions, print, readConfig, withOwnStore } from '../context.ts';
import { usageError } from '../exit.ts';

/**
 * `sealpost keys export`: a private key in clear, for another system. It comes wrapped from the credential-store, that of
 * this machine where there is one, and is unwrapped where the NEK is, by this command; it goes to a new file that nobody
 * else can read, or into a pipe, never to a terminal.
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
  const neks = await ownNeks(options);
  const key = await withOwnStore(options, (store) => store['key-export']({ domain, selector }));
  const pem = unwrap(key, neks).export({ type: 'pkcs8', format: 'pem' }) as string;
  if (out === '-') {
    stdout.write(pem);
    return;
  }
  await writeNew(out, pem, 0o600);
  const value = { domain: key.domain, selector: key.selector, algorithm: key.algorithm, file: out };
  print(options, value, () => `wrote the private key ${key.selector} of ${key.domain} to ${out}: keep it safe`);
}

/** Fails with `no-nek`. */
async function ownNeks(options: CommonOptions): Promise<Nek[]> {
  const { credentials } = await readConfig(options, ['credentials']);
  const neks = await readNeks(credentials.nek);
  if (typeof neks !== 'string') return neks;
  throw new SealpostError(
    'no-nek',
    `a private key is unwrapped where its NEK is, and here is none (${neks}): run this where a credential-store runs, with its configuration, in containers with "docker-compose exec -T credential-store-1 sealpost keys export …"`,
  );
}

function unwrap(key: SigningKey, neks: readonly Nek[]): KeyObject {
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
