import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { createSelfSigned } from '#cluster/certificate.ts';
import { ConsoleSite } from '#test/kit/console/site.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Where the console is, and what it shows of itself. */

async function shown(port: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

test('without a certificate it makes one, keeps it, and logs its fingerprint', async () => {
  await using site = await ConsoleSite.start();
  const log = site.node.programs.get('all');
  const [, logged] = (await log?.waitForOutput(/"fingerprint":"([0-9A-F:]{95})","selfSigned":true/)) ?? [];
  const first = await shown(site.port);
  assert.equal(first, logged);
  const made = new X509Certificate(await readFile(join(site.node.folder, 'data/console-certificate.pem')));
  assert.ok(made.checkHost('localhost') && made.checkHost('edge.test') && made.checkIP('127.0.0.1'));
  await log?.stop();
  await site.node.start();
  assert.equal(await shown(site.port), first);
});

test('files of its own: a new version counts as soon as it is there, a broken one does not', async () => {
  await using site = await ConsoleSite.start({
    console: '  certificate: ./page.pem\n  key: ./page-key.pem\n',
    prepare: async (folder) => await putPair(folder),
  });
  const first = await shown(site.port);
  await putPair(site.node.folder);
  await waitFor(async () => (await shown(site.port)) !== first, { what: 'the new certificate to be shown' });
  const second = await shown(site.port);
  await writeFile(join(site.node.folder, 'page.pem'), 'no certificate');
  await site.node.programs.get('all')?.waitForOutput(/the console does not follow its configuration/);
  assert.equal(await shown(site.port), second);
});

async function putPair(folder: string): Promise<void> {
  const { certificate, key } = await createSelfSigned({ dns: ['page.test'] }, 30);
  await writeFile(join(folder, 'page-key.pem'), key, { mode: 0o600 });
  await writeFile(join(folder, 'page.pem'), certificate);
}

test('moves to another port when the configuration says so, and sessions stay', async () => {
  await using site = await ConsoleSite.start();
  using browser = await site.person('alice');
  const port = await freePort();
  const text = await readFile(site.node.configFile, 'utf8');
  await writeFile(site.node.configFile, text.replace(`port: ${site.port}\n`, `port: ${port}\n`));
  const moved = Object.assign(browser.other(), { port, cookie: browser.cookie });
  const status = (): Promise<number> =>
    moved.get('/api/session').then(
      (answer) => answer.status,
      () => 0,
    );
  await waitFor(async () => (await status()) === 200, { what: 'the console to be at its new port' });
  await assert.rejects(browser.get('/api/session'));
  await writeFile(site.node.configFile, text.replace(/console:\n( .*\n)+/, ''));
  await waitFor(async () => (await status()) === 0, { what: 'the console to be closed' });
  assert.match(await site.node.report('status'), /console +silent/);
  moved[Symbol.dispose]();
});

test('moves to a port that is taken as soon as it is free', async () => {
  await using site = await ConsoleSite.start();
  const port = await freePort();
  const taken = createServer().listen(port, '127.0.0.1');
  await once(taken, 'listening');
  const text = await readFile(site.node.configFile, 'utf8');
  await writeFile(site.node.configFile, text.replace(`port: ${site.port}\n`, `port: ${port}\n`));
  await site.node.programs.get('all')?.waitForOutput(/the console does not follow its configuration/);
  taken.close();
  await waitFor(() => shown(port).catch(() => undefined), { what: 'the console to be at its new port' });
});

test('a port that is taken keeps the node from starting', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  assert.ok(typeof address === 'object' && address !== null);
  await using node = await SealpostNode.create({ config: `console: { port: ${address.port} }\n` });
  const program = node.launch();
  await program.waitForOutput(/the console cannot listen on 127\.0\.0\.1 port \d+: another program has it/);
  taken.close();
});

test('a node that starts without the section has no console, and says so when one is wanted', async () => {
  await using node = await SealpostNode.create();
  await node.start();
  assert.doesNotMatch(await node.report('status'), /console/);
  await assert.rejects(node.sealpost('console', 'link'), /nobody serves|no instance|unavailable|not running|console/i);
  await appendFile(node.configFile, `\nconsole: { port: ${await freePort()} }\n`);
  await node.programs.get('all')?.waitForOutput(/started without a section console: restart it/);
});
