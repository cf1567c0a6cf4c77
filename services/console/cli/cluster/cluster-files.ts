import { X509Certificate } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CertificatePair } from '#cluster/certificate.ts';
import { unreadable } from '#cluster/config/secrets.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { prepareFile } from '#shared/files/replace.ts';
import { readPassword } from './bus-password.ts';

/** Files for their owner alone, each in place in one step. */
export class ClusterFiles {
  readonly written: string[] = [];
  readonly removed: string[] = [];
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  /** A file that is made once. */
  async make(name: string, content: () => string): Promise<void> {
    if ((await this.#read(name)) === undefined) await this.#write(name, content());
  }

  /** A file whose content follows from others. */
  async put(name: string, content: string): Promise<void> {
    if ((await this.#read(name)) !== content) await this.#write(name, content);
  }

  async password(name: string): Promise<string> {
    const file = join(this.#folder, name);
    const there = (await this.#read(name)) !== undefined;
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const password = await readPassword(file);
    if (!there) this.written.push(name);
    return password;
  }

  /** A certificate and its key that are there; undefined where neither is. Fails with `invalid-certificate`. */
  async readPair(certificate: string, key: string): Promise<CertificatePair | undefined> {
    const [pem, keyPem] = [await this.#read(certificate), await this.#read(key)];
    if ((pem === undefined) !== (keyPem === undefined)) {
      const [there, missing] = keyPem === undefined ? [certificate, key] : [key, certificate];
      const text = `${join(this.#folder, there)} is there without ${missing}: add it, or remove the file to have both made`;
      throw new SealpostError('invalid-certificate', text);
    }
    return pem === undefined || keyPem === undefined ? undefined : { certificate: pem, key: keyPem };
  }

  /** A certificate and its key, made where they are missing or outdated. */
  async pair(
    certificate: string,
    key: string,
    how: { make: () => Promise<CertificatePair>; outdated: (certificate: X509Certificate) => boolean },
  ): Promise<CertificatePair> {
    const old = await this.readPair(certificate, key);
    if (old !== undefined && !how.outdated(this.#parse(certificate, old.certificate))) return old;
    const pair = await how.make();
    const places = [await this.#prepare(key, pair.key), await this.#prepare(certificate, pair.certificate)];
    for (const place of places) await place();
    return pair;
  }

  #parse(name: string, pem: string): X509Certificate {
    try {
      return new X509Certificate(pem);
    } catch {
      throw new SealpostError('invalid-certificate', `file ${join(this.#folder, name)} holds no PEM certificate`);
    }
  }

  /** Whether there is a file of this name. */
  async has(name: string): Promise<boolean> {
    return (await this.#read(name)) !== undefined;
  }

  async remove(name: string): Promise<void> {
    if (!(await this.has(name))) return;
    await rm(join(this.#folder, name));
    this.removed.push(name);
  }

  async #read(name: string): Promise<string | undefined> {
    const file = join(this.#folder, name);
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw new SealpostError('init-failed', unreadable(file, error));
    }
  }

  async #write(name: string, text: string): Promise<void> {
    await (await this.#prepare(name, text))();
  }

  /** A new version on disk, and the step that puts it in place. */
  async #prepare(name: string, text: string): Promise<() => Promise<void>> {
    const file = join(this.#folder, name);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const place = await prepareFile(file, text);
    return async () => {
      await place();
      this.written.push(name);
    };
  }
}
