import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { verifyWithDkimpy } from '#test/kit/dkim/verifiers.ts';
import { freePort } from '#test/kit/free-port.ts';
import { ComposeProject, docker, imageOf, needsEngine } from '#test/kit/nodes/compose.ts';
import { COMPOSE_CONFIG } from '#test/kit/nodes/compose-config.ts';
import { Program } from '#test/kit/program.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * compose.yaml as a user starts it, with three listeners: mail through every published port, and then one container of
 * each kind is killed under load. What was answered with 250 must arrive at a sink in a container beside them.
 */
const SERVICES = ['listener', 'policy', 'signer', 'router-1', 'router-2', 'credential-store-1', 'credential-store-2'];
const KILLED = ['listener', 'policy', 'signer', 'router-1', 'credential-store-1', 'nats-1'];
const LISTENERS = ['--scale', 'listener=3'];
const CONNECTIONS = 20;
const DOMAIN = 'sealpost.test';

test('compose.yaml: three listeners, and one container of each kind killed under load', {
  ...needsEngine('swaks', 'dkimverify'),
  timeout: 15 * 60_000,
}, async (t) => {
  await using site = await Site.create();
  const { project } = site;

  await t.test('up, and every container is well', async () => {
    await project.compose('up', '--detach', ...LISTENERS);
    assert.equal((await project.containers('listener')).length, 3);
    await project.healthy(SERVICES);
    await project.operator('keys', 'create', DOMAIN, 's1');
    await waitFor(async () => / active .* 3\/3 /.test(await project.operator('keys', 'list')), {
      what: 'the key to sign everywhere',
      timeout: 30_000,
    });
  });

  await t.test('users send through the submission ports of every listener, signed', async () => {
    const add = 'echo a-password-of-hers | sealpost users add alice --address alice@sealpost.test --password-stdin';
    await project.exec('policy', 'sh', '-c', add);
    for (const [inside, tls] of [
      [2587, '--tls'],
      [2465, '--tls-on-connect'],
    ] as const) {
      for (const port of project.ports.get(inside) ?? []) await site.submit(port, tls);
    }
    await waitFor(async () => (await site.captured()).length === 6, { what: 'six messages', timeout: 30_000 });
    const record = await project.operator('keys', 'export-dns', DOMAIN, 's1', '--value');
    const verdicts = await verifyWithDkimpy(await site.fetchCaptured(), { [`s1._domainkey.${DOMAIN}`]: record.trim() });
    assert.deepEqual(verdicts, Array(6).fill(['pass']));
  });

  const loads = (project.ports.get(2525) ?? []).map(
    (port, i) =>
      new Load(`compose-${i + 1}`, {
        ...{ port, sessions: 3, rate: 20, sizes: [500, 4000, 60_000], patience: 30_000 },
        ...{ from: `alice@${DOMAIN}`, to: 'somebody@dest.test' },
      }),
  );
  /** That so many listeners take some more mail. */
  const flowing = async (count: number, listeners = loads.length): Promise<void> => {
    const before = loads.map((load) => load.accepted.size);
    const flows = (load: Load, i: number): boolean => load.accepted.size >= (before[i] ?? 0) + count;
    await waitFor(() => loads.filter(flows).length >= listeners, {
      what: `${count} messages at ${listeners} listeners`,
      timeout: 60_000,
    });
  };
  /** That each listener refuses some mail. */
  const refusing = async (): Promise<void> => {
    const refused = (load: Load): number => [...load.refused.values()].reduce((sum, times) => sum + times, 0);
    const before = loads.map(refused);
    await waitFor(() => loads.every((load, i) => refused(load) > (before[i] ?? 0)), {
      what: 'every listener to refuse mail',
      timeout: 30_000,
    });
  };
  await using sending = new AsyncDisposableStack();
  for (const load of loads) {
    load.start();
    sending.defer(() => load.stop());
  }
  await t.test('mail through every listener', () => flowing(20));

  for (const service of KILLED) {
    await t.test(`${service} is killed, and started again`, async () => {
      const [container = ''] = await project.containers(service);
      await docker('kill', container);
      // Without the one policy nobody is let in.
      await (service === 'policy' ? refusing() : flowing(40, service === 'listener' ? 2 : 3));
      await project.compose('up', '--detach', ...LISTENERS);
      await flowing(20);
    });
  }

  await t.test('more of the services that keep nothing, and a restart of every container', async () => {
    await project.compose('up', '--detach', ...LISTENERS, '--scale', 'signer=3', '--scale', 'policy=2');
    await flowing(20);
    await project.compose('restart', '--timeout', '20', ...SERVICES, 'nats-1', 'nats-2', 'nats-3');
    await flowing(20);
    await project.healthy(SERVICES);
    const { services } = JSON.parse(await project.operator('status', '--json')) as {
      services: Record<string, { ok: boolean }>;
    };
    assert.deepEqual(
      Object.values(services).filter(({ ok }) => !ok),
      [],
    );
  });

  await Promise.all(loads.map((load) => load.stop()));
  await t.test('all that was accepted has arrived, signed', async (t) => {
    const missing = async (): Promise<string[]> => {
      const { arrivals } = await site.arrived();
      return loads.flatMap((load) => [...load.accepted].filter((id) => !arrivals.has(id)));
    };
    // A next hop that was out of reach is tried again after minutes.
    for (const node of ['router-1', 'router-2']) await project.operator('queue', 'retry', '--all', '--node', node);
    await waitFor(async () => (await missing()).length === 0, { what: 'all mail', timeout: 60_000 }).catch(
      () => undefined,
    );
    assert.deepEqual(await missing(), [], 'accepted mail that did not arrive');
    const { arrivals, signatures } = await site.arrived();
    assert.deepEqual(
      signatures.map(([fields]) => fields),
      [1],
    );
    const duplicates = [...arrivals.values()].reduce((sum, times) => sum + times - 1, 0);
    const refused = loads.map((load) => Object.fromEntries(load.refused));
    t.diagnostic(`${arrivals.size} arrived, ${duplicates} duplicates, refused ${JSON.stringify(refused)}`);
    assert.ok(duplicates <= CONNECTIONS * 2, 'at most what two routers had under way');
    for (const load of loads) {
      for (const reply of load.refused.keys()) assert.match(reply, /^4/, 'nothing but "try again"');
    }
  });

  await t.test('nobody is root, nothing but volumes can be written, each sees its own secrets', () => site.isTight());
  await project[Symbol.asyncDispose]();
  assert.deepEqual(await project.remains(), []);
});

type Arrived = { arrivals: Map<string, number>; signatures: [number, number][] };

/** The project with a sink in a container beside it, and a configuration that lets mail from this machine through. */
class Site implements AsyncDisposable {
  readonly project: ComposeProject;
  readonly #folder: string;
  readonly #port: number;
  readonly #resources: AsyncDisposableStack;

  private constructor(project: ComposeProject, folder: string, port: number, resources: AsyncDisposableStack) {
    this.project = project;
    this.#folder = folder;
    this.#port = port;
    this.#resources = resources;
  }

  static async create(): Promise<Site> {
    await using undo = new AsyncDisposableStack();
    const { path } = undo.use(await tempDir('compose'));
    // The user of the containers must get at it.
    await chmod(path, 0o755);
    const port = await freePort();
    const config = (await readFile(COMPOSE_CONFIG, 'utf8'))
      // Networks that Docker makes: this machine is one of their addresses.
      .replace('hosts: []', 'hosts: [172.16.0.0/12, 192.168.0.0/16]')
      .replace('routes:', 'routes:\n  - { to: dest.test, via: "smtp://sink:2526", tls: off }');
    await writeFile(join(path, 'sealpost.yaml'), config, { mode: 0o644 });
    const sink = join(path, 'sink.yaml');
    await writeFile(sink, sinkFile(port));
    const project = await ComposeProject.create({ files: [sink], environment: { SEALPOST_CONFIG: path } });
    undo.use(project);
    return new Site(project, path, port, undo.move());
  }

  async arrived(): Promise<Arrived> {
    const answer = await fetch(`http://127.0.0.1:${this.#port}`);
    const { arrivals, signatures } = (await answer.json()) as {
      arrivals: [string, number][];
      signatures: [number, number][];
    };
    return { arrivals: new Map(arrivals), signatures };
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
  async captured(): Promise<{ router: string; id: string }[]> {
    const lists = ['router-1', 'router-2'].map(async (router) => {
      const { messages } = JSON.parse(await this.project.exec(router, 'sealpost', 'capture', 'list', '--json')) as {
        messages: { id: string }[];
      };
      return messages.map(({ id }) => ({ router, id }));
    });
    return (await Promise.all(lists)).flat();
  }

  /** The captured messages, as files on this machine. */
  async fetchCaptured(): Promise<string[]> {
    const fetched = (await this.captured()).map(async ({ router, id }) => {
      const file = join(this.#folder, `${id}.eml`);
      await writeFile(file, await this.project.exec(router, 'cat', `/var/lib/sealpost/capture/${id}.eml`));
      return file;
    });
    return Promise.all(fetched);
  }

  async isTight(): Promise<void> {
    const [own, nek] = [['bus-password', 'ca.pem'], 'nek.key'];
    const secrets: Record<string, string[]> = {
      listener: [...own, 'certificate-key.pem', 'certificate.pem'],
      policy: [...own, 'users.yaml'],
      signer: [...own, nek],
      'router-1': own,
      'credential-store-1': [...own, nek],
    };
    for (const [service, files] of Object.entries(secrets)) {
      const script = 'id -u; touch /opt/sealpost/x /etc/x 2>/dev/null; echo $?; ls /run/sealpost /run/sealpost-nek';
      const [user, touched, ...listed] = (await this.project.exec(service, 'sh', '-c', script)).split('\n');
      assert.deepEqual([user, touched], ['1000', '1'], service);
      const seen = listed.filter((line) => line !== '' && !line.endsWith(':'));
      assert.deepEqual(seen.toSorted(), files.toSorted(), service);
    }
    for (const address of ['nats-1', await this.#routeAddress('nats-1')]) {
      const connect = `require('net').connect({ host: '${address}', port: 6222, timeout: 2000 })`;
      const report = `.on('connect', () => end('open')).on('error', () => end('shut')).on('timeout', () => end('shut'))`;
      const script = `const end = (text) => { console.log(text); process.exit(0); }; ${connect}${report}`;
      assert.equal((await this.project.exec('listener', 'node', '-e', script)).trim(), 'shut', address);
    }
    for (const service of [...SERVICES, 'nats-1']) {
      const [container = ''] = await this.project.containers(service);
      const format =
        '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}';
      const facts = (await docker('inspect', '--format', format, container)).trim();
      assert.match(facts, /^(node|1000:1000) true \[ALL\] \[no-new-privileges:true\]$/, service);
    }
  }

  /** Where a NATS server listens for the others. */
  async #routeAddress(service: string): Promise<string> {
    const [container = ''] = await this.project.containers(service);
    const format = `{{(index .NetworkSettings.Networks "${this.project.name}_routes").IPAddress}}`;
    const address = (await docker('inspect', '--format', format, container)).trim();
    assert.match(address, /^[\d.]+$/);
    return address;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

function sinkFile(port: number): string {
  return `version: "3.8"
services:
  sink:
    image: ${imageOf('NODE_IMAGE')}
    command: [node, /repository/test/kit/smtp/sink-process.ts]
    ports: ["127.0.0.1:${port}:2580"]
    volumes: ["${resolve(import.meta.dirname, '../..')}:/repository:ro"]
`;
}
