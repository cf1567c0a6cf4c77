import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { keyDigest } from '#shared/certificate.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { ask } from '#shared/dns/exchange.ts';
import { recordsAt, Type } from '#shared/dns/message.ts';
import { parseServer } from '#shared/dns/server.ts';
import { tlsaName, tlsaText } from '#shared/dns/tlsa.ts';
import { startNatsCluster } from '#test/kit/bus/nats-server.ts';
import { sealpost } from '#test/kit/command.ts';
import { ValidatingResolver } from '#test/kit/dns/validating-resolver.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { type Issued, issue } from '#test/kit/tls/issue.ts';
import { waitFor } from '#test/kit/wait.ts';

/** TLSA records of a node that was away for so long that the others have forgotten it. */

const HOSTS = ['mx1.example.com', 'mx2.example.com'] as const;

async function startSite() {
  await using undo = new AsyncDisposableStack();
  const { servers } = undo.use(await startNatsCluster(3));
  const zone = 'mx1 A 127.0.0.1\nmx2 A 127.0.0.1';
  const zones = undo.use(await ZoneServers.start({ 'example.com': zone }, { signed: true }));
  const anchors = new Map([['example.com', await zones.dnskey('example.com')]]);
  const unbound = undo.use(await ValidatingResolver.before(zones.servers[0] ?? '', anchors));
  const nek = generateNek('edge');
  const nodes: SealpostNode[] = [];
  const issued: Issued[] = [];
  for (const [n, host] of HOSTS.entries()) {
    const port = await freePort();
    const file = `
node: { name: edge-${n + 1}, hostname: ${host}, data: ./data }
bus: { servers: ${JSON.stringify(servers.map((server) => server.url))} }
credentials: { nek: ./nek.key }
listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: starttls }]
tls: { certificate: cert.pem, key: key.pem }
routes: [{ to: "*", via: capture }]
${zones.yaml().replace(/"servers":\["[^"]*"\]/, `"servers":["${unbound.server}"]`)}`;
    const node = undo.use(await SealpostNode.create({ name: `edge-${n + 1}`, file, port }));
    const own = await issue(host, { names: [host] });
    await writeFile(join(node.folder, 'nek.key'), nek, { mode: 0o600 });
    await writeFile(join(node.folder, 'key.pem'), own.key, { mode: 0o600 });
    await writeFile(join(node.folder, 'cert.pem'), own.certificate);
    nodes.push(node);
    issued.push(own);
  }
  await Promise.all(nodes.map((node) => node.start()));
  const [one, two] = nodes as [SealpostNode, SealpostNode];
  const command = (...args: string[]) => sealpost([...args, '--config', one.configFile], { cwd: one.folder });
  const values = async (host: string): Promise<string[]> => {
    const server = parseServer(zones.servers.at(-1) ?? '');
    const response = await ask(server, { name: tlsaName(host), type: Type.TLSA }, { timeoutMs: 3000, recursion: true });
    return recordsAt(response, tlsaName(host), Type.TLSA).map(({ rdata }) => tlsaText(rdata));
  };
  const tlsa = (n: number): string => `3 1 1 ${keyDigest(issued[n]?.der ?? Buffer.alloc(0))}`;
  const stack = undo.move();
  return { one, two, command, values, tlsa, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('the TLSA record of a node that was forgotten stays until an administrator says that it is gone', {
  ...needs('named', 'nsupdate', 'unbound', 'nats-server'),
  timeout: 240_000,
}, async () => {
  await using site = await startSite();
  const { one, two, command, values, tlsa } = site;
  const publish = (...args: string[]) => command('tls', 'publish', ...args);
  await waitFor(async () => (await publish()).code === 0, { timeout: 60_000, what: 'the records of both' });
  assert.deepEqual(await values(HOSTS[0]), [tlsa(0)]);
  assert.deepEqual(await values(HOSTS[1]), [tlsa(1)]);

  // A process that starts has never heard of one that is stopped.
  await two.programs.get('all')?.stop();
  await one.programs.get('all')?.stop();
  await one.start();
  const kept = await waitFor(
    async () => {
      const { stdout } = await publish();
      return stdout.includes('_25._tcp.mx2.example.com') && !stdout.includes('problem:') ? stdout : undefined;
    },
    { timeout: 60_000, what: 'edge-1 alone' },
  );
  assert.match(
    kept,
    /^_25\._tcp\.mx2\.example\.com TLSA: stays for edge-2, which may come back with this certificate \(else "sealpost cluster forget edge-2"\)$/m,
  );
  assert.deepEqual(await values(HOSTS[1]), [tlsa(1)]);

  // It comes back with the certificate that it had, and goes again, for good.
  await two.start();
  await waitFor(async () => (await publish()).code === 0, { timeout: 60_000, what: 'both again' });
  await two.programs.get('all')?.stop();
  await waitFor(async () => (await command('cluster', 'forget', 'edge-2')).code === 0, {
    timeout: 30_000,
    what: 'forget',
  });
  const gone = await publish();
  assert.match(gone.stdout, /^_25\._tcp\.mx2\.example\.com TLSA: not needed any more, and no name server has it$/m);
  assert.deepEqual(await values(HOSTS[1]), []);
  assert.deepEqual(await values(HOSTS[0]), [tlsa(0)]);
  assert.match((await command('cluster', 'forget', 'edge-2')).stderr, /no node edge-2 is known/);
});
