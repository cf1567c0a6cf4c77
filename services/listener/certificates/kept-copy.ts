import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { errorCode, errorText } from '#shared/errors.ts';
import { replaceFile } from '#shared/files/replace.ts';
import type { Logger } from '#shared/log.ts';
import { StoredCertificate } from '#shared/tls/stored-certificate.ts';

/**
 * The certificates that a listener used last, on its disk, so that it can start while no credential-store answers: one
 * file in the data folder,
 *
 *   listener-certificates.json   JSON { version: 1, certificates: [{ name, chain, wrapped }] }
 *
 * Private keys stand in it as they stand in the store, wrapped, and open only with a NEK of `tls.nek` and with the chain
 * beside them. Who can write the file can at most bring back a certificate that was good before; it is replaced as soon as
 * a store answers. A file that is damaged is as good as none.
 */
const Kept = z.object({ version: z.literal(1), certificates: z.array(StoredCertificate) });

export class KeptCopy {
  readonly #file: string;
  readonly #log: Logger;
  #written: string | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(folder: string, log: Logger) {
    this.#file = join(folder, 'listener-certificates.json');
    this.#log = log;
  }

  /** What is kept; nothing where that cannot be read. */
  async read(): Promise<StoredCertificate[]> {
    try {
      return Kept.parse(JSON.parse(await readFile(this.#file, 'utf8'))).certificates;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') {
        const text = 'the certificates of the last run cannot be read: those of the credential-store are waited for';
        this.#log.warn({ file: this.#file, error: errorText(error) }, text);
      }
      return [];
    }
  }

  /** Keep these in place of what was kept, one write after the other. Trouble is logged; listeners go on. */
  write(certificates: readonly StoredCertificate[]): void {
    const text = JSON.stringify({ version: 1, certificates });
    if (text === this.#written) return;
    this.#written = text;
    this.#writing = this.#writing.then(async () => {
      try {
        await replaceFile(this.#file, text);
      } catch (error) {
        this.#written = undefined;
        const text = 'the certificates could not be kept on disk: a restart needs a credential-store that answers';
        this.#log.warn({ file: this.#file, error: errorText(error) }, text);
      }
    });
  }

  /** Resolves when nothing is being written any more. */
  close(): Promise<void> {
    return this.#writing;
  }
}
