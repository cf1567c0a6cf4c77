import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { freePort } from '#test/kit/free-port.ts';
import { Program } from '#test/kit/program.ts';
import { tempDir } from '#test/kit/temp.ts';
import { ComposeProject, imageOf } from './compose.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** What the sink got: how often each message came, and how many messages had so many signatures. */
export type Arrived = { arrivals: Map<string, number>; signatures: [number, number][] };

/** Its networks are of this one, by their number; this machine is the first address of each. */
const SUBNET = `172.29.${process.pid % 250}`;
const RESOLVER_NETWORK = `172.31.${process.pid % 250}`;

/**
 * A project of compose.yaml with a sink in a container beside it, and a configuration that lets mail from this machine
 * through.
 */
export class ComposeSite implements AsyncDisposable {
  readonly project: ComposeProject;
  /** Address of the resolver. */
  readonly resolver = `${RESOLVER_NETWORK}.2`;
  readonly #folder: string;
  readonly #port: number;
  readonly #resources: AsyncDisposableStack;

  private constructor(project: ComposeProject, folder: string, port: number, resources: AsyncDisposableStack) {
    this.project = project;
    this.#folder = folder;
    this.#port = port;
    this.#resources = resources;
  }

  /** `root`: the folder of compose.yaml; that of this version by default. */
  static async create(root = ROOT): Promise<ComposeSite> {
    await using undo = new AsyncDisposableStack();
    const { path } = undo.use(await tempDir('compose'));
    // The user of the containers must get at it.
    await chmod(path, 0o755);
    const port = await freePort();
    const sink = join(path, 'sink.yaml');
    await writeFile(sink, sinkFile(port));
    const environment = { SEALPOST_CONFIG: path, RESOLVER_NETWORK };
    const project = await ComposeProject.create({ root, files: [sink], environment });
    undo.use(project);
    const config = (await readFile(join(root, 'cluster/compose/sealpost.yaml'), 'utf8'))
      // Published ports lead through the gateway of the network, which is inside only where it is named itself.
      .replace('172.30.53.', `${RESOLVER_NETWORK}.`)
      .replace('https://localhost:8443', `https://localhost:${project.ports.get(8443)?.[0]}`)
      .replace('hosts: []', `hosts: [${SUBNET}.1]`)
      .replace('routes:', 'routes:\n  - { to: dest.test, via: "smtp://sink:2526", tls: off }');
    await writeFile(join(path, 'sealpost.yaml'), config, { mode: 0o644 });
    return new ComposeSite(project, path, port, undo.move());
  }

  async arrived(): Promise<Arrived> {
    return arrivedAt(this.#port);
  }

  /** Send one message as alice. */
  async submit(port: number, tls: '--tls' | '--tls-on-connect'): Promise<void> {
    const login = ['--auth', 'PLAIN', '--auth-user', 'alice', '--auth-password', 'a-password-of-hers'];
    const envelope = ['--from', 'alice@sealpost.test', '--to', 'friend@example.com'];
    const args = ['--server', '127.0.0.1', '--port', String(port), tls, ...login, ...envelope];
    await using swaks = new Program('swaks', args);
    assert.equal(await swaks.ended(), 0, swaks.output);
  }

  /** What the routers have captured. */
  async captured(): Promise<{ node: string; id: string }[]> {
    const { messages } = JSON.parse(await this.project.operator('capture', 'list', '--json')) as {
      messages: { node: string; id: string }[];
    };
    return messages;
  }

  /** The captured messages, as files on this machine. */
  async fetchCaptured(): Promise<string[]> {
    const fetched = (await this.captured()).map(async ({ node, id }) => {
      const file = join(this.#folder, `${id}.eml`);
      await writeFile(file, await this.project.exec(node, 'cat', `/var/lib/sealpost/capture/${id}.eml`));
      return file;
    });
    return Promise.all(fetched);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** What a sink says that answers on this port of loopback. */
export async function arrivedAt(port: number): Promise<Arrived> {
  const answer = await fetch(`http://127.0.0.1:${port}`);
  const { arrivals, signatures } = (await answer.json()) as {
    arrivals: [string, number][];
    signatures: [number, number][];
  };
  return { arrivals: new Map(arrivals), signatures };
}

function sinkFile(port: number): string {
  return `version: "3.8"
services:
  sink:
    image: ${imageOf('NODE_IMAGE')}
    command: [node, /repository/test/kit/smtp/sink-process.ts]
    ports: ["127.0.0.1:${port}:2580"]
    volumes: ["${ROOT}:/repository:ro"]
networks:
  default: { ipam: { config: [{ subnet: ${SUBNET}.0/24 }] } }
`;
}
