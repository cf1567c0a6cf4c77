import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { WireTap } from '#test/kit/bus/wire-tap.ts';
import { findTraces, keyTraces } from '#test/kit/dkim/key-traces.ts';
import { freePort } from '#test/kit/free-port.ts';
import { CertificateCluster } from '#test/kit/nodes/certificate-cluster.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type Issued, issue, type Kind } from '#test/kit/tls/issue.ts';
import { presentedAt } from '#test/kit/tls/presented.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue } from '#test/unit/listener/harness.ts';

/** A certificate is taken in on one node and presented by the listeners of all. */

const DAY_MS = 86_400_000;
const peers = needs('nats-server', 'openssl');

let root: Issued;
before(async () => {
  root = await issue('Root', { ca: true });
});

/** A certificate and its key in files; the chain has the authority too. */
async function files(folder: string, name: string, kind: Kind = {}) {
  const issued = await issue('mx.example.com', { by: root, names: ['mx.example.com'], ...kind });
  const [certificate, key] = [join(folder, `${name}.pem`), join(folder, `${name}-key.pem`)];
  await writeFile(certificate, issued.certificate + root.certificate);
  await writeFile(key, issued.key, { mode: 0o600 });
  // Lines of PEM break the traces of a key that is looked for.
  await writeFile(join(folder, `${name}.control`), issued.key.replaceAll('\n', ''));
  return { issued, certificate, key };
}

/** Import it, and answer its fingerprint. */
async function importInto(
  node: SealpostNode,
  name: string,
  pair: { certificate: string; key: string },
): Promise<string> {
  const args = ['certificates', 'import', name, '--certificate', pair.certificate, '--key', pair.key, '--json'];
  const { certificate } = JSON.parse(await node.sealpost(...args)) as {
    certificate: { current: { fingerprint: string } };
  };
  return certificate.current.fingerprint;
}

/** A session under TLS that is open and silent. */
async function sessionAt(port: number): Promise<Dialogue> {
  const dialogue = await Dialogue.greeted(port);
  assert.match(await dialogue.say('STARTTLS'), /^220/);
  await dialogue.upgrade({ rejectUnauthorized: false });
  assert.match(await dialogue.say('EHLO client.test'), /^250/);
  return dialogue;
}

/** It takes a message. */
async function deliver(session: Dialogue, id: string): Promise<void> {
  assert.match(await session.say('MAIL FROM:<a@example.com>'), /^250/);
  assert.match(await session.say('RCPT TO:<b@far.test>'), /^250/);
  assert.match(await session.say('DATA'), /^354/);
  assert.match(await session.say(`X-Load-Id: ${id}\r\nSubject: x\r\n\r\nx\r\n.`), /^250/);
}

test('imported on one node it is in use on three; its successor breaks no session; bad ones change nothing', {
  ...peers,
  timeout: 240_000,
}, async (t) => {
  await using cluster = await CertificateCluster.start();
  await using tap = await WireTap.start(cluster.nats[0] as never);
  const folder = cluster.files.path;
  const first = await files(folder, 'first');
  const second = await files(folder, 'second');
  const mail = await files(folder, 'mail', { names: ['mail.example.com'] });
  const sessions: Dialogue[] = [];
  after(() => sessions.forEach((session) => void session.socket.destroy()));

  await t.test('in use everywhere', async () => {
    // Right after their start the nodes may have no majority of JetStream yet.
    const taken = () => importInto(cluster.node(1), 'mx', first).catch(() => undefined);
    const fingerprint = await waitFor(taken, { what: 'the first import', timeout: 30_000 });
    await cluster.inUse('mx', ({ current }) => current?.fingerprint === fingerprint);
    for (const { port } of cluster.nodes) {
      assert.equal((await presentedAt(port)).fingerprint256, fingerprint);
      sessions.push(await sessionAt(port));
    }
  });

  await t.test('the next one is for new sessions, and those that are open go on', async () => {
    const fingerprint = await importInto(cluster.node(2), 'mx', second);
    await cluster.inUse('mx', ({ current }) => current?.fingerprint === fingerprint);
    for (const { port } of cluster.nodes) assert.equal((await presentedAt(port)).fingerprint256, fingerprint);
    for (const [i, session] of sessions.entries()) await deliver(session, `open-${i}`);
    const all = () => sessions.every((_, i) => cluster.sink.arrivals.has(`open-${i}`));
    await waitFor(all, { what: 'mail of the sessions that were open', timeout: 30_000 });
  });

  await t.test('by the name that a client asks for', async () => {
    const fingerprint = await importInto(cluster.node(3), 'mail', mail);
    await cluster.inUse('mail', ({ current }) => current?.fingerprint === fingerprint);
    const [{ port }] = cluster.nodes as [SealpostNode];
    assert.equal((await presentedAt(port, 'mail.example.com')).fingerprint256, fingerprint);
    assert.notEqual((await presentedAt(port, 'mx.example.com')).fingerprint256, fingerprint);
    assert.notEqual((await presentedAt(port)).fingerprint256, fingerprint);
  });

  await t.test('what is wrong is refused with the reason, and nothing changes', async () => {
    const before = await cluster.find('mx');
    const expired = await files(folder, 'expired', { from: Date.now() - 9 * DAY_MS, until: Date.now() - DAY_MS });
    const cases: [{ certificate: string; key: string }, RegExp][] = [
      [{ certificate: second.certificate, key: first.key }, /is not the key of the certificate in .*second\.pem/],
      [expired, /expired\.pem the certificate expired on .* ago: get a new one from Root/],
      [{ certificate: first.key, key: first.key }, /holds no PEM certificate, but a private key/],
      [{ certificate: join(folder, 'none.pem'), key: first.key }, /none\.pem does not exist/],
    ];
    for (const [pair, message] of cases) {
      await assert.rejects(importInto(cluster.node(1), 'mx', pair), ({ stderr }) => {
        assert.match(String(stderr), message);
        return true;
      });
    }
    assert.deepEqual((await cluster.find('mx'))?.current, before?.current);
  });

  await t.test('its key goes to another NEK by a command, and then nobody needs the old one', async () => {
    const [file, next] = [join(folder, 'tls.nek'), generateNek('tls2')];
    const old = await readFile(file, 'utf8');
    const rotate = (name: string) => cluster.node(1).sealpost('keymgmt', 'rotate', 'nek', name);
    const refused = (reason: RegExp) =>
      assert.rejects(rotate('tls2'), ({ stderr }) => {
        assert.match(String(stderr), reason);
        return true;
      });
    await refused(/no NEK tls2 in its configuration/);
    await writeFile(file, `${old.trim()}\n${next}`);
    await refused(
      /tls\.nek of node edge-\d begins with NEK tls .*: put the new one in front there, and keep the old one/,
    );
    assert.match((await cluster.find('mx'))?.current?.nek ?? '', /^tls /);

    await writeFile(file, `${next.trim()}\n${old}`);
    // A listener reads its NEKs when it asks for certificates.
    const said = await waitFor(() => rotate('tls2').catch(() => undefined), { what: 'the NEK', timeout: 60_000 });
    assert.match(said, /keys of 2 certificates and 0 ACME accounts were wrapped again; NEK tls2 wraps all of them/);
    for (const name of ['mx', 'mail']) assert.match((await cluster.find(name))?.current?.nek ?? '', /^tls2 /);
    assert.match(await rotate('tls2'), /keys of 0 certificates/);
    await writeFile(file, next);
    const third = cluster.node(3);
    const before = (await presentedAt(third.port)).fingerprint256;
    await third.programs.get('all')?.stop();
    await third.start();
    await waitFor(async () => (await presentedAt(third.port)).fingerprint256 === before, {
      what: 'the certificate after a start with the new NEK alone',
      timeout: 30_000,
    });
    sessions[2]?.socket.destroy();
    sessions[2] = await sessionAt(third.port);
  });

  await t.test('a certificate that ends soon is a warning of doctor and cluster status', async () => {
    // A node that has just started has yet to be heard of by all.
    const agree = () =>
      cluster
        .node(1)
        .sealpost('cluster', 'status')
        .then(
          (text) => /all agree/.test(text),
          () => false,
        );
    await waitFor(agree, { what: 'the nodes to agree', timeout: 30_000 });
    const dates = { from: Date.now() - 85 * DAY_MS, until: Date.now() + 5 * DAY_MS };
    const soon = await files(folder, 'soon', { names: ['soon.example.com'], ...dates });
    await importInto(cluster.node(1), 'soon', soon);
    await cluster.inUse('soon', () => true);
    const warning = /certificate soon:? expires on \d{4}-\d\d-\d\d, in 4d/;
    assert.match(await failing(cluster.node(2), 'cluster', 'status'), warning);
    assert.match(await failing(cluster.node(2), 'doctor'), warning);
    assert.match(await failing(cluster.node(2), 'certificates', 'list'), warning);
  });

  await t.test('a private key is nowhere in clear: not on the bus, not on disk, not in a log', async () => {
    await cluster.stop();
    const traces = [first, second, mail].flatMap(({ issued }) => keyTraces(issued.key));
    const known = await findTraces([folder], traces);
    assert.ok(known.found.length >= 3, 'the search finds keys that are there');
    const folders = [...cluster.nodes.map((node) => node.folder), ...cluster.nats.map((server) => server.folder)];
    const { files: searched, entries, found } = await findTraces(folders, traces);
    assert.deepEqual(found, []);
    assert.ok(searched > 20 && entries > 20, `${searched} files and ${entries} entries were searched`);
    const bus = tap.bytes;
    assert.ok(bus.includes('serving-certificate-list') || bus.includes('BEGIN CERTIFICATE'), 'certificates passed');
    const outputs = cluster.nodes.flatMap(({ programs }) => [...programs.values()].map(({ output }) => output));
    for (const bytes of [bus, Buffer.from(outputs.join(''))]) assert.ok(!traces.some((trace) => bytes.includes(trace)));
  });
});

/** The output of a command that fails. */
async function failing(node: SealpostNode, ...args: string[]): Promise<string> {
  return node.sealpost(...args).then(
    () => assert.fail('it did not fail'),
    ({ stdout }: { stdout: string }) => stdout,
  );
}

test('a listener starts with its last certificate while no credential-store is there', {
  ...peers,
  timeout: 180_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using folder = await tempDir('listener-alone');
  const nek = join(folder.path, 'tls.nek');
  await writeFile(nek, generateNek('tls'), { mode: 0o600 });
  const port = await freePort();
  await using node = await SealpostNode.create({
    bus: guarded,
    port,
    config: [
      `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: starttls }]`,
      `tls: { nek: ${nek} }`,
    ].join('\n'),
  });
  const services = ['credential-store', 'signer', 'policy', 'router'];
  await Promise.all(services.map((service) => node.start(service)));
  const listener = await node.start('listener');
  const dialogue = await Dialogue.connect(port);
  await dialogue.reply();
  assert.doesNotMatch(await dialogue.say('EHLO client.test'), /STARTTLS/, 'there is no certificate yet');
  dialogue.socket.destroy();

  const fingerprint = await importInto(node, 'mx', await files(folder.path, 'mx'));
  const presented = () =>
    presentedAt(port).then(
      (one) => one.fingerprint256 === fingerprint,
      () => false,
    );
  await waitFor(presented, { what: 'the certificate to be presented', timeout: 30_000 });
  await node.programs.get('credential-store')?.stop();
  await listener.stop();
  const again = await node.start('listener');
  assert.equal((await presentedAt(port)).fingerprint256, fingerprint);
  assert.match(again.output, /certificates could not be fetched: 1 of before stay in use/);
  assert.doesNotMatch(guarded.server.output, /Violation/);
  assert.doesNotMatch(again.output, /NATS permits/);

  // Without its copy it starts too, and waits for a store.
  await again.stop();
  await rm(join(node.folder, 'data', 'listener-certificates.json'));
  await node.start('listener');
  assert.equal(await presented(), false);
  await node.start('credential-store');
  await waitFor(presented, { what: 'the certificate to be presented again', timeout: 30_000 });
});
