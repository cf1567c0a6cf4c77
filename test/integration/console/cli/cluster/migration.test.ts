import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { connect, type NatsConnection, type StreamInfo } from 'nats';
import { ensureStream } from '#cluster/replicated/jetstream-stream.ts';
import { sealpost } from '#test/kit/command.ts';
import { FORMER_ROUTE_ADDRESS, writeFormerCluster } from '#test/kit/nodes/former-cluster.ts';
import { Program } from '#test/kit/program.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * A cluster that a version before made goes over to separate authorities, as docs/install/several-machines.md says: in three
 * steps, in each of which one server after the other gets its new files. Servers of two neighbouring steps must find each
 * other also when they start again. Then a listener's certificate lets nobody in.
 */
const LISTENER = 'mx.example.com';
const BUCKET = 'sealpost-claims';
const STREAM = `KV_${BUCKET}`;
const RECORDS = 20;
const EVENT = 'sealpost.v1.router.event.demand';

test('a cluster with one authority goes over to three; a certificate of a listener then joins nothing', {
  ...needs('nats-server'),
  timeout: 240_000,
}, async (t) => {
  await using site = await Site.create();
  await t.test('as it was: who holds the certificate of a listener hears the bus', async () => {
    for (const machine of site.machines) await machine.startFormer();
    await site.fill();
    await site.whole();
    await site.joins({ certificate: await site.listenerCertificate(), password: undefined }, true);
  });
  const stolen = await site.listenerCertificate();

  await t.test('step 1: both authorities are trusted', async () => {
    assert.match(await site.init(), /Step 1 of 3/);
    await site.oneAfterTheOther((machine) => machine.restart());
    await site.makeStreams();
  });
  await t.test('step 2: servers show certificates of the new one', async () => {
    assert.match(await site.init('--advance'), /Step 2 of 3/);
    // Run again by whatever runs it at each start, it stays where it is.
    assert.match(await site.init(), /has all that a cluster needs\nStep 2 of 3/);
    await site.oneAfterTheOther((machine) => machine.reload());
  });
  await t.test('step 3: the old one is forgotten', async () => {
    assert.match(await site.init('--advance'), /removed authority\/authority.pem/);
    await site.oneAfterTheOther((machine) => machine.reload());
    assert.equal(await site.init(), `${site.folder} has all that a cluster needs\n`);
    assert.match(await site.init('--advance'), /has all that a cluster needs/);
  });

  await t.test(
    'neither the old nor the new certificate of a listener joins the routes, nor one of routes alone',
    async () => {
      const password = (await readFile(join(site.folder, 'authority/routes-password'), 'utf8')).trim();
      await site.joins({ certificate: stolen, password }, false);
      await site.joins({ certificate: await site.listenerCertificate(), password }, false);
      const route = await site.certificate('nats/route');
      await site.joins({ certificate: route, password: undefined }, false);
      await site.joins({ certificate: route, password }, true);
    },
  );
});

type Pem = { certificate: string; key: string };

/** A machine with a nats-server. */
class Machine {
  readonly address: string;
  readonly folder: string;
  readonly #name: string;
  #program: Program | undefined;
  #start: () => Program = () => assert.fail('it was not started');

  constructor(address: string, folder: string, name: string) {
    this.address = address;
    this.folder = folder;
    this.#name = name;
  }

  get url(): string {
    return `tls://${this.address}:4222`;
  }

  get #store(): string {
    return join(this.folder, 'store');
  }

  async startFormer(): Promise<void> {
    const file = join(this.folder, 'nats/nats.conf');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(FORMER_ROUTE_ADDRESS, `${this.address}:6222`));
    const args = ['-c', 'nats.conf', '-n', this.#name, '-a', this.address, '-sd', this.#store];
    this.#start = () => new Program('nats-server', args, { cwd: join(this.folder, 'nats') });
    await this.restart();
    this.#start = () => {
      const env = { NATS_ADDRESS: this.address, NATS_ROUTE_ADDRESS: this.address };
      const own = { NATS_NAME: this.#name, NATS_STORE: this.#store };
      return new Program('nats-server', ['-c', 'nats.conf'], {
        cwd: join(this.folder, 'nats'),
        env: { ...env, ...own },
      });
    };
  }

  async restart(): Promise<void> {
    await this.#program?.[Symbol.asyncDispose]();
    this.#program = this.#start();
    await this.#program.waitForOutput(/Server is ready/);
  }

  async reload(): Promise<void> {
    const from = this.#program?.output.length ?? 0;
    this.#program?.signal('SIGHUP');
    await this.#program?.waitForOutput(/Reloaded server configuration/, 15_000, from);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program?.[Symbol.asyncDispose]();
  }
}

class Site implements AsyncDisposable {
  readonly folder: string;
  readonly machines: readonly Machine[];
  #created: string | undefined;
  readonly #resources: AsyncDisposableStack;

  private constructor(folder: string, machines: readonly Machine[], resources: AsyncDisposableStack) {
    this.folder = folder;
    this.machines = machines;
    this.#resources = resources;
  }

  static async create(): Promise<Site> {
    await using undo = new AsyncDisposableStack();
    const { path } = undo.use(await tempDir('migration'));
    // The ports are those of the guide, so each machine has a loopback address that no other test uses.
    const network = `127.${randomInt(2, 250)}.${randomInt(2, 250)}`;
    const machines = [1, 2, 3].map((i) => new Machine(`${network}.${i}`, join(path, `machine-${i}`), `edge-${i}`));
    for (const machine of machines) undo.use(machine);
    const site = new Site(join(path, 'cluster'), machines, undo.move());
    await writeFormerCluster(site.folder, site.#addresses, LISTENER);
    for (const machine of machines) await site.#copyTo(machine);
    return site;
  }

  get #addresses(): string[] {
    return this.machines.map(({ address }) => address);
  }

  async #copyTo(machine: Machine): Promise<void> {
    await mkdir(machine.folder, { recursive: true });
    for (const name of ['nats', 'node']) {
      await cp(join(this.folder, name), join(machine.folder, name), { recursive: true });
    }
  }

  async init(...more: string[]): Promise<string> {
    const args = [
      'cluster',
      'init',
      this.folder,
      '--nodes',
      '--hostname',
      LISTENER,
      '--nats',
      ...this.#addresses,
      ...more,
    ];
    const { code, stdout, stderr } = await sealpost(args, { cwd: this.folder });
    assert.equal(code, 0, stderr);
    return stdout;
  }

  async makeStreams(): Promise<void> {
    const file = join(this.folder, 'sealpost.yaml');
    const servers = JSON.stringify(this.machines.map(({ url }) => url));
    await writeFile(file, `bus: { servers: ${servers}, tls: { ca: ./streams/ca.pem } }`);
    const args = ['cluster', 'streams', '--password', 'streams/bus-password', '--config', file];
    const { code, stderr } = await sealpost(args, { cwd: this.folder });
    assert.equal(code, 0, stderr);
  }

  /** Give each machine its new files; its clients get theirs before any server. After each the cluster is whole. */
  async oneAfterTheOther(use: (machine: Machine) => Promise<void>): Promise<void> {
    for (const machine of this.machines)
      await cp(join(this.folder, 'node'), join(machine.folder, 'node'), { recursive: true });
    for (const machine of this.machines) {
      await this.#copyTo(machine);
      await use(machine);
      await this.whole();
      // Its routes are made again with what each side has now.
      await machine.restart();
      await this.whole();
    }
  }

  async join(machine: Machine): Promise<NatsConnection> {
    const pass = (await readFile(join(machine.folder, 'node/bus-password'), 'utf8')).trim();
    const identify = (_: string, certificate: PeerCertificate) => checkServerIdentity(machine.address, certificate);
    const tls = { caFile: join(machine.folder, 'node/ca.pem'), checkServerIdentity: identify };
    return connect({ servers: machine.address, user: 'node', pass, tls, inboxPrefix: '_INBOX_node', reconnect: false });
  }

  async fill(): Promise<void> {
    const connection = await this.join(this.machines[0] ?? assert.fail());
    const jsm = await connection.jetstream({ timeout: 2000 }).jetstreamManager(false);
    const make = () => ensureStream(jsm, BUCKET, 3);
    const { info } = await waitFor(make, { what: 'a stream on three servers', timeout: 30_000 });
    this.#created = String(info.created);
    for (let i = 0; i < RECORDS; i++) await connection.request(`$KV.${BUCKET}.${i}`, 'x', { timeout: 5000 });
    await connection.close();
  }

  /** Each server passes on what the others hear, and the stream is on all of them, with all that was in it. */
  async whole(): Promise<void> {
    const connections = await Promise.all(this.machines.map((machine) => this.join(machine)));
    try {
      await waitFor(async () => (await Promise.all(connections.map(isWhole))).every(Boolean), {
        ...{ what: 'three replicas', timeout: 30_000 },
      });
      for (const from of connections) {
        for (const to of connections) await passes(from, to);
      }
      const info = await streamInfo(connections[0] ?? assert.fail());
      assert.deepEqual([String(info.created), info.state.messages], [this.#created, RECORDS]);
    } finally {
      for (const connection of connections) await connection.close();
    }
  }

  async certificate(name: string): Promise<Pem> {
    const [certificate, key] = await Promise.all(
      [`${name}.pem`, `${name}-key.pem`].map((file) => readFile(join(this.folder, file), 'utf8')),
    );
    return { certificate: certificate ?? '', key: key ?? '' };
  }

  listenerCertificate(): Promise<Pem> {
    return this.certificate('node/certificate');
  }

  /**
   * Asserts whether a server of an attacker with these becomes a part of the cluster, and hears what is published there:
   * that it hears something, or that each of the servers has refused it again and again, and it has heard nothing.
   */
  async joins(
    { certificate, password }: { certificate: Pem; password: string | undefined },
    expected: boolean,
  ): Promise<void> {
    await using undo = new AsyncDisposableStack();
    const { path } = undo.use(await tempDir('attacker'));
    await writeFile(join(path, 'c.pem'), certificate.certificate);
    await writeFile(join(path, 'k.pem'), certificate.key);
    const login = password === undefined ? '' : `route:${encodeURIComponent(password)}@`;
    const routes = this.#addresses.map((address) => `"nats://${login}${address}:6222"`).join(', ');
    const tls = 'cert_file: "c.pem", key_file: "k.pem", insecure: true';
    const config = `cluster { name: "sealpost", listen: "127.0.0.1:-1", routes: [${routes}], tls { ${tls} } }`;
    await writeFile(join(path, 'nats.conf'), config);
    const args = ['-c', 'nats.conf', '-a', '127.0.0.1', '-p', '-1'];
    const program = undo.use(new Program('nats-server', args, { cwd: path }));
    const [, port] = await program.waitForOutput(/client connections on 127\.0\.0\.1:(\d+)/);
    const attacker = undo.adopt(await connect({ servers: `127.0.0.1:${port}` }), (connection) => connection.close());
    let heard = false;
    attacker.subscribe('sealpost.>', { callback: () => (heard = true) });
    await attacker.flush();
    const victim = undo.adopt(await this.join(this.machines[0] ?? assert.fail()), (connection) => connection.close());
    const refusals = (): number =>
      (program.output.match(/handshake error|Router connection closed(?!: Duplicate Route)|Authorization/g) ?? [])
        .length;
    await waitFor(
      () => {
        victim.publish(EVENT, 'x');
        return expected ? heard : refusals() >= 2 * this.machines.length;
      },
      { what: expected ? 'the attacker to hear' : 'the attacker to be refused', timeout: 30_000 },
    );
    assert.equal(heard, expected);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

async function streamInfo(connection: NatsConnection): Promise<StreamInfo> {
  const jsm = await connection.jetstream({ timeout: 2000 }).jetstreamManager(false);
  return jsm.streams.info(STREAM);
}

async function isWhole(connection: NatsConnection): Promise<boolean> {
  const { cluster } = await streamInfo(connection);
  return (
    cluster?.replicas?.length === 2 && cluster.replicas.every(({ current, offline }) => current && offline !== true)
  );
}

async function passes(from: NatsConnection, to: NatsConnection): Promise<void> {
  let heard = false;
  const subscription = to.subscribe(EVENT, { callback: () => (heard = true) });
  await to.flush();
  await waitFor(
    async () => {
      from.publish(EVENT, '');
      await from.flush();
      return heard;
    },
    { what: 'an event to pass', timeout: 15_000 },
  );
  subscription.unsubscribe();
}
