import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { ControlClient } from '#cluster/bus/control-socket.ts';
import type { BusUser } from '#services/console/cli/cluster/bus-permissions.ts';
import { type Calls, type ContractName, calls } from '#services/topology.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import type { GuardedServer } from '#test/kit/bus/bus-users.ts';
import { SEALPOST } from '#test/kit/command.ts';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import type { Host } from './hosts.ts';

export type TestNodeOptions = {
  /** Its name in the cluster; `edge-1` by default. */
  name?: string;
  /** Text of its NEK, which nodes of one cluster share; one of its own by default. */
  nek?: string;
  /** Port of the relay listener; a free one by default. */
  port?: number;
  /** Where `* → smtp://127.0.0.1:sink` leads. */
  sink?: number;
  /** More entries of `routes`, beside the one to the sink. */
  routes?: string[];
  /** More sections of sealpost.yaml. */
  config?: string;
  /** Folder for everything; a temporary one by default. */
  data?: string;
  environment?: Record<string, string>;
  /** A bus with users: each process and each command gets its own. */
  bus?: GuardedServer;
  /** Where its processes and commands run; this machine by default. */
  host?: Host;
  /** The whole sealpost.yaml, in place of one that is made of the other options. */
  file?: string;
};

/**
 * A real node in its own processes, with its own folder: a relay listener on loopback that lets 127.0.0.1 relay, signs
 * for example.com where keys were created, and sends everything to one next hop.
 */
export class SealpostNode implements AsyncDisposable {
  /** Its name in the cluster. */
  readonly name: string;
  readonly folder: string;
  readonly port: number;
  readonly configFile: string;
  readonly programs = new Map<string, Program>();
  readonly #data: string;
  readonly #temp: TempDir;
  readonly #environment: Record<string, string>;
  readonly #bus: GuardedServer | undefined;
  readonly #within: readonly string[];

  private constructor(temp: TempDir, port: number, options: TestNodeOptions) {
    const { name = 'edge-1', data = './data', environment = {}, bus, host } = options;
    this.name = name;
    this.#data = resolve(temp.path, data);
    this.#temp = temp;
    this.folder = temp.path;
    this.configFile = join(temp.path, 'sealpost.yaml');
    this.port = port;
    this.#environment = environment;
    this.#bus = bus;
    this.#within = host?.within ?? [];
  }

  /** Write the configuration; nothing runs yet. */
  static async create(options: TestNodeOptions = {}): Promise<SealpostNode> {
    const temp = await tempDir('node');
    const port = options.port ?? (await freePort());
    const node = new SealpostNode(temp, port, options);
    if (options.file !== undefined) {
      await writeFile(node.configFile, options.file);
      return node;
    }
    const nek = join(temp.path, 'nek.key');
    await writeFile(nek, options.nek ?? generateNek('test'), { mode: 0o600 });
    await chmod(nek, 0o600);
    await writeFile(
      node.configFile,
      [
        `node: { name: ${options.name ?? 'edge-1'}, hostname: edge.test, data: ${options.data ?? './data'} }`,
        `credentials: { nek: ${nek} }`,
        ...(options.config?.includes('listeners:')
          ? []
          : [`listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none }]`]),
        ...(options.config?.includes('relay:') ? [] : ['relay: { allow: { hosts: [127.0.0.1] } }']),
        // example.com of the tests is not in DNS.
        ...(options.config?.includes('domains:') ? [] : ['domains: [{ name: example.com, keys: { proof: none } }]']),
        ...(options.sink === undefined
          ? []
          : [
              `routes: [${[`{ to: "*", via: "smtp://127.0.0.1:${options.sink}" }`, ...(options.routes ?? [])].join(', ')}]`,
            ]),
        ...(options.bus === undefined
          ? []
          : [
              `bus: { servers: ["${options.bus.server.url}"], user: { env: BUS_USER }, password: { env: BUS_PASSWORD } }`,
            ]),
        options.config ?? '',
      ].join('\n'),
    );
    return node;
  }

  /** As of a cluster: this one alone. */
  get nodes(): [SealpostNode] {
    return [this];
  }

  /** Start a process with these services (all without a name) and wait until it says that it is up. */
  async start(...services: string[]): Promise<Program> {
    const program = this.launch(...services);
    await program.waitForOutput(/"node is up"/, 60_000);
    return program;
  }

  /** Start a process and wait for nothing. */
  launch(...services: string[]): Program {
    const program = new Program(SEALPOST, ['start', ...services, '--config', this.configFile], {
      cwd: this.folder,
      env: { ...this.#environment, ...this.#login((services[0] ?? 'node') as BusUser) },
      within: this.#within,
    });
    this.programs.set(services.join('+') || 'all', program);
    return program;
  }

  /**
   * A service as this node reaches it, where all of them run in one process. What is asked again and again is asked in this
   * way: a command takes half a second of processor time.
   */
  client<S extends ContractName>(service: S): Calls<'operator', S> {
    return calls(new ControlClient(this.#data), 'operator', service);
  }

  /** Run the command line against this node; resolves to its standard output, rejects when it fails. */
  async sealpost(...args: string[]): Promise<string> {
    const [command = SEALPOST, ...rest] = [...this.#within, SEALPOST, ...args, '--config', this.configFile];
    const { stdout } = await promisify(execFile)(command, rest, {
      cwd: this.folder,
      env: { ...process.env, ...this.#environment, ...this.#login('operator') },
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  }

  /** The same of a report, which ends with 1 where it has something to say. */
  report(...args: string[]): Promise<string> {
    return this.sealpost(...args).catch((error: Error & { code?: unknown; stdout?: string }) => {
      if (error.code === 1 && error.stdout !== undefined && error.stdout !== '') return error.stdout;
      throw error;
    });
  }

  #login(user: BusUser): Record<string, string> {
    const login = this.#bus?.login(user);
    return login === undefined ? {} : { BUS_USER: login.user, BUS_PASSWORD: login.password.reveal() };
  }

  /** Make a key, as soon as the node is there, and wait until every signer of the cluster signs with it. */
  async createKey(domain: string, selector: string, algorithm = 'rsa-2048'): Promise<void> {
    await waitFor(() => this.sealpost('keys', 'create', domain, selector, algorithm), {
      timeout: 30_000,
      what: `key ${selector} of ${domain} to be made`,
    });
    await waitFor(
      async () => {
        const key = (await this.#keys(domain)).find((k) => k.selector === selector);
        return key?.state === 'active' && key.nodes.live > 0 && key.nodes.holding.length === key.nodes.live;
      },
      { timeout: 30_000, what: `key ${selector} of ${domain} to sign` },
    );
  }

  /** Whether `client` reaches every service. */
  get #isWhole(): boolean {
    return this.programs.has('all');
  }

  async #keys(domain: string): Promise<KeyStatus[]> {
    if (this.#isWhole) return (await this.client('credential-store')['key-list']({ domain })).keys;
    return JSON.parse(await this.sealpost('keys', 'list', domain, '--json')).keys;
  }

  /** Messages in the queue. */
  async queued(): Promise<number> {
    if (!this.#isWhole) {
      return JSON.parse(await this.sealpost('queue', 'list', '--json', '--node', this.name)).entries.length;
    }
    const router = this.client('router');
    let count = 0;
    let after: string | undefined;
    do {
      const { entries, next } = await router['message-list']({ limit: 500, ...(after !== undefined && { after }) });
      count += entries.length;
      after = next;
    } while (after !== undefined);
    return count;
  }

  /** Wait until nothing is queued. */
  async drained(timeout = 60_000): Promise<void> {
    await waitFor(async () => (await this.queued()) === 0, { timeout, what: 'the queue to be empty' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.programs.values()].map((program) => program[Symbol.asyncDispose]()));
    await this.#temp[Symbol.asyncDispose]();
  }
}
