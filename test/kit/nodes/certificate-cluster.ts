import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateNek } from '#shared/dkim/nek.ts';
import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { type NatsServer, startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { freePort } from '#test/kit/free-port.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { SealpostNode } from './node.ts';

export type ListedCertificate = CertificateStatus & { usedAt: string[] };
export type CertificateList = {
  certificates: ListedCertificate[];
  findings: { check: string; severity: string; about: string; text: string; help: string }[];
};

/**
 * Three nodes, each a process with every service, on three nats-servers; their listeners present the certificates of the
 * cluster, and all mail goes to one sink.
 */
export class CertificateCluster implements AsyncDisposable {
  readonly nats: NatsServer[];
  readonly nodes: SealpostNode[];
  readonly sink: Tally;
  /** For files of the test, beside those of the nodes. */
  readonly files: TempDir;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    parts: Pick<CertificateCluster, 'nats' | 'nodes' | 'sink' | 'files'>,
    resources: AsyncDisposableStack,
  ) {
    this.nats = parts.nats;
    this.nodes = parts.nodes;
    this.sink = parts.sink;
    this.files = parts.files;
    this.#resources = resources;
  }

  /** `config`: more sections of each node's sealpost.yaml, the same for all or by its number from 1. */
  static async start({ config = '' }: { config?: string | ((n: number) => string) } = {}): Promise<CertificateCluster> {
    await using undo = new AsyncDisposableStack();
    const { servers } = undo.use(await startNatsCluster(3));
    const sink = undo.use(await Tally.start());
    const files = undo.use(await tempDir('certificates'));
    const [nek, tlsNek] = [generateNek('edge'), join(files.path, 'tls.nek')];
    await writeFile(tlsNek, generateNek('tls'), { mode: 0o600 });
    const nodes: SealpostNode[] = [];
    for (let n = 1; n <= 3; n++) {
      const port = await freePort();
      const text = [
        `bus: { servers: ${JSON.stringify(servers.map((server) => server.url))} }`,
        `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: starttls }]`,
        `tls: { nek: ${tlsNek}, credential: mx }`,
        typeof config === 'string' ? config : config(n),
      ].join('\n');
      nodes.push(undo.use(await SealpostNode.create({ name: `edge-${n}`, nek, port, sink: sink.port, config: text })));
    }
    await Promise.all(nodes.map((node) => node.start()));
    return new CertificateCluster({ nats: servers, nodes, sink, files }, undo.move());
  }

  node(n: number): SealpostNode {
    const node = this.nodes[n - 1];
    if (node === undefined) throw new Error(`there is no edge-${n}`);
    return node;
  }

  async list(node = this.node(1)): Promise<CertificateList> {
    return JSON.parse(await node.report('certificates', 'list', '--json')) as CertificateList;
  }

  async find(name: string, node = this.node(1)): Promise<ListedCertificate | undefined> {
    return (await this.list(node)).certificates.find((one) => one.name === name);
  }

  /** Wait until every listener presents the certificate of a name that `is` right. */
  async inUse(name: string, is: (one: ListedCertificate) => boolean, timeout = 60_000): Promise<ListedCertificate> {
    let found: ListedCertificate | undefined;
    const everywhere = async (): Promise<boolean> => {
      found = await this.find(name);
      return found !== undefined && is(found) && found.usedAt.length === this.nodes.length;
    };
    await waitFor(everywhere, { timeout, what: `certificate ${name} to be in use at every listener` });
    return found as unknown as ListedCertificate;
  }

  /** The nodes leave, in order; what they wrote stays until the end of the test. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.flatMap(({ programs }) => [...programs.values()].map((program) => program.stop())));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
