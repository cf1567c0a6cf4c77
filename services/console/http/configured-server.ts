import { NO_CONSOLE_SECTION } from '#cluster/config/rules/servers/console.ts';
import type { Config, ConsoleConfig } from '#cluster/config/schema/schema.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { FileWatch } from '#shared/files/watch.ts';
import { certificateFiles, loadCertificate, type Material } from './certificate.ts';
import type { HttpDeps } from './deps.ts';
import { ConsoleServer } from './server.ts';

/**
 * The server as the configuration has it.
 *
 *   closed → (the configuration has a section `console`) open → (the section has gone) closed
 *   open or closed → (stop) stopped
 *
 * Without the section it waits for one: a supervisor would start a process that ends again and again.
 *
 * A change of address or port opens another server and ends what the old one has open; sessions stay. A certificate whose
 * files change is read again; what cannot be used is logged, and what was in use stays. A change that cannot be followed, such
 * as to a port that is taken, is tried again until it can.
 */

const DAY_MS = 86_400_000;
const AGAIN_MS = 2000;

type Opened = { server: ConsoleServer; material: Material; section: ConsoleConfig };

export class ConfiguredServer {
  readonly #deps: HttpDeps;
  #opened: Opened | undefined;
  #watch: FileWatch | undefined;
  #work: Promise<void> = Promise.resolve();
  #unfollow = (): unknown => undefined;
  #daily: NodeJS.Timeout | undefined;
  /** The last change could not be followed yet. */
  #again: NodeJS.Timeout | undefined;
  #stopped = false;
  /** For a section, and the log says so. */
  #waits = false;

  constructor(deps: HttpDeps) {
    this.#deps = deps;
  }

  async open(): Promise<void> {
    const { settings } = this.#deps;
    this.#unfollow = settings.onChange(() => this.#soon());
    // A certificate of its own making is made anew before it ends.
    this.#daily = setInterval(() => this.#soon(), DAY_MS).unref();
    const first = this.#follow(settings.current);
    this.#work = first.catch(() => undefined);
    await first;
  }

  async stop(): Promise<void> {
    this.#unfollow();
    clearInterval(this.#daily);
    clearTimeout(this.#again);
    this.#stopped = true;
    await this.#watch?.close();
    await this.#work;
    await this.#opened?.server.close();
    this.#opened = undefined;
  }

  /** Fails with `unavailable` where it is closed. */
  opened(): Omit<Opened, 'server'> & { port: number } {
    if (this.#opened !== undefined) return { ...this.#opened, port: this.#opened.server.port };
    const hasSection = this.#deps.settings.current.console !== undefined;
    const cause = hasSection ? 'the log of its process says why' : NO_CONSOLE_SECTION;
    throw new SealpostError('unavailable', `the console is closed: ${cause}`);
  }

  #soon(): void {
    this.#work = this.#work.then(() => this.#tryFollow());
  }

  /** Where it fails, it is tried again until it succeeds; the first failure is logged. */
  async #tryFollow(): Promise<void> {
    if (this.#stopped) return;
    const isAgain = this.#again !== undefined;
    clearTimeout(this.#again);
    this.#again = undefined;
    try {
      await this.#follow(this.#deps.settings.current);
    } catch (error) {
      if (!isAgain) this.#deps.log.error({ error: errorText(error) }, 'the console does not follow its configuration');
      this.#again = setTimeout(() => this.#soon(), AGAIN_MS).unref();
    }
  }

  async #follow(config: Config): Promise<void> {
    const { console: section } = config;
    const before = this.#opened;
    await this.#watchFiles(section === undefined ? [] : certificateFiles(config));
    if (section === undefined) {
      this.#opened = undefined;
      await before?.server.close();
      if (!this.#waits) this.#deps.log.warn(`the console is closed: ${NO_CONSOLE_SECTION}`);
      this.#waits = true;
      return;
    }
    this.#waits = false;
    const material = await loadCertificate(config);
    if (before !== undefined && before.section.address === section.address && before.section.port === section.port) {
      if (material.certificate !== before.material.certificate) before.server.use(material);
      this.#opened = { server: before.server, material, section };
      return;
    }
    this.#opened = undefined;
    await before?.server.close();
    const server = await ConsoleServer.open(this.#deps, section, material);
    this.#opened = { server, material, section };
    const { fingerprint, selfSigned } = material;
    this.#deps.log.info(
      { origin: this.#deps.origin(), port: server.port, fingerprint, selfSigned },
      selfSigned ? 'the console is open, with a certificate of its own making' : 'the console is open',
    );
  }

  async #watchFiles(files: readonly string[]): Promise<void> {
    await this.#watch?.close();
    this.#watch = files.length === 0 ? undefined : new FileWatch(files, () => this.#soon()).start();
  }
}
