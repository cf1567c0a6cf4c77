import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { globSync, readFileSync, statSync } from 'node:fs';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { createSelfSigned } from '#cluster/certificate.ts';
import { requireConfig } from '#cluster/config/load.ts';
import { initCluster } from '#services/console/cli/cluster/cluster-init.ts';
import { SERVICES } from '#services/topology.ts';
import { parseNeks } from '#shared/dkim/nek.ts';
import { composeConfig } from '#test/kit/nodes/compose-config.ts';
import { tempDir } from '#test/kit/temp.ts';

const HOSTS = {
  nats: ['nats-1', 'nats-2', '127.0.0.1'],
  routes: ['nats-1-routes', 'nats-2-routes', '127.0.0.1'],
  listeners: ['mail.sealpost.test'],
  processes: 'services',
} as const;

const files = (folder: string): string[] => globSync('*/*', { cwd: folder }).toSorted();
const contents = (folder: string): Map<string, string> =>
  new Map(files(folder).map((file) => [file, readFileSync(join(folder, file), 'utf8')]));
const certificate = (folder: string, name: string): X509Certificate =>
  new X509Certificate(readFileSync(join(folder, name)));

describe('sealpost cluster init', () => {
  test('a lost NEK is not replaced in silence: no key of before could sign', async () => {
    await using dir = await tempDir('init');
    await initCluster(dir.path, HOSTS);
    const before = readFileSync(join(dir.path, 'nek/nek.key'), 'utf8');
    await rm(join(dir.path, 'nek'), { recursive: true });
    await assert.rejects(initCluster(dir.path, HOSTS), { code: 'nek-lost' });
    assert.deepEqual(globSync('nek/*', { cwd: dir.path }), []);
    await initCluster(dir.path, { ...HOSTS, newNek: true });
    assert.notEqual(readFileSync(join(dir.path, 'nek/nek.key'), 'utf8'), before);
    await initCluster(dir.path, HOSTS);
  });

  test('makes what each needs, for its owner alone, and nothing a second time', async () => {
    await using dir = await tempDir('init');
    const { written } = await initCluster(dir.path, HOSTS);
    assert.deepEqual(files(dir.path), [
      'authority/bus-key.pem',
      'authority/bus.pem',
      'authority/listeners-key.pem',
      'authority/listeners.pem',
      'authority/routes-key.pem',
      'authority/routes-password',
      'authority/routes.pem',
      'console/bus-password',
      'console/ca.pem',
      'console/certificate-key.pem',
      'console/certificate.pem',
      'credential-store/bus-password',
      'credential-store/ca.pem',
      'listener/bus-password',
      'listener/ca.pem',
      'listener/certificate-key.pem',
      'listener/certificate.pem',
      'nats/local.conf',
      'nats/nats.conf',
      'nats/route-key.pem',
      'nats/route.pem',
      'nats/routes-ca.pem',
      'nats/server-key.pem',
      'nats/server.pem',
      'nats/users.conf',
      'nek/nek.key',
      'operator/bus-password',
      'operator/ca.pem',
      'policy/bus-password',
      'policy/ca.pem',
      'policy/users.yaml',
      'router/bus-password',
      'router/ca.pem',
      'signer/bus-password',
      'signer/ca.pem',
      'streams/bus-password',
      'streams/ca.pem',
      'tls-nek/tls.nek',
    ]);
    assert.deepEqual(written.toSorted(), files(dir.path));
    for (const file of files(dir.path)) {
      assert.equal(statSync(join(dir.path, file)).mode & 0o777, 0o600, file);
      assert.equal(statSync(join(dir.path, file, '..')).mode & 0o777, 0o700, file);
    }
    const before = contents(dir.path);
    const passwords = [...before].filter(([name]) => name.endsWith('bus-password')).map(([, text]) => text);
    assert.equal(new Set(passwords).size, 8, 'no two users have one password');
    assert.deepEqual(await initCluster(dir.path, HOSTS), { written: [], removed: [], step: 'done' });
    assert.deepEqual(contents(dir.path), before);
  });

  test('certificates are of the authority, for the names, with their keys', async () => {
    await using dir = await tempDir('init');
    await initCluster(dir.path, HOSTS);
    const server = certificate(dir.path, 'nats/server.pem');
    const route = certificate(dir.path, 'nats/route.pem');
    const listener = certificate(dir.path, 'listener/certificate.pem');
    const authorities = ['bus', 'routes', 'listeners'].map((name) => certificate(dir.path, `authority/${name}.pem`));
    for (const [i, issued] of [server, route, listener].entries()) {
      assert.equal(issued.ca, false);
      for (const [j, authority] of authorities.entries()) {
        assert.equal(authority.ca, true);
        assert.equal(issued.checkIssued(authority) && issued.verify(authority.publicKey), i === j);
        assert.ok(issued.validToDate.getTime() < authority.validToDate.getTime());
      }
    }
    const page = certificate(dir.path, 'console/certificate.pem');
    assert.ok(page.checkHost('mail.sealpost.test') && page.checkHost('localhost') && page.checkIP('127.0.0.1'));
    const [serverUse, clientUse] = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];
    assert.deepEqual([server.keyUsage, listener.keyUsage], [[serverUse], [serverUse]], 'no use as a client');
    assert.deepEqual(route.keyUsage, [serverUse, clientUse]);
    assert.ok(route.checkHost('nats-2-routes') && !route.checkHost('nats-2'));
    assert.ok(server.checkHost('nats-2') && server.checkIP('127.0.0.1'));
    assert.ok(listener.checkHost('mail.sealpost.test'));
    const key = readFileSync(join(dir.path, 'nats/server-key.pem'));
    assert.ok(server.checkPrivateKey(createPrivateKey(key)));
    const nekIn = (name: string) => parseNeks(readFileSync(join(dir.path, name), 'utf8')).map((nek) => nek.fingerprint);
    const [keys, certificates] = [nekIn('nek/nek.key'), nekIn('tls-nek/tls.nek')];
    assert.deepEqual([keys.length, certificates.length], [1, 1]);
    assert.notDeepEqual(keys, certificates);
  });

  for (const service of SERVICES) {
    test(`the configuration of compose.yaml is whole for the ${service}, with its own files alone`, async () => {
      await using dir = await tempDir('init');
      await initCluster(dir.path, HOSTS);
      // Whoever reads a file that is not his finds none.
      const needed = [
        service,
        ...(['signer', 'credential-store'].includes(service) ? ['nek'] : []),
        ...(['listener', 'credential-store'].includes(service) ? ['tls-nek'] : []),
      ];
      for (const folder of globSync('*', { cwd: dir.path })) {
        if (!needed.includes(folder)) await rm(join(dir.path, folder), { recursive: true });
      }
      const file = await composeConfig(dir.path, service);
      process.env['HOSTNAME'] = 'host-1';
      process.env['SEALPOST_BUS_USER'] = service;
      const { config, warnings } = await requireConfig(file, { services: [service] });
      assert.deepEqual(warnings, []);
      assert.equal(config.node.name, 'host-1');
      assert.match(config.bus.password?.reveal() ?? '', /^[\w-]{43}$/);
      // No route leads out of the machine.
      assert.deepEqual(
        config.routes.map(({ to, via }) => ({ to, via })),
        [{ to: '*', via: 'capture' }],
      );
    });
  }

  test('for whole nodes: the example for several hosts is whole with node/, nek/ and tls-nek/ beside it', async () => {
    await using dir = await tempDir('init');
    await initCluster(dir.path, { ...HOSTS, processes: 'nodes' });
    const folders = ['authority', 'nats', 'nek', 'node', 'operator', 'streams', 'tls-nek'];
    assert.deepEqual(globSync('*', { cwd: dir.path }).toSorted(), folders);
    for (const folder of ['authority', 'nats', 'operator', 'streams'])
      await rm(join(dir.path, folder), { recursive: true });
    const file = join(dir.path, 'sealpost.yaml');
    await copyFile(resolve(import.meta.dirname, '../../../../../cluster/hosts/sealpost.yaml'), file);
    process.env['HOSTNAME'] = 'edge-1';
    const { config, warnings } = await requireConfig(file, { services: SERVICES });
    assert.deepEqual(warnings, []);
    assert.equal(config.bus.user, 'node');
    assert.deepEqual(
      config.routes.map(({ to, via }) => ({ to, via })),
      [{ to: '*', via: 'capture' }],
    );
  });
});

test('the image has a folder, with its owner, for each volume that compose files have filled', () => {
  const root = resolve(import.meta.dirname, '../../../../..');
  const files = ['compose.yaml', 'cluster/compose/monitoring.yaml'].map((file) =>
    readFileSync(join(root, file), 'utf8'),
  );
  const compose = files.join('\n');
  const image = readFileSync(join(root, 'cluster/Dockerfile'), 'utf8').replaceAll('\\\n', ' ');
  // By the service that fills them, and that which restores them.
  const mounted = [...new Set(compose.matchAll(/:\/cluster\/([a-z0-9-]+)$/gm).map((match) => match[1]))];
  const made = /for folder in ([^;]+);/.exec(image)?.[1]?.trim().split(/\s+/);
  assert.deepEqual(mounted.toSorted(), made?.toSorted());
});

describe('sealpost cluster init, again', () => {
  test('other names of NATS servers mean another certificate; the rest stays', async () => {
    await using dir = await tempDir('init');
    await initCluster(dir.path, HOSTS);
    const { written } = await initCluster(dir.path, { ...HOSTS, nats: ['nats-1', 'nats-9'] });
    assert.deepEqual(written.toSorted(), ['nats/server-key.pem', 'nats/server.pem']);
    assert.ok(certificate(dir.path, 'nats/server.pem').checkHost('nats-9'));
  });

  test('a lost authority means new certificates, and everybody hears of it', async () => {
    await using dir = await tempDir('init');
    await initCluster(dir.path, HOSTS);
    const password = readFileSync(join(dir.path, 'router/bus-password'), 'utf8');
    await rm(join(dir.path, 'authority'), { recursive: true });
    const { written } = await initCluster(dir.path, HOSTS);
    for (const name of ['nats/server.pem', 'nats/route.pem', 'nats/routes-ca.pem', 'router/ca.pem']) {
      assert.ok(written.includes(name), name);
    }
    assert.equal(readFileSync(join(dir.path, 'router/bus-password'), 'utf8'), password);
  });

  test('a password of the administrator is taken, and reaches NATS', async () => {
    await using dir = await tempDir('init');
    await mkdir(join(dir.path, 'router'));
    await writeFile(join(dir.path, 'router/bus-password'), 'of-the-administrator\n');
    await initCluster(dir.path, HOSTS);
    assert.match(readFileSync(join(dir.path, 'nats/users.conf'), 'utf8'), /"of-the-administrator"/);
  });

  test('settings of the administrator for NATS stay, and nats.conf reads them last', async () => {
    await using dir = await tempDir('init');
    await initCluster(dir.path, HOSTS);
    const file = join(dir.path, 'nats/local.conf');
    await writeFile(file, 'max_payload: 2MB\n');
    const { written } = await initCluster(dir.path, { ...HOSTS, nats: [...HOSTS.nats, 'nats-9'] });
    assert.ok(written.includes('nats/server.pem'), 'something else changed');
    assert.equal(readFileSync(file, 'utf8'), 'max_payload: 2MB\n');
    assert.match(
      readFileSync(join(dir.path, 'nats/nats.conf'), 'utf8'),
      /include "users\.conf"\ninclude "local\.conf"\n$/,
    );
    await rm(join(dir.path, 'nek/nek.key'));
    await initCluster(dir.path, { ...HOSTS, newNek: true });
    // As an upgrade leaves them, whose permissions are others.
    await writeFile(join(dir.path, 'nats/users.conf'), 'authorization { users: [] }\n');
    await writeFile(join(dir.path, 'nats/nats.conf'), 'include "users.conf"\n');
    await initCluster(dir.path, { ...HOSTS, advance: true });
    assert.equal(readFileSync(file, 'utf8'), 'max_payload: 2MB\n');
    assert.match(readFileSync(join(dir.path, 'nats/nats.conf'), 'utf8'), /include "local\.conf"\n$/);
    // A cluster of an earlier version has none: nats-server would not start.
    await rm(file);
    await initCluster(dir.path, HOSTS);
    assert.match(readFileSync(file, 'utf8'), /^# Settings of your own/);
  });

  test('a certificate of the administrator stays, whatever its names and its end', async () => {
    await using dir = await tempDir('init');
    const own = await createSelfSigned({ dns: ['mx.example.com'] }, 3);
    await mkdir(join(dir.path, 'listener'));
    await writeFile(join(dir.path, 'listener/certificate.pem'), own.certificate);
    await writeFile(join(dir.path, 'listener/certificate-key.pem'), own.key);
    const { written } = await initCluster(dir.path, HOSTS);
    assert.deepEqual(
      written.filter((name) => name.startsWith('listener/certificate')),
      [],
    );
    assert.equal(readFileSync(join(dir.path, 'listener/certificate.pem'), 'utf8'), own.certificate);
  });

  const BAD: [name: string, file: string, content: string | undefined, error: RegExp][] = [
    [
      'a key without its certificate',
      'listener/certificate.pem',
      undefined,
      /is there without listener\/certificate.pem/,
    ],
    ['a certificate without its key', 'nats/server-key.pem', undefined, /is there without nats\/server-key.pem/],
    ['an authority without its key', 'authority/routes-key.pem', undefined, /without authority\/routes-key.pem/],
    ['a certificate that is none', 'nats/server.pem', 'x', /holds no PEM certificate/],
    ['a password that is none', 'signer/bus-password', 'two words\n', /signer\/bus-password holds no password/],
  ];
  for (const [name, file, content, error] of BAD) {
    test(`${name} is an error, and nothing is overwritten`, async () => {
      await using dir = await tempDir('init');
      await initCluster(dir.path, HOSTS);
      if (content === undefined) await rm(join(dir.path, file));
      else await writeFile(join(dir.path, file), content);
      const before = contents(dir.path);
      await assert.rejects(initCluster(dir.path, HOSTS), error);
      assert.deepEqual(contents(dir.path), before);
    });
  }

  test('a folder that cannot be made is an error that names it', async () => {
    await using dir = await tempDir('init');
    await writeFile(join(dir.path, 'file'), '');
    await assert.rejects(initCluster(join(dir.path, 'file'), HOSTS), { code: 'init-failed', message: /file/ });
  });
});
