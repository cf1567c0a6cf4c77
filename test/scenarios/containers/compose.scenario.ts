import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestBrowser } from '#test/kit/browser/browser.ts';
import { verifyWithDkimpy } from '#test/kit/dkim/verifiers.ts';
import { type ComposeProject, docker, needsEngine } from '#test/kit/nodes/compose.ts';
import { ComposeSite } from '#test/kit/nodes/compose-site.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * compose.yaml as a user starts it, with three listeners: mail through every published port, and then one container of
 * each kind is killed under load. What was answered with 250 must arrive at a sink in a container beside them.
 */
const SERVICES = [
  'listener',
  'extra-listener',
  'policy',
  'signer',
  'router-1',
  'router-2',
  'credential-store-1',
  'credential-store-2',
  'console',
  'resolver',
];
const KILLED = ['listener', 'policy', 'signer', 'router-1', 'credential-store-1', 'nats-1'];
const LISTENERS = ['--scale', 'extra-listener=2'];
const CONNECTIONS = 20;
const DOMAIN = 'sealpost.test';

test('compose.yaml: three listeners, and one container of each kind killed under load', {
  ...needsEngine('swaks', 'dkimverify', 'chromium'),
  timeout: 15 * 60_000,
}, async (t) => {
  await using site = await ComposeSite.create();
  const { project } = site;

  await t.test('up, and every container is well', async () => {
    await project.compose('up', '--detach', ...LISTENERS);
    assert.equal((await project.containers('listener')).length, 1);
    assert.equal((await project.containers('extra-listener')).length, 2);
    for (const service of ['listener', 'policy', 'signer', 'router', 'credential-store', 'console', 'operator']) {
      const check = ['config', 'check', service];
      const container = ['router', 'credential-store'].includes(service) ? `${service}-1` : service;
      if (service === 'operator') await project.operator(...check);
      else await project.exec(container, 'sealpost', ...check);
    }
    await project.healthy(SERVICES);
    await project.operator('keys', 'create', DOMAIN, 's1');
    await waitFor(async () => / active .* 3\/3 /.test(await project.operator('keys', 'list')), {
      what: 'the key to sign everywhere',
      timeout: 30_000,
    });
  });

  await t.test('nodes are called as docker-compose ps shows their containers', async () => {
    const status = JSON.parse(await project.operator('cluster', 'status', '--json')) as {
      processes: { node: string }[];
    };
    assert.deepEqual(status.processes.map(({ node }) => node).toSorted(), [
      'console',
      'credential-store-1',
      'credential-store-2',
      'extra-listener-1',
      'extra-listener-2',
      'listener-1',
      'policy-1',
      'router-1',
      'router-2',
      'signer-1',
    ]);
  });

  await t.test('a browser signs in to the console with the link that it prints, and sees every node', async () => {
    await using browser = await TestBrowser.start();
    await using window = await browser.open();
    const printed = await project.exec('console', 'sealpost', 'console', 'link');
    const [link = ''] = /^https:\S+/.exec(printed) ?? [];
    assert.ok(link.startsWith(`https://localhost:${project.ports.get(8443)?.[0]}/sign-in/link#`), printed);
    await window.page.goto(link);
    await window.page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    for (const node of ['listener-1', 'extra-listener-2', 'router-1', 'router-2', 'credential-store-2']) {
      const row = window.page.getByRole('row', { name: new RegExp(`^${node}\\b`) });
      await row.getByRole('cell').first().getByText('up', { exact: true }).waitFor();
    }
    await window.page.getByText('live', { exact: true }).waitFor();
  });

  await t.test('the logs of NATS tell of no connection that was given up', async () => {
    const logs = await project.compose('logs', '--no-color', 'nats-1', 'nats-2', 'nats-3');
    assert.match(logs, /Server is ready/);
    assert.doesNotMatch(logs, /TLS handshake error/);
  });

  await t.test('the resolver serves those that need it, and nobody else reaches it', async () => {
    const ask = (service: string): Promise<string> => {
      const resolver = `const dns = new (require('dns').promises.Resolver)({ timeout: 1000, tries: 2 });`;
      const question = `dns.setServers(['${site.resolver}']); dns.resolve4('localhost').then(String, String).then(console.log);`;
      return project.exec(service, 'node', '-e', resolver + question);
    };
    for (const service of ['policy', 'router-1', 'credential-store-1']) assert.equal(await ask(service), '127.0.0.1\n');
    assert.match(await ask('listener'), /ETIMEOUT|ECONNREFUSED/);
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
    assert.match(await project.operator('capture', 'show'), /DKIM pass: .* key from this node/);
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

  await t.test('the ports of the first listener stay when it is made again', async () => {
    const before = await project.compose('port', 'listener', '2525');
    await project.compose(
      'up',
      '--detach',
      '--force-recreate',
      '--no-deps',
      ...LISTENERS,
      'listener',
      'extra-listener',
    );
    assert.equal(await project.compose('port', 'listener', '2525'), before);
    await flowing(20);
  });

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
    await project.operator('queue', 'retry', '--all', '--yes');
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

  await t.test('nobody is root, nothing but volumes can be written, each sees its own secrets', () => isTight(project));
  await project[Symbol.asyncDispose]();
  assert.deepEqual(await project.remains(), []);
});

/** Nobody is root, nothing but volumes can be written, each container sees its own secrets and no port of the routes. */
async function isTight(project: ComposeProject): Promise<void> {
  const [own, nek] = [['bus-password', 'ca.pem'], 'nek.key'];
  const secrets: Record<string, string[]> = {
    listener: [...own, 'certificate-key.pem', 'certificate.pem'],
    policy: [...own, nek, 'users.yaml'],
    signer: [...own, nek],
    'router-1': own,
    'credential-store-1': [...own, nek],
    console: [...own, 'certificate-key.pem', 'certificate.pem'],
  };
  for (const [service, files] of Object.entries(secrets)) {
    const script = 'id -u; touch /opt/sealpost/x /etc/x 2>/dev/null; echo $?; ls /run/sealpost /run/sealpost-nek';
    const [user, touched, ...listed] = (await project.exec(service, 'sh', '-c', script)).split('\n');
    assert.deepEqual([user, touched], ['1000', '1'], service);
    const seen = listed.filter((line) => line !== '' && !line.endsWith(':'));
    assert.deepEqual(seen.toSorted(), files.toSorted(), service);
  }
  for (const address of ['nats-1', await routeAddress(project, 'nats-1')]) {
    const connect = `require('net').connect({ host: '${address}', port: 6222, timeout: 2000 })`;
    const report = `.on('connect', () => end('open')).on('error', () => end('shut')).on('timeout', () => end('shut'))`;
    const script = `const end = (text) => { console.log(text); process.exit(0); }; ${connect}${report}`;
    assert.equal((await project.exec('listener', 'node', '-e', script)).trim(), 'shut', address);
  }
  for (const service of [...SERVICES, 'nats-1']) {
    const [container = ''] = await project.containers(service);
    const format =
      '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}';
    const facts = (await docker('inspect', '--format', format, container)).trim();
    assert.match(facts, /^(node|1000:1000) true \[ALL\] \[no-new-privileges:true\]$/, service);
  }
}

/** Where a NATS server listens for the others. */
async function routeAddress(project: ComposeProject, service: string): Promise<string> {
  const [container = ''] = await project.containers(service);
  const format = `{{(index .NetworkSettings.Networks "${project.name}_routes").IPAddress}}`;
  const address = (await docker('inspect', '--format', format, container)).trim();
  assert.match(address, /^[\d.]+$/);
  return address;
}
