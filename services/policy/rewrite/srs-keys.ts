import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { loadNeks } from '#cluster/config/nek.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { errorText } from '#shared/errors.ts';
import { FileWatch } from '#shared/files/watch.ts';
import type { Logger } from '#shared/log.ts';
import { Srs } from './srs.ts';

/**
 * SRS by the configuration, with keys that come from the NEKs (HKDF-SHA-256, RFC 5869): all nodes have the same, and the
 * NEK itself only wraps keys. They are in the order of the NEKs; a changed file is read again.
 */
export class SrsKeys {
  readonly #log: Logger;
  #config: Pick<Config, 'rewrite' | 'credentials'>;
  #keys: readonly KeyObject[] = [];
  #watch: FileWatch | undefined;
  #current: Srs | undefined;

  constructor(config: Config, log: Logger) {
    this.#config = config;
    this.#log = log;
  }

  /** undefined: none is configured, or there is no key; the log says why. */
  get current(): Srs | undefined {
    return this.#current;
  }

  change(config: Config): void {
    const { rewrite, credentials } = this.#config;
    this.#config = config;
    const isSame =
      JSON.stringify([rewrite.srs, credentials.nek]) === JSON.stringify([config.rewrite.srs, config.credentials.nek]);
    if (!isSame) void this.read();
  }

  /** Read the keys where they are needed, and follow their file. Never rejects. */
  async read(): Promise<void> {
    const { nek } = this.#config.credentials;
    void this.#watch?.close();
    this.#watch = undefined;
    if (this.#config.rewrite.srs !== undefined && typeof nek === 'string') {
      this.#watch = new FileWatch([nek], () => this.#load(), 0);
      this.#watch.start();
    }
    await this.#load();
  }

  close(): void {
    void this.#watch?.close();
  }

  async #load(): Promise<void> {
    const { srs } = this.#config.rewrite;
    if (srs !== undefined) await this.#readKeys();
    const [first, ...others] = this.#keys;
    this.#current =
      this.#config.rewrite.srs === undefined || first === undefined
        ? undefined
        : new Srs({
            domain: this.#config.rewrite.srs.domain,
            keys: [first, ...others],
            days: Math.floor(this.#config.rewrite.srs['valid-for'] / 86_400_000),
          });
  }

  /** Those of before stay where the file cannot be read. */
  async #readKeys(): Promise<void> {
    try {
      const neks = await loadNeks(this.#config.credentials.nek);
      if (neks.length === 0) throw new Error('none is configured: set credentials.nek');
      this.#keys = neks.map(({ key }) =>
        createSecretKey(Buffer.from(hkdfSync('sha256', key, '', 'sealpost srs 1', 32))),
      );
    } catch (error) {
      const state = this.#keys.length === 0 ? 'mail that needs one is deferred' : 'those of before stay in use';
      this.#log.error({ error: errorText(error) }, `keys of SRS addresses cannot be read from the NEKs: ${state}`);
    }
  }
}
