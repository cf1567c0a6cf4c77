import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SERVER_PINGS } from '#services/console/cli/cluster/nats-config.ts';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { tempDir } from '#test/kit/temp.ts';

export type NatsServerOptions = {
  /** More lines of nats-server's configuration file: users, TLS, max_payload. */
  config?: string;
  jetStream?: boolean;
  /** Arguments of the command line. */
  args?: readonly string[];
};

type NatsServerParts = {
  port: number;
  args: readonly string[];
  folder: string;
  program: Program;
  resources: AsyncDisposableStack;
};

/** A real nats-server on loopback. `restart` comes back on the same port with the same store. */
export class NatsServer implements AsyncDisposable {
  readonly port: number;
  readonly #args: readonly string[];
  /** Everything that it stores. */
  readonly folder: string;
  readonly #resources: AsyncDisposableStack;
  #program: Program;

  constructor({ port, args, folder, program, resources }: NatsServerParts) {
    this.port = port;
    this.#args = args;
    this.folder = folder;
    this.#program = program;
    this.#resources = resources;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Its log. */
  get output(): string {
    return this.#program.output;
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }

  async kill(): Promise<void> {
    await this.#program.kill();
  }

  /** Freeze it: connections stay open and nothing is answered. */
  async pause(): Promise<void> {
    await this.#program.pause();
  }

  resume(): void {
    this.#program.resume();
  }

  /** Take a changed configuration file into use. */
  reload(): void {
    this.#program.signal('SIGHUP');
  }

  /** Remove everything that JetStream stored. Only while it is not running. */
  async wipe(): Promise<void> {
    await rm(join(this.folder, 'jetstream'), { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }

  async restart(): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    this.#program = await launch(this.port, this.#args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    await this.#resources.disposeAsync();
  }
}

async function launch(port: number | 'any', args: readonly string[]): Promise<Program> {
  const program = new Program('nats-server', ['-a', '127.0.0.1', '-p', port === 'any' ? '-1' : String(port), ...args]);
  await program.waitForOutput(/Server is ready/);
  return program;
}

/** Start a nats-server on a free port. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  await using undo = new AsyncDisposableStack();
  const dir = undo.use(await tempDir('nats'));
  const file = join(dir.path, 'nats.conf');
  await writeFile(file, options.config ?? '');
  const args = ['-c', file, '-sd', dir.path, ...(options.jetStream === true ? ['-js'] : []), ...(options.args ?? [])];
  const program = undo.use(await launch('any', args));
  const [, port] = await program.waitForOutput(/client connections on 127\.0\.0\.1:(\d+)/);
  const resources = undo.move();
  return new NatsServer({ port: Number(port), args, folder: dir.path, program, resources });
}

/** Start a cluster of nats-servers with JetStream, each with the others as routes; `config`: more lines for all. */
export async function startNatsCluster(size = 3, config = ''): Promise<AsyncDisposable & { servers: NatsServer[] }> {
  await using undo = new AsyncDisposableStack();
  const routes = await Promise.all(Array.from({ length: size }, () => freePort()));
  const urls = routes.map((port) => `nats://127.0.0.1:${port}`);
  const servers = await Promise.all(
    routes.map((port, i) =>
      startNatsServer({
        jetStream: true,
        config: `server_name: n${i + 1}
          ${SERVER_PINGS}
          cluster { name: test, listen: "127.0.0.1:${port}", routes: [${urls.filter((_, j) => j !== i).join(', ')}] }
          ${config}`,
      }),
    ),
  );
  for (const server of servers) undo.use(server);
  const resources = undo.move();
  return { servers, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}
