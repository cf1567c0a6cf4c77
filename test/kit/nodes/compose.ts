import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { freePorts } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { locate, needs, type Peer } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * compose.yaml on the Docker engine of this machine, as a project with a name, an image and ports of its own. An engine
 * is none of the peers that the runner installs: a test that needs one is skipped where none answers, and where the
 * images that compose.yaml builds on are not there, since no test downloads any.
 *
 * A project is named after the process that made it: what a killed one left is removed at the next start.
 */
const ROOT = resolve(import.meta.dirname, '../../..');

/**
 * The image of a variable: from the environment, else the default that compose.yaml has for it. An engine without a
 * registry has no image by that digest: there any image of the same name serves.
 */
export function imageOf(variable: 'NODE_IMAGE' | 'NATS_IMAGE'): string {
  const text = readFileSync(join(ROOT, 'compose.yaml'), 'utf8');
  const image = process.env[variable] ?? new RegExp(`\\$\\{${variable}:-([^}]+)\\}`).exec(text)?.[1];
  if (image === undefined) throw new Error(`compose.yaml has no default for ${variable}`);
  if (process.env[variable] !== undefined || hasImage(image)) return image;
  const [name = image] = image.split(':');
  const { stdout } = spawnSync('docker', ['image', 'ls', '--format', '{{.Repository}}:{{.Tag}}', name], {
    encoding: 'utf8',
  });
  return stdout.split('\n').find((found) => found !== '' && !found.endsWith('<none>')) ?? image;
}

function hasImage(image: string): boolean {
  return succeeds('docker', ['image', 'inspect', image]);
}

export const PROJECT = 'sealposttest';
/** The label by which docker-compose knows what is a project's. */
const LABEL = 'com.docker.compose.project';
/** Listeners that have ports: `listener` the first, each `extra-listener` one of the others. */
const PUBLISHED = 3;

/** Options of a test that needs an engine, and these programs. */
export function needsEngine(...peers: Peer[]): { skip: string | false } {
  if (composeCommand() === undefined) return { skip: 'needs docker-compose, or docker with its compose plugin' };
  if (!succeeds('docker', ['info'])) return { skip: 'needs a Docker engine that answers `docker info`' };
  const images = [imageOf('NODE_IMAGE'), imageOf('NATS_IMAGE')];
  const missing = images.filter((image) => !hasImage(image));
  if (missing.length > 0) return { skip: `needs ${missing.join(' and ')} among the images of the Docker engine` };
  return needs(...peers);
}

export type ComposeOptions = {
  /** Files beside compose.yaml, which change it. */
  files?: readonly string[];
  environment?: Record<string, string>;
  /** Folder of compose.yaml; that of this version by default. */
  root?: string;
};

export class ComposeProject implements AsyncDisposable {
  readonly name = `${PROJECT}${process.pid}`;
  readonly image = `${this.name}:test`;
  readonly resolverImage = `${this.name}-resolver:test`;
  /** On 127.0.0.1, one for each of the listeners, by the port inside. */
  readonly ports: ReadonlyMap<number, readonly number[]>;
  readonly #options: ComposeOptions;
  /** What `.env` of a user would say. */
  readonly environment: Readonly<Record<string, string>>;

  private constructor(ports: ReadonlyMap<number, readonly number[]>, options: ComposeOptions) {
    this.ports = ports;
    this.#options = options;
    const first = (port: number): string => `127.0.0.1:${ports.get(port)?.[0]}`;
    const others = (port: number): string => `127.0.0.1:${ports.get(port)?.[1]}-${ports.get(port)?.at(-1)}`;
    this.environment = {
      COMPOSE_PROJECT_NAME: this.name,
      SEALPOST_IMAGE: this.image,
      RESOLVER_IMAGE: this.resolverImage,
      NODE_IMAGE: imageOf('NODE_IMAGE'),
      NATS_IMAGE: imageOf('NATS_IMAGE'),
      MX_PORTS: first(2525),
      CONSOLE_PORT: first(8443),
      SUBMISSION_PORTS: first(2587),
      SUBMISSIONS_PORTS: first(2465),
      EXTRA_MX_PORTS: others(2525),
      EXTRA_SUBMISSION_PORTS: others(2587),
      EXTRA_SUBMISSIONS_PORTS: others(2465),
      ...options.environment,
    };
  }

  static async create(options: ComposeOptions = {}): Promise<ComposeProject> {
    await removeLeftOvers();
    const ports = new Map<number, number[]>();
    for (const port of [2525, 2587, 2465, 8443])
      ports.set(port, await freePorts(PUBLISHED, [...ports.values()].flat()));
    return new ComposeProject(ports, options);
  }

  /** Run docker-compose; resolves to what it printed on standard output, rejects when it fails. */
  async compose(...args: string[]): Promise<string> {
    const { root = ROOT, files = [] } = this.#options;
    return runCompose(root, [join(root, 'compose.yaml'), ...files], args, this.environment);
  }

  /** The same project, with the compose.yaml of this version. */
  ofThisVersion(): ComposeProject {
    return new ComposeProject(this.ports, { ...this.#options, root: ROOT });
  }

  /** Run cluster/compose/upgrade.sh of this version; resolves to what it said. */
  async upgrade(): Promise<string> {
    const files = [join(ROOT, 'compose.yaml'), ...(this.#options.files ?? [])].join(':');
    const env = { ...this.environment, COMPOSE_FILE: files };
    await using script = new Program('sh', ['cluster/compose/upgrade.sh'], { env, cwd: ROOT });
    const code = await script.ended();
    if (code !== 0) throw new Error(`upgrade.sh: exit ${code}\n${script.output.slice(-4000)}`);
    return script.output;
  }

  /** Run a command in the container of a service. */
  async exec(service: string, ...command: string[]): Promise<string> {
    return this.compose('exec', '-T', service, ...command);
  }

  /** Run `sealpost` as the operator. */
  async operator(...args: string[]): Promise<string> {
    return this.compose('run', '--rm', '-T', 'operator', ...args);
  }

  /** The ids of the containers of a service, by their number. */
  async containers(service: string): Promise<string[]> {
    const filter = [`project=${this.name}`, `service=${service}`, 'oneoff=False'].flatMap((label) => [
      '--filter',
      `label=com.docker.compose.${label}`,
    ]);
    const format = '{{.Label "com.docker.compose.container-number"}} {{.ID}}';
    return words(await docker('ps', '--all', '--no-trunc', ...filter, '--format', format))
      .toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
      .map((line) => line.split(' ')[1] ?? '');
  }

  /** Wait until the health check of every container of these services passes. */
  async healthy(services: readonly string[], timeout = 90_000): Promise<void> {
    const ids = (await Promise.all(services.map((service) => this.containers(service)))).flat();
    let states = '';
    await waitFor(
      async () => {
        states = await docker('inspect', '--format', '{{.Name}} {{.State.Health.Status}}', ...ids);
        return states
          .trim()
          .split('\n')
          .every((line) => line.endsWith(' healthy'));
      },
      { what: 'healthy containers', timeout },
    ).catch((cause: unknown) => {
      throw new Error(`not all healthy:\n${states}`, { cause });
    });
  }

  /** Containers, volumes and networks that the engine has of this project. */
  async remains(): Promise<string[]> {
    return (
      await Promise.all(KINDS.map(({ list }) => docker(...list, '--quiet', '--filter', `label=${LABEL}=${this.name}`)))
    ).flatMap(words);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.compose('down', '--volumes', '--remove-orphans', '--timeout', '1');
    await docker('image', 'rm', '--force', this.image, this.resolverImage);
  }
}

/** Kinds of things that a project has, in the order in which they can be removed. */
const KINDS = [
  { list: ['ps', '--all'], remove: ['rm', '--force'] },
  { list: ['volume', 'ls'], remove: ['volume', 'rm'] },
  { list: ['network', 'ls'], remove: ['network', 'rm'] },
] as const;

export async function removeLeftOvers(): Promise<void> {
  for (const { list, remove } of KINDS) {
    const format = `{{.Label "${LABEL}"}} {{${list[0] === 'volume' ? '.Name' : '.ID'}}}`;
    const left = (await docker(...list, '--filter', `label=${LABEL}`, '--format', format))
      .split('\n')
      .filter((line) => {
        const [, maker] = new RegExp(`^${PROJECT}(\\d+)\\w* `).exec(line) ?? [];
        return maker !== undefined && !existsSync(`/proc/${maker}`);
      });
    if (left.length > 0) await docker(...remove, ...left.map((line) => line.split(' ')[1] ?? ''));
  }
}

const words = (text: string): string[] => text.split('\n').filter((line) => line !== '');

/** Run docker-compose with these files; resolves to what it printed on standard output, rejects when it fails. */
export function runCompose(
  folder: string,
  files: readonly string[],
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<string> {
  const [command = '', ...rest] = composeCommand() ?? [];
  const named = files.flatMap((file) => ['--file', file]);
  return run(command, [...rest, '--project-directory', folder, ...named, ...args], environment);
}

export function docker(...args: string[]): Promise<string> {
  return run('docker', args, {});
}

/** Resolves to standard output; what it says on standard error is told when it fails. */
async function run(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  await using program = new Program(command, args, { env });
  const code = await program.ended();
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${code}\n${program.output.slice(-4000)}`);
  return program.stdout;
}

export function composeCommand(): string[] | undefined {
  if (locate('docker-compose') !== undefined) return ['docker-compose'];
  return succeeds('docker', ['compose', 'version']) ? ['docker', 'compose'] : undefined;
}

function succeeds(command: string, args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 20_000 }).status === 0;
}
