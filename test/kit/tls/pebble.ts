import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { accepts, freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { issue } from './issue.ts';

export type PebbleOptions = {
  /** The name server that it asks for challenges, `127.0.0.1:5301`. */
  dns: string;
  /** Of every 100 nonces so many are refused, though they are good. */
  refusedNonces?: number;
  /** Pauses before its answers to challenges, as real authorities make them. */
  sleeps?: boolean;
  /** It takes every proof, and looks at none. */
  trusts?: boolean;
};

/** Pebble, the test authority of Let's Encrypt, with the DNS of a test. */
export class Pebble implements AsyncDisposable {
  readonly #folder: TempDir;
  readonly #port: number;
  /** Where it looks for proofs by HTTP, in place of port 80. */
  readonly httpPort: number;
  readonly #options: PebbleOptions;
  #program: Program;

  private constructor(folder: TempDir, { port, httpPort }: { port: number; httpPort: number }, options: PebbleOptions) {
    this.#folder = folder;
    this.#port = port;
    this.httpPort = httpPort;
    this.#options = options;
    this.#program = this.#launch();
  }

  static async start(options: PebbleOptions): Promise<Pebble> {
    const folder = await tempDir('pebble');
    const root = await issue('Pebble Root', { ca: true });
    const own = await issue('localhost', { by: root, names: ['localhost'] });
    const [port, management, httpPort, tlsPort] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    const pebble = {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: join(folder.path, 'own.pem'),
      privateKey: join(folder.path, 'own-key.pem'),
      httpPort,
      tlsPort,
      ocspResponderURL: '',
      externalAccountBindingRequired: false,
    };
    await writeFile(join(folder.path, 'config.json'), JSON.stringify({ pebble }));
    await writeFile(pebble.certificate, own.certificate);
    await writeFile(pebble.privateKey, own.key);
    await writeFile(join(folder.path, 'root.pem'), root.certificate);
    const started = new Pebble(folder, { port, httpPort }, options);
    await started.#ready();
    return started;
  }

  get directory(): string {
    return `https://localhost:${this.#port}/dir`;
  }

  /** The file with the authority of its own certificate, not of those that it issues. */
  get ca(): string {
    return join(this.#folder.path, 'root.pem');
  }

  get output(): string {
    return this.#program.output;
  }

  /** Its port refuses. */
  async stop(): Promise<void> {
    await this.#program.stop();
  }

  /** Come back with nothing known of before; `change`: with other options. */
  async restart(change: Partial<PebbleOptions> = {}): Promise<void> {
    await this.stop();
    Object.assign(this.#options, change);
    this.#program = this.#launch();
    await this.#ready();
  }

  /** It takes connections and answers nothing. */
  async pause(): Promise<void> {
    await this.#program.pause();
  }

  resume(): void {
    this.#program.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }

  #launch(): Program {
    const { dns, refusedNonces = 0, sleeps = false, trusts = false } = this.#options;
    return new Program('pebble', ['-config', join(this.#folder.path, 'config.json'), '-dnsserver', dns, '-strict'], {
      env: {
        PEBBLE_WFE_NONCEREJECT: String(refusedNonces),
        PEBBLE_AUTHZREUSE: '0',
        ...(trusts && { PEBBLE_VA_ALWAYS_VALID: '1' }),
        ...(sleeps ? { PEBBLE_VA_SLEEPTIME: '5' } : { PEBBLE_VA_NOSLEEP: '1' }),
      },
    });
  }

  async #ready(): Promise<void> {
    // It prints that it listens before it does.
    const listens = async (): Promise<boolean> => this.#program.exit !== undefined || (await accepts(this.#port));
    await waitFor(listens, { what: 'Pebble to listen' });
    if (this.#program.exit !== undefined) throw new Error(`Pebble ended: ${this.output}`);
  }
}
