import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { client } from '#cluster/actor.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { pemOf } from '#cluster/certificates/pair.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { acmeAccountKey } from '#services/credential-store/records/certificate-record.ts';
import { keyDigest } from '#shared/certificate.ts';
import { parseNeks } from '#shared/dkim/nek.ts';
import { openSecret, type WrappedSecret } from '#shared/dkim/secret-wrap.ts';
import { silentLogger } from '#shared/log.ts';
import { unwrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import { WireTap } from '#test/kit/bus/wire-tap.ts';
import { findTraces, keyTraces, secretTraces } from '#test/kit/dkim/key-traces.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { CertificateCluster } from '#test/kit/nodes/certificate-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Pebble } from '#test/kit/tls/pebble.ts';
import { presentedAt } from '#test/kit/tls/presented.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue } from '#test/unit/listener/harness.ts';

/** Certificates that the cluster orders from Pebble, with the proof in a zone on BIND that it updates. */

const NAMES = ['mx.example.com', 'example.com', '*.example.com'];

test('ordered by one node it is in use on three; renewed under load; what fails is told and changes nothing', {
  ...needs('nats-server', 'openssl', 'named', 'pebble'),
  timeout: 400_000,
}, async (t) => {
  await using zones = await ZoneServers.start({ 'example.com': '' });
  const [dns = ''] = zones.servers;
  await using pebble = await Pebble.start({ dns, refusedNonces: 20 });
  const entry = { name: 'mx', names: NAMES, acme: { directory: pebble.directory, ca: pebble.ca } };
  const config = `${zones.yaml()}certificates: ${JSON.stringify([entry])}\n`;
  await using cluster = await CertificateCluster.start({ config });
  await using tap = await WireTap.start(cluster.nats[0] as never);
  const logs = (): string =>
    cluster.nodes.flatMap(({ programs }) => [...programs.values()].map((p) => p.output)).join('');
  /** Order it on a node and wait for what comes of it. */
  const order = (n: number) => cluster.node(n).sealpost('certificates', 'order', 'mx', '--watch');
  const failsWith = async (n: number, reason: RegExp): Promise<void> => {
    await assert.rejects(order(n), ({ stderr }) => {
      assert.match(String(stderr), reason);
      return true;
    });
  };

  await t.test('one node orders, every listener presents it, and the proof is gone from DNS', async () => {
    const { current } = await cluster.inUse('mx', (one) => one.current?.origin === 'acme', 120_000);
    assert.deepEqual(current?.names.toSorted(), NAMES.toSorted());
    for (const { port } of cluster.nodes) assert.equal((await presentedAt(port)).fingerprint256, current?.fingerprint);
    assert.equal(logs().match(/"certificate is ordered"/g)?.length, 1);
    await zones.settled('_acme-challenge.example.com', []);
    await zones.settled('_acme-challenge.mx.example.com', []);
  });

  await t.test('renewed under load it breaks no session', async () => {
    const before = await cluster.find('mx');
    const key = await keyAt(cluster.node(1).port);
    const sessions = await Promise.all(cluster.nodes.map(({ port }) => Session.start(port)));
    assert.match(await order(2), /^issued mx: for/);
    const { current } = await cluster.inUse('mx', (one) => one.current?.fingerprint !== before?.current?.fingerprint);
    for (const { port } of cluster.nodes) assert.equal((await presentedAt(port)).fingerprint256, current?.fingerprint);
    // What TLSA records say of the key stays true.
    for (const { port } of cluster.nodes) assert.equal(await keyAt(port), key);
    const taken = await Promise.all(sessions.map((session) => session.stop()));
    assert.ok(
      taken.every((ids) => ids.length > 3),
      `messages in each session: ${taken.map(({ length }) => length)}`,
    );
    const arrived = () => taken.flat().every((id) => cluster.sink.arrivals.has(id));
    await waitFor(arrived, { timeout: 60_000, what: 'every message of the sessions' });
  });

  const inUse = await cluster.find('mx');
  await t.test('an authority that does not see the proof is quoted, and the one before stays', async () => {
    await pebble.restart({ dns: '127.0.0.1:1', refusedNonces: 0 });
    await failsWith(1, /the authority is not content with the proof for (\*\.|mx\.)?example\.com: [^{]*$/m);
    await zones.settled('_acme-challenge.example.com', []);
  });

  await t.test('an authority that is away is told by list and doctor, and the one before stays', async () => {
    await pebble.stop();
    await failsWith(3, /the authority takes no account: .*ECONNREFUSED/);
    const { certificates, findings } = await cluster.list();
    assert.equal(certificates[0]?.renewal?.problem?.tries, 2);
    assert.ok((certificates[0]?.renewal?.problem?.next ?? 0) > Date.now());
    const told = findings.find(({ check }) => check === 'certificate-order-failed');
    assert.match(told?.text ?? '', /^could not be ordered, 2 times since .*: the authority takes no account/);
    assert.equal(told?.severity, 'warning');
    assert.match(await cluster.node(1).report('doctor'), /certificate mx:? could not be ordered, 2 times/);
  });

  await t.test('an authority that does not answer is given up, and the one before stays', async () => {
    await pebble.restart({ dns });
    await pebble.pause();
    await failsWith(1, /the authority .*: there was no complete answer within 30 s/);
    pebble.resume();
    const after = await cluster.find('mx');
    assert.deepEqual(after?.current, inUse?.current);
    assert.deepEqual(after?.usedAt, inUse?.usedAt);
    for (const { port } of cluster.nodes) {
      assert.equal((await presentedAt(port)).fingerprint256, inUse?.current?.fingerprint);
    }
  });

  await t.test('when it answers again the next order succeeds, and nothing is left to tell', async () => {
    await order(2);
    const { renewal } = await cluster.inUse('mx', (one) => one.current?.fingerprint !== inUse?.current?.fingerprint);
    assert.equal(renewal?.problem, undefined);
    assert.ok((renewal?.at ?? 0) > Date.now());
  });

  await t.test('neither the private key nor that of the account is anywhere in clear', async () => {
    const traces = await secretsOf(cluster, pebble.directory);
    await cluster.stop();
    const folders = [...cluster.nodes.map((node) => node.folder), ...cluster.nats.map((server) => server.folder)];
    const { entries, found } = await findTraces(folders, traces);
    assert.deepEqual(found, []);
    assert.ok(entries > 20, `${entries} entries were searched`);
    assert.ok(tap.bytes.includes('BEGIN CERTIFICATE'), 'certificates passed on the bus');
    for (const bytes of [tap.bytes, Buffer.from(logs())]) assert.ok(!traces.some((trace) => bytes.includes(trace)));
  });
});

const keyAt = async (port: number): Promise<string> => keyDigest((await presentedAt(port)).raw);

/** What gives the private keys of the cluster away, opened with its NEK. */
async function secretsOf(cluster: CertificateCluster, directory: string): Promise<Buffer[]> {
  const [nek] = parseNeks(await readFile(join(cluster.files.path, 'tls.nek'), 'utf8'));
  assert.ok(nek);
  const servers = cluster.nats.map(({ url }) => url);
  await using stack = new AsyncDisposableStack();
  const bus = stack.adopt(await NatsBus.connect({ servers, node: 'reader', log: silentLogger }), (one) => one.drain());
  const store = client(bus, credentialStoreContract);
  const { certificates } = await store['serving-certificate-list']({}, { node: 'edge-1' });
  const keys = certificates.map((certificate) => pemOf(unwrapCertificateKey([nek], certificate)));
  const { record = '{}' } = await store['record-copy']({ key: acmeAccountKey(directory) }, { node: 'edge-1' });
  const { value } = JSON.parse(record) as { value: { wrapped: WrappedSecret } };
  const bound = Buffer.from(JSON.stringify(['acme-account', 1, directory]));
  const account = openSecret(nek, { bound, text: 'the account' }, value.wrapped);
  assert.equal(keys.length, 1);
  return [...keys.flatMap(keyTraces), ...secretTraces(account)];
}

/** A session under TLS that sends one message after the other until it is stopped. */
class Session {
  readonly #dialogue: Dialogue;
  readonly #sent: string[] = [];
  #running = true;
  #ended: Promise<void> = Promise.resolve();

  private constructor(dialogue: Dialogue) {
    this.#dialogue = dialogue;
  }

  static async start(port: number): Promise<Session> {
    const dialogue = await Dialogue.greeted(port);
    assert.match(await dialogue.say('STARTTLS'), /^220/);
    await dialogue.upgrade({ rejectUnauthorized: false });
    assert.match(await dialogue.say('EHLO client.test'), /^250/);
    const session = new Session(dialogue);
    session.#ended = session.#send(port);
    return session;
  }

  /** The ids of the messages that it sent in this one session. Fails where a reply was another than expected. */
  async stop(): Promise<string[]> {
    this.#running = false;
    await this.#ended;
    assert.match(await this.#dialogue.say('QUIT'), /^221/);
    this.#dialogue.socket.destroy();
    return this.#sent;
  }

  async #send(port: number): Promise<void> {
    while (this.#running) {
      const id = `${port}-${this.#sent.length}`;
      for (const [line, code] of [
        ['MAIL FROM:<a@example.com>', /^250/],
        ['RCPT TO:<b@far.test>', /^250/],
        ['DATA', /^354/],
        [`X-Load-Id: ${id}\r\nSubject: x\r\n\r\nx\r\n.`, /^250/],
      ] as const) {
        assert.match(await this.#dialogue.say(line), code);
      }
      this.#sent.push(id);
    }
  }
}
