import { chmod, chown, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { freePort } from '#test/kit/free-port.ts';
import { tempDir } from '#test/kit/temp.ts';
import { docker, imageOf, PROJECT, removeLeftOvers, runCompose } from './compose.ts';
import { type Arrived, arrivedAt } from './compose-site.ts';

/**
 * cluster/hosts/compose.yaml for several hosts, as docs/install/several-machines.md describes it. The hosts are projects of one
 * engine: each publishes its ports at the gateway of its own network, which is an address of this machine that the
 * containers of the other projects reach. A sink for mail is in a container of its own, in the network of the first.
 */
const ROOT = resolve(import.meta.dirname, '../../..');
const FOLDER = join(ROOT, 'cluster/hosts');
const USER = 1000;
const BASE = process.pid % 80;
const IMAGE = `${PROJECT}${process.pid}hosts:test`;
const RESOLVER_IMAGE = `${PROJECT}${process.pid}hosts-resolver:test`;
/** It is not in DNS here. */
export const DOMAIN = 'example.com';

export class ComposeHost {
  readonly project: string;
  /** Of this machine, where its ports are published. */
  readonly address: string;
  readonly #files: string[];
  readonly #environment: Record<string, string>;

  constructor(number: number, folder: string) {
    this.project = `${PROJECT}${process.pid}host${number}`;
    this.address = `172.29.${BASE * 3 + number}.1`;
    this.#files = [join(FOLDER, 'compose.yaml'), join(folder, `network-${number}.yaml`)];
    this.#environment = {
      COMPOSE_PROJECT_NAME: this.project,
      NODE_IMAGE: imageOf('NODE_IMAGE'),
      NATS_IMAGE: imageOf('NATS_IMAGE'),
      SEALPOST_IMAGE: IMAGE,
      RESOLVER_IMAGE,
      RESOLVER_NETWORK: `172.31.${BASE * 3 + number}`,
      NODE_NAME: `edge-${number}`,
      HOST_ADDRESS: this.address,
      PUBLISH: `${this.address}:`,
      CONSOLE_PORT: `${this.address}:8443`,
      NATS_FILES: join(folder, 'nats'),
      SEALPOST_FILES: join(folder, `sealpost-${number}`),
    };
  }

  /** `resolver`: of this host. */
  get resolver(): string {
    return `${this.#environment['RESOLVER_NETWORK']}.2`;
  }

  compose(...args: string[]): Promise<string> {
    return runCompose(FOLDER, this.#files, args, this.#environment);
  }

  /** Run `sealpost` in its node. */
  sealpost(...args: string[]): Promise<string> {
    return this.compose('exec', '-T', 'node', 'sealpost', ...args);
  }
}

export class ComposeHosts implements AsyncDisposable {
  readonly hosts: readonly ComposeHost[];
  readonly #folder: string;
  readonly #sinkPort: number;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    hosts: readonly ComposeHost[],
    folder: string,
    sinkPort: number,
    resources: AsyncDisposableStack,
  ) {
    this.hosts = hosts;
    this.#folder = folder;
    this.#sinkPort = sinkPort;
    this.#resources = resources;
  }

  /** Build the images and make the files of every host; nothing runs yet. */
  static async create(size = 3): Promise<ComposeHosts> {
    await removeLeftOvers();
    await using undo = new AsyncDisposableStack();
    const { path } = undo.use(await tempDir('compose-hosts'));
    await chmod(path, 0o755);
    const sinkPort = await freePort();
    undo.defer(async () => void (await docker('image', 'rm', '--force', IMAGE, RESOLVER_IMAGE)));
    const hosts = Array.from({ length: size }, (_, i) => new ComposeHost(i + 1, path));
    for (const [i, host] of hosts.entries()) {
      await writeFile(join(path, `network-${i + 1}.yaml`), networkFile(host, i === 0 ? sinkPort : undefined));
      undo.defer(async () => void (await host.compose('down', '--volumes', '--remove-orphans', '--timeout', '1')));
    }
    await hosts[0]?.compose('build');
    await makeFiles(path, hosts);
    return new ComposeHosts(hosts, path, sinkPort, undo.move());
  }

  /** Start every host, and create the streams. */
  async start(): Promise<void> {
    for (const host of this.hosts) await host.compose('up', '--detach');
    const streams = ['--volume', `${join(this.#folder, 'cluster/streams')}:/streams:ro`, 'node'];
    const command = ['cluster', 'streams', '--password', '/streams/bus-password'];
    await this.hosts[0]?.compose('run', '--rm', '-T', ...streams, ...command);
  }

  async arrived(): Promise<Arrived> {
    return arrivedAt(this.#sinkPort);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** The network of a host, and the sink in the first one. */
function networkFile({ address }: ComposeHost, sinkPort: number | undefined): string {
  const sink = `services:
  sink:
    image: ${imageOf('NODE_IMAGE')}
    command: [node, /repository/test/kit/smtp/sink-process.ts]
    ports: ["127.0.0.1:${sinkPort}:2580", "${address}:2526:2526"]
    volumes: ["${ROOT}:/repository:ro"]
`;
  return `version: "3.8"
${sinkPort === undefined ? '' : sink}networks:
  default: { ipam: { config: [{ subnet: ${address.replace(/1$/, '0')}/24 }] } }
`;
}

/** Steps 1 to 4 of the document. */
async function makeFiles(folder: string, hosts: readonly ComposeHost[]): Promise<void> {
  const made = join(folder, 'cluster');
  await mkdir(made, { mode: 0o700 });
  await chown(made, USER, USER);
  const addresses = hosts.map(({ address }) => address);
  const init = ['cluster', 'init', '/cluster', '--nodes', '--nats', ...addresses, '--hostname', 'mx.example.com'];
  await docker('run', '--rm', '--network', 'none', '--volume', `${made}:/cluster`, IMAGE, ...init);
  await copy(join(made, 'nats'), join(folder, 'nats'));
  const example = await readFile(join(FOLDER, 'sealpost.yaml'), 'utf8');
  for (const [i, host] of hosts.entries()) {
    const files = join(folder, `sealpost-${i + 1}`);
    await mkdir(files, { mode: 0o700 });
    for (const name of ['node', 'nek', 'tls-nek']) await copy(join(made, name), join(files, name));
    const file = join(files, 'sealpost.yaml');
    await writeFile(file, configuration(example, host, hosts), { mode: 0o600 });
    for (const path of [files, file]) await chown(path, USER, USER);
  }
}

/** Whoever is root keeps the owner of what it copies by `cp -a` alone. */
async function copy(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, preserveTimestamps: true });
  await docker(
    'run',
    '--rm',
    '--user',
    '0',
    '--volume',
    `${to}:/copy`,
    '--entrypoint',
    'chown',
    IMAGE,
    '-R',
    'node:node',
    '/copy',
  );
}

function configuration(example: string, host: ComposeHost, hosts: readonly ComposeHost[]): string {
  const addresses = hosts.map(({ address }) => address);
  const changes: [from: RegExp, to: string][] = [
    [/servers: \["tls:.*\]/, `servers: ${JSON.stringify(addresses.map((address) => `tls://${address}:4222`))}`],
    // Published ports lead through the gateways of the networks, which are inside only where they are named themselves.
    [/hosts: \[\]/, `hosts: ${JSON.stringify(addresses)}`],
    [/signing: \{ mode: enforce \}/, 'signing: { mode: enforce }, keys: { proof: none }'],
    [/^routes:$/m, `routes:\n  - { to: dest.test, via: "smtp://${addresses[0]}:2526", tls: off }`],
    [/^bus:$/m, `dns: { servers: [${host.resolver}], dnssec: true }\nbus:`],
  ];
  return changes.reduce((text, [from, to]) => {
    if (!from.test(text)) throw new Error(`the example has no ${from.source}`);
    return text.replace(from, to);
  }, example);
}
