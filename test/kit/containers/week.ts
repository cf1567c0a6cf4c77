import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DocumentedCommands } from '#test/kit/docs/commands.ts';
import { ComposeProject, composeCommand, docker, imageOf } from '#test/kit/nodes/compose.ts';
import { Program } from '#test/kit/program.ts';
import { VerifyingSink } from '#test/kit/smtp/verifying-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { presentedAt } from '#test/kit/tls/presented.ts';
import { waitFor } from '#test/kit/wait.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** The network of the containers, by the number of this process. */
const NETWORK = `172.26.${process.pid % 250}`;
/** This machine in it: published ports lead through it, and the next hop is there. */
const GATEWAY = `${NETWORK}.1`;
const RESOLVER_NETWORK = `172.25.${process.pid % 250}`;
export const NAME_SERVER = `${NETWORK}.53`;

/** Its record is published by hand, and by update. */
export const BY_HAND = 'example.com';
export const BY_UPDATE = 'example.net';

/**
 * A user of compose.yaml: a clone of this repository with `.env` and a configuration of its own, and commands from the
 * documents, which run in its folder. Beside the cluster there are BIND, as the name server of two domains, in a
 * container of the same project, and on this machine a next hop that has dkimpy verify what comes.
 */
export class ComposeWeek implements AsyncDisposable {
  readonly project: ComposeProject;
  readonly sink: VerifyingSink;
  /** Where the user works. */
  readonly clone: string;
  readonly #folder: string;
  /** The commit of this repository when the clone was made. */
  readonly #thisVersion: string;
  readonly #commands: DocumentedCommands;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    parts: {
      project: ComposeProject;
      sink: VerifyingSink;
      folder: string;
      thisVersion: string;
      commands: DocumentedCommands;
    },
    resources: AsyncDisposableStack,
  ) {
    this.project = parts.project;
    this.sink = parts.sink;
    this.#folder = parts.folder;
    this.clone = join(parts.folder, 'sealpost');
    this.#thisVersion = parts.thisVersion;
    this.#commands = parts.commands;
    this.#resources = resources;
  }

  /** `version`: the commit that is checked out first. */
  static async create(version: string): Promise<ComposeWeek> {
    await using undo = new AsyncDisposableStack();
    const { path: folder } = undo.use(await tempDir('week'));
    // The user of the containers must get at it.
    await chmod(folder, 0o755);
    const clone = join(folder, 'sealpost');
    await must('git', ['clone', '--quiet', '--no-checkout', ROOT, clone]);
    const thisVersion = (await must('git', ['-C', clone, 'rev-parse', 'HEAD'])).trim();
    await must('git', ['-C', clone, 'checkout', '--quiet', '--detach', version]);
    const sink = undo.use(await VerifyingSink.start([`${NAME_SERVER}:53`], 2, { host: '0.0.0.0' }));
    const project = await ComposeProject.create({
      root: clone,
      files: [join(clone, 'world.yaml')],
      environment: { RESOLVER_CONFIG: './own/unbound.conf', RESOLVER_NETWORK },
    });
    const tsig = await writeWorld(folder, project.name);
    await writeFile(join(clone, 'tsig'), tsig, { mode: 0o600 });
    const variables = { ...project.environment, COMPOSE_FILE: 'compose.yaml:world.yaml' };
    const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
    await writeFile(join(clone, '.env'), lines.join(''));
    undo.defer(async () => {
      await docker('image', 'rm', '--force', worldImage(project.name));
    });
    undo.use(project);
    // The user may have added files to the project.
    undo.defer(async () => {
      const down = [...(composeCommand() ?? []), 'down', '--volumes', '--remove-orphans', '--timeout', '1'];
      await must('sh', ['-c', `cd ${clone} && ${down.join(' ')}`]);
    });
    const commands = await DocumentedCommands.read();
    return new ComposeWeek({ project, sink, folder, thisVersion, commands }, undo.move());
  }

  /** What the user did before ends here: the clone goes over to the version of this repository. */
  async checkOutThisVersion(): Promise<void> {
    await must('git', ['-C', this.clone, 'checkout', '--quiet', '--detach', this.#thisVersion]);
  }

  /**
   * Run the one command of a page that has these words; resolves to what it printed on standard output. `own`: what stands
   * in it in the place of something that the page says.
   */
  async follow(page: string, words: string, own: Readonly<Record<string, string>> = {}): Promise<string> {
    await using program = this.start(page, words, own);
    const code = await program.ended();
    if (code !== 0) throw new Error(`“${words}” of ${page}: exit ${code}\n${program.output.slice(-4000)}`);
    return program.stdout;
  }

  /** Follow it again and again until it prints this. */
  async see(pattern: RegExp, page: string, words: string, own: Readonly<Record<string, string>> = {}): Promise<void> {
    let last = '';
    await waitFor(
      async () => {
        last = await this.follow(page, words, own);
        return pattern.test(last);
      },
      { what: `${pattern} of “${words}”`, timeout: 90_000 },
    ).catch((cause: unknown) => {
      throw new Error(`no ${pattern} in what “${words}” printed:\n${last}`, { cause });
    });
  }

  /** Begin the one command of a page that has these words, with more options; `typed` is what it asks for. */
  start(
    page: string,
    words: string,
    own: Readonly<Record<string, string>> = {},
    options = '',
    typed?: string,
  ): Program {
    const text = `${this.#commands.find(page, words, own)} ${options}`
      // docs/install/compose.md says so of the commands of all other pages.
      .replace(/^sealpost /, 'docker-compose run --rm operator ')
      // There is no terminal.
      .replace(/docker-compose (run --rm|exec) (?!-T)/g, 'docker-compose $1 -T ')
      .replace(/\bdocker-compose\b/g, composeCommand()?.join(' ') ?? '');
    // Nothing but .env says what the project is.
    const input = typed === undefined ? '' : `echo '${typed}' | `;
    return new Program('sh', ['-c', `${input}${text.trim()}`], { cwd: this.clone });
  }

  /** A block of YAML of a page that has these words. */
  yaml(page: string, words: string): string {
    return this.#commands.yaml(page, words);
  }

  /** Change the user's sealpost.yaml, as an editor does. */
  async edit(from: string, to: string): Promise<void> {
    const file = join(this.clone, 'own/sealpost.yaml');
    const text = await readFile(file, 'utf8');
    assert.ok(text.includes(from), `sealpost.yaml has no ${from}`);
    await writeFile(file, text.replace(from, to));
  }

  /** The certificates that the listeners present, by their fingerprints. */
  async presented(): Promise<string[]> {
    const services = ['listener', 'extra-listener'].map((service) => this.project.containers(service));
    const containers = (await Promise.all(services)).flat();
    const addresses = await Promise.all(containers.map((container) => docker('port', container, '2525')));
    const shown = addresses.map((address) => presentedAt(Number(address.trim().split(':').at(-1))));
    return (await Promise.all(shown)).map(({ fingerprint256 }) => fingerprint256);
  }

  /** A user sends one message, which arrives. */
  async submit(user: string, password: string, id: string): Promise<void> {
    const [port] = this.project.ports.get(2587) ?? [];
    const login = ['--auth', 'PLAIN', '--auth-user', user, '--auth-password', password];
    const envelope = ['--from', `${user}@${BY_HAND}`, '--to', 'somebody@dest.test', '--header', `X-Load-Id: ${id}`];
    await must('swaks', ['--server', '127.0.0.1', '--port', String(port), '--tls', ...login, ...envelope]);
    await waitFor(() => this.sink.arrivals.has(id), { what: `the message of ${user}` });
  }

  /** The copy of cluster/compose/sealpost.yaml becomes the user's own. */
  async configure(): Promise<void> {
    await writeOwn(this.clone, this.sink.port);
  }

  /** Put a record into the zone that is changed by hand, in the place of the one with its name. */
  async publish(record: string): Promise<void> {
    const [name = ''] = record.split(/\s/);
    assert.match(name, /^\S+\._domainkey\.example\.com\.$/, record);
    const file = join(this.#folder, 'bind', `${BY_HAND}.zone`);
    const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => !line.startsWith(`${name} `));
    const text = [...lines, record.trim(), ''].join('\n');
    await writeFile(
      file,
      text.replace(/; serial (\d+)\n *\d+/, (_, n: string) => `; serial ${+n + 1}\n  ${+n + 1}`),
    );
    await this.project.compose('kill', '-s', 'HUP', 'bind');
  }

  /** Write a file beside compose.yaml, readable for user 1000. */
  async write(name: string, text: string): Promise<void> {
    const file = join(this.clone, name);
    await mkdir(resolve(file, '..'), { recursive: true });
    await writeFile(file, text, { mode: 0o644 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

const worldImage = (project: string): string => `${project}-bind:test`;

/** What there is beside the cluster, in a file for compose; resolves to the secret of the TSIG key. */
async function writeWorld(folder: string, project: string): Promise<string> {
  const bind = join(folder, 'bind');
  await mkdir(bind);
  const secret = randomBytes(32).toString('base64');
  const key = `key "sealpost" { algorithm hmac-sha256; secret "${secret}"; };\n`;
  const zones = [BY_HAND, BY_UPDATE].map((name) => {
    const policy = `update-policy { grant sealpost wildcard *._domainkey.${name} TXT; };`;
    return `zone "${name}" { type primary; file "${name}.zone"; ${name === BY_UPDATE ? policy : ''} };\n`;
  });
  await writeFile(join(bind, 'named.conf'), `${NAMED}${key}${zones.join('')}`);
  for (const name of [BY_HAND, BY_UPDATE]) await writeFile(join(bind, `${name}.zone`), ZONE);
  await writeFile(join(bind, 'Dockerfile'), DOCKERFILE);
  const [user, group] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  await writeFile(
    join(folder, 'sealpost', 'world.yaml'),
    `version: "3.8"
services:
  bind:
    image: ${worldImage(project)}
    build: { context: ../bind, args: { NODE_IMAGE: "${imageOf('NODE_IMAGE')}" } }
    user: "${user}:${group}"
    sysctls: { net.ipv4.ip_unprivileged_port_start: 53 }
    command: [named, -g, -n, "1", -c, /zones/named.conf]
    volumes: ["../bind:/zones"]
    networks: { default: { ipv4_address: ${NAME_SERVER} } }
networks:
  default: { ipam: { config: [{ subnet: ${NETWORK}.0/24, ip_range: ${NETWORK}.128/25, gateway: ${GATEWAY} }] } }
`,
  );
  return `${secret}\n`;
}

/** The configuration of the user: domains of her own, and the next hop of their mail. */
async function writeOwn(clone: string, port: number): Promise<void> {
  const config = (await readFile(join(clone, 'own/sealpost.yaml'), 'utf8'))
    .replace('hostname: mail.sealpost.test', 'hostname: mx.example.com')
    .replace('172.30.53.', `${RESOLVER_NETWORK}.`)
    // Published ports lead through the gateway of the network, which is inside only where it is named itself.
    .replace('hosts: []', `hosts: [${GATEWAY}]`)
    .replace('routes:', `routes:\n  - { to: dest.test, via: "smtp://${GATEWAY}:${port}", tls: off }`)
    .replace(/^domains:.*\n.*\n/m, `domains:\n  - { name: ${BY_HAND}, signing: { mode: enforce } }\n`);
  await writeFile(join(clone, 'own/sealpost.yaml'), config, { mode: 0o644 });
  const resolver = await readFile(join(clone, 'cluster/compose/resolver/unbound.conf'), 'utf8');
  const stubs = [BY_HAND, BY_UPDATE].map(
    (name) => `server:\n  domain-insecure: "${name}"\nstub-zone:\n  name: "${name}"\n  stub-addr: ${NAME_SERVER}\n`,
  );
  await writeFile(join(clone, 'own/unbound.conf'), `${resolver}\n${stubs.join('')}`, { mode: 0o644 });
}

const DOCKERFILE = `ARG NODE_IMAGE
FROM \${NODE_IMAGE}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends bind9
`;

const NAMED = `options {
  directory "/zones";
  listen-on { any; };
  listen-on-v6 { none; };
  pid-file none;
  recursion no;
  dnssec-validation no;
  notify no;
};
controls { };
`;

/** The TTL is one second, so that a test sees changes soon. */
const ZONE = `$TTL 1
@ SOA ns hostmaster ( ; serial 1
  1 3600 600 86400 1 )
@ NS ns
ns A ${NAME_SERVER}
`;

async function must(command: string, args: readonly string[]): Promise<string> {
  await using program = new Program(command, args);
  const code = await program.ended();
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${code}\n${program.output}`);
  return program.stdout;
}
