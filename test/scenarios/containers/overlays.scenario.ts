import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { parse, stringify } from 'yaml';
import { parsePage, sectionOf } from '#test/kit/docs/markdown.ts';
import { ROOT } from '#test/kit/docs/pages.ts';
import { freePorts } from '#test/kit/free-port.ts';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { ComposeProject, composeCommand, docker, imageOf, needsEngine } from '#test/kit/nodes/compose.ts';
import { Program } from '#test/kit/program.ts';
import { needsDovecot } from '#test/kit/smtp/dovecot.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { longestPause } from '#test/kit/smtp/longest-pause.ts';
import { SmartHost } from '#test/kit/smtp/smart-host.ts';
import { VERIFIER } from '#test/kit/smtp/verifying-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * The additions to compose.yaml that docs/install/compose.md describes, with its commands: NEK and certificate as Docker secrets,
 * HAProxy in front of the listeners, and a smart host that asks for a password, which is Dovecot on this machine. What was
 * accepted arrives there, and each signature verifies.
 */
const PAGE = 'docs/install/compose.md';
const DOMAIN = 'sealpost.test';
const BASE = process.pid % 250;
/** First three numbers of the networks. */
const [FRONT, RESOLVER] = [`172.28.${BASE}`, `172.27.${BASE}`];
const ADDITIONS = ['cluster/compose/secrets.yaml', 'cluster/compose/haproxy.yaml'];
const CONFIG = 'config/sealpost.yaml';
const MOST_MS = 10_000;
const SERVICES = [
  'listener',
  'policy',
  'signer',
  'router-1',
  'router-2',
  'credential-store-1',
  'credential-store-2',
  'console',
];
/** What compose.yaml and its images are made of. */
const PARTS = [
  'compose.yaml',
  '.dockerignore',
  'cluster',
  'services',
  'shared',
  'package.json',
  'package-lock.json',
  'LICENSE',
  'NOTICE',
  'sbom.cdx.json',
];

const skip = needsEngine('swaks', ...VERIFIER).skip || needsDovecot('/usr/lib/dovecot/submission').skip;

test('Docker secrets, HAProxy and a smart host under compose', { skip, timeout: 20 * 60_000 }, async (t) => {
  await using undo = new AsyncDisposableStack();
  const { path: folder } = undo.use(await tempDir('overlays'));
  await chmod(folder, 0o755);
  const root = join(folder, 'sealpost');
  for (const part of PARTS) await cp(join(ROOT, part), join(root, part), { recursive: true });
  const site = await Site.create(root, undo);
  const { project } = site;
  const authority = await createAuthority();

  await t.test('NEK and certificate come from Docker secrets', async () => {
    const { certificate, key } = await authority.issue({ names: ['mail.sealpost.test'] });
    await writeFile(join(root, 'fullchain.pem'), certificate);
    await writeFile(join(root, 'key.pem'), key);
    await site.shell(site.block('Secrets', 'keys nek edge >'));
    await site.edit(site.block('Secrets', 'credentials:'));
    await site.shell(site.block('Secrets', 'cluster/compose/secrets.yaml up'));
    await project.healthy(SERVICES, 180_000);
    await project.operator('keys', 'create', DOMAIN, 's1');
    await waitFor(async () => / active .* 3\/3 /.test(await project.operator('keys', 'list')), {
      what: 'the key',
      timeout: 60_000,
    });
    const neks = await project.operator('keymgmt', 'show', 'nek', 'ALL');
    assert.match(neks, /\bedge\b/);
    assert.doesNotMatch(neks, /\bcluster\b/);
  });

  await t.test('another NEK is a line more', async () => {
    const [add = '', rotate = ''] = site.block('Secrets', 'keys nek edge2').trim().split('\n');
    await site.shell(add);
    await waitFor(() => site.shell(rotate), { what: 'the NEK edge2 to wrap', timeout: 60_000 });
    assert.match(await project.operator('keymgmt', 'show', 'nek', 'edge2'), /edge2/);
  });

  const smartHost = undo.use(
    await SmartHost.start(folder, await site.gateway('default'), {
      name: DOMAIN,
      records: `s1._domainkey.${DOMAIN}. TXT ${await site.record()}`,
    }),
  );
  await t.test('a route leads to a smart host, whose password is where only routers see it', async () => {
    await writeFile(join(root, 'smarthost'), 'first password\n');
    await site.shell(site.block('A smart host', 'router/smarthost'));
    await cp(smartHost.ca, join(root, 'config/smarthost-ca.pem'));
    const [route = {}] = (parse(site.block('A smart host', 'routes:')) as { routes: object[] }).routes;
    const via = `smtp://edge@${smartHost.address}`;
    await site.edit(stringify({ routes: [{ ...route, via, ca: '/etc/sealpost/smarthost-ca.pem' }] }));
    for (const service of ['listener', 'policy', 'signer', 'credential-store-1'])
      await assert.rejects(project.exec(service, 'cat', '/run/sealpost/smarthost'), /No such file/);
  });

  await t.test('HAProxy stands in front of two listeners', async () => {
    const { listeners } = parse(site.block('HAProxy in front of the listeners', 'listeners:')) as {
      listeners: { proxy: string[] }[];
    };
    await site.edit(stringify({ listeners: listeners.map((one) => ({ ...one, proxy: [`${FRONT}.2`] })) }));
    const up = site.block('HAProxy in front of the listeners', 'cluster/compose/haproxy.yaml up');
    assert.match(
      up,
      /^docker-compose -f compose.yaml -f cluster\/compose\/haproxy.yaml up -d --scale extra-listener=3\n/,
    );
    await site.shell(up.replace('-f compose.yaml', '$& -f cluster/compose/secrets.yaml').replace('=3', '=1'));
    await project.healthy([...SERVICES, 'extra-listener'], 180_000);
    const client = await site.gateway('front');
    await site.edit(stringify({ relay: { allow: { hosts: [client] } } }));
    await waitFor(() => showsCertificate(site.ports.submissions, authority.ca), {
      what: 'the certificate of the secret',
    });
  });

  await t.test('users log in through it', async () => {
    const add = 'echo a-password-of-hers | sealpost users add alice --address alice@sealpost.test --password-stdin';
    await project.exec('policy', 'sh', '-c', add);
    for (const [port, tls] of [
      [site.ports.submission, '--tls'],
      [site.ports.submissions, '--tls-on-connect'],
    ] as const) {
      const login = ['--auth', 'PLAIN', '--auth-user', 'alice', '--auth-password', 'a-password-of-hers'];
      const envelope = ['--from', 'alice@sealpost.test', '--to', 'friend@dest.test'];
      const args = ['--server', `127.0.0.1:${port}`, tls, ...login, ...envelope];
      await using swaks = new Program('swaks', args);
      assert.equal(await swaks.ended(), 0, swaks.output);
    }
  });

  const load = undo.use(
    new Load('overlays', {
      ...{ port: site.ports.mx, sessions: 3, rate: 10, perSession: 5, sizes: [500, 4000, 60_000], patience: 30_000 },
      ...{ from: `alice@${DOMAIN}`, to: 'somebody@dest.test' },
    }),
  );
  load.start();
  const flows = async (): Promise<void> => {
    const before = load.accepted.size;
    await waitFor(() => load.accepted.size >= before + 20, { what: 'mail through HAProxy', timeout: 60_000 });
  };
  await t.test('mail through it, from the address of its client', async () => {
    await flows();
    const logs = await project.compose('logs', '--no-color', 'listener', 'extra-listener');
    const peers = new Set([...logs.matchAll(/"peer":"([\d.]+)".*"msg":"message accepted"/g)].map(([, peer]) => peer));
    assert.deepEqual([...peers], [await site.gateway('front')], 'this machine, and not HAProxy');
  });

  await t.test('a listener dies, and clients hardly notice', async (t) => {
    const [container = ''] = await project.containers('listener');
    const watched = longestPause(load, delay(15_000));
    await docker('kill', container);
    const longest = await watched;
    t.diagnostic(
      `longest time without a 250: ${(longest / 1000).toFixed(1)} s; refused ${[...load.refused].join(' ')}`,
    );
    assert.ok(longest <= MOST_MS, `${Math.round(longest)} ms without a 250`);
    await docker('start', container);
    await flows();
  });

  await t.test('the password at the smart host changes: mail waits until routers have the new one', async () => {
    await smartHost.setPassword('second password');
    await waitFor(async () => /535/.test(await project.operator('queue', 'list')), {
      what: 'mail that waits',
      timeout: 60_000,
    });
    await writeFile(join(root, 'smarthost'), 'second password\n');
    await site.shell(site.block('A smart host', 'router/smarthost'));
    const before = smartHost.sink.messages;
    await waitFor(
      async () => {
        await project.operator('queue', 'retry', '--all', '--yes');
        return smartHost.sink.messages > before;
      },
      { what: 'mail at the smart host', timeout: 60_000 },
    );
  });

  await load.stop();
  await t.test('all that was accepted has arrived, and every signature verifies', async (t) => {
    const { sink } = smartHost;
    const missing = (): string[] => [...load.accepted].filter((id) => !sink.arrivals.has(id));
    await project.operator('queue', 'retry', '--all', '--yes');
    await waitFor(() => missing().length === 0, { what: 'all mail', timeout: 120_000 });
    t.diagnostic(`${sink.messages} messages, ${sink.duplicates} came twice`);
    assert.deepEqual(sink.bad.slice(0, 2), []);
    for (const reply of load.refused.keys()) assert.match(reply, /^4/, 'nothing but "try again"');
  });
});

/** The project in a folder of its own, where the files of the commands are made, with the configuration that is edited. */
class Site {
  readonly project: ComposeProject;
  readonly ports: { mx: number; submission: number; submissions: number };
  readonly #page: string;
  readonly #config: string;
  readonly #root: string;

  private constructor(project: ComposeProject, ports: Site['ports'], page: string, root: string) {
    this.project = project;
    this.ports = ports;
    this.#page = page;
    this.#root = root;
    this.#config = join(root, CONFIG);
  }

  static async create(root: string, undo: AsyncDisposableStack): Promise<Site> {
    const config = join(root, CONFIG);
    await mkdir(join(root, 'config'));
    const example = await readFile(join(root, 'cluster/compose/sealpost.yaml'), 'utf8');
    await writeFile(config, example.replace('172.30.53.', `${RESOLVER}.`));
    const [mx = 0, submission = 0, submissions = 0] = await freePorts(3);
    const image = `sealposttest${process.pid}-haproxy:test`;
    await buildHaproxy(image);
    undo.defer(async () => void (await docker('image', 'rm', '--force', image)));
    const environment = {
      SEALPOST_CONFIG: './config',
      RESOLVER_NETWORK: RESOLVER,
      HAPROXY_NETWORK: FRONT,
      HAPROXY_IMAGE: image,
      HAPROXY_MX: `127.0.0.1:${mx}`,
      HAPROXY_SUBMISSION: `127.0.0.1:${submission}`,
      HAPROXY_SUBMISSIONS: `127.0.0.1:${submissions}`,
    };
    const files = ADDITIONS.map((name) => join(root, name));
    const project = undo.use(await ComposeProject.create({ root, files, environment }));
    return new Site(project, { mx, submission, submissions }, await readFile(join(ROOT, PAGE), 'utf8'), root);
  }

  /** The block of a section that has these words. */
  block(section: string, words: string): string {
    const found = parsePage(sectionOf(this.#page, section)).blocks.find(({ text }) => text.includes(words));
    if (found === undefined) throw new Error(`${PAGE}: no block of "${section}" has "${words}"`);
    return found.text;
  }

  /** Run lines of a shell beside compose.yaml, as the document has them. */
  async shell(lines: string): Promise<string> {
    const env = { ...this.project.environment, COMPOSE_FILE: ['compose.yaml', ...ADDITIONS].join(':') };
    const script = `set -e\ndocker-compose() { command ${composeCommand()?.join(' ')} "$@"; }\n${lines}`;
    await using program = new Program('bash', ['-c', script], { cwd: this.#root, env });
    const code = await program.ended();
    assert.equal(code, 0, `${lines}\n${program.output.slice(-4000)}`);
    return program.stdout;
  }

  /** Address of this machine in a network of the listener. */
  async gateway(network: string): Promise<string> {
    const [container = ''] = await this.project.containers('listener');
    const format = `{{(index .NetworkSettings.Networks "${this.project.name}_${network}").Gateway}}`;
    return (await docker('inspect', '--format', format, container)).trim();
  }

  /** Put sections into sealpost.yaml, in place of those that are there. */
  async edit(sections: string): Promise<void> {
    const config = parse(await readFile(this.#config, 'utf8')) as object;
    await writeFile(this.#config, stringify({ ...config, ...(parse(sections) as object) }));
  }

  /** What is published of the key, as a zone file has it. */
  async record(): Promise<string> {
    const value = await this.project.operator('keys', 'export-dns', DOMAIN, 's1', '--value');
    return (value.trim().match(/.{1,255}/g) ?? []).map((part) => `"${part}"`).join(' ');
  }
}

/** The public image has HAProxy on Debian too. */
async function buildHaproxy(image: string): Promise<void> {
  const file = `FROM ${imageOf('NODE_IMAGE')}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy && rm -rf /var/lib/apt/lists/*
`;
  const child = spawn('docker', ['build', '--quiet', '--tag', image, '-'], { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(file);
  const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  assert.equal(code, 0, 'the image of HAProxy');
}

/** Whether a server shows the certificate of this authority for its name. */
async function showsCertificate(port: number, ca: string): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1', ca, servername: 'mail.sealpost.test', rejectUnauthorized: false });
  try {
    await once(socket, 'secureConnect');
    return socket.authorized;
  } finally {
    socket.destroy();
  }
}
