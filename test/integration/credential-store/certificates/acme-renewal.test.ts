import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { CertificateCluster } from '#test/kit/nodes/certificate-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { AcmeFront } from '#test/kit/tls/acme-front.ts';
import { Pebble } from '#test/kit/tls/pebble.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Renewal information (RFC 9773), which the front in front of Pebble adds: the Pebble of Debian (2.4.0) has none. The
 * orders are Pebble's own; it ignores `replaces`, which the front looks for.
 */

const DAY_MS = 86_400_000;

/** Of the first certificate in a file, as OpenSSL prints them: the key of its issuer and its serial number, in hex. */
async function partsOf(file: string): Promise<[issuer: string, serial: string]> {
  const args = ['x509', '-in', file, '-noout', '-serial', '-ext', 'authorityKeyIdentifier'];
  const { stdout } = await promisify(execFile)('openssl', args);
  const [, serial = ''] = /serial=([0-9A-F]+)/.exec(stdout) ?? [];
  const [, issuer = ''] = /X509v3 Authority Key Identifier:[^\n]*\n\s*(?:keyid:)?([0-9A-F:]+)/.exec(stdout) ?? [];
  return [issuer.replaceAll(':', '').toLowerCase(), serial.toLowerCase()];
}

test('the authority says when a certificate is renewed, and which one the next replaces', {
  ...needs('nats-server', 'openssl', 'named', 'pebble'),
  timeout: 300_000,
}, async (t) => {
  await using zones = await ZoneServers.start({ 'example.com': 'mx A 127.0.0.1' });
  const [dns = ''] = zones.servers;
  await using pebble = await Pebble.start({ dns });
  await using front = await AcmeFront.start(pebble);
  const [start, end] = [Date.now() + 5 * DAY_MS, Date.now() + 6 * DAY_MS].map((ms) => Math.floor(ms / 1000) * 1000) as [
    number,
    number,
  ];
  const later = { start, end, retryAfter: '21600', explanationURL: 'https://ca.example/why' };
  const asked: string[] = [];
  front.renewal = (certificate) => {
    asked.push(certificate);
    return later;
  };
  const entry = { name: 'mx', names: ['mx.example.com'], acme: { directory: front.directory, ca: front.ca } };
  await using cluster = await CertificateCluster.start({
    config: `${zones.yaml()}certificates: ${JSON.stringify([entry])}\n`,
  });
  const show = async () => cluster.node(1).client('credential-store')['certificate-show']({ name: 'mx' });
  const idOf = async (chain: string): Promise<string> => {
    const file = join(cluster.files.path, 'chain.pem');
    await writeFile(file, chain);
    const [issuer, serial] = await partsOf(file);
    const whole = /^[89a-f]/.test(serial) ? `00${serial}` : serial;
    return [issuer, whole].map((hex) => Buffer.from(hex, 'hex').toString('base64url')).join('.');
  };
  let first: Awaited<ReturnType<typeof show>> | undefined;

  await t.test('a point in the window that it suggests, and why', async () => {
    await cluster.inUse('mx', (one) => one.renewal?.window !== undefined, 120_000);
    first = await show();
    const { window, at = 0, why, challenge } = first.renewal ?? {};
    assert.deepEqual(window, { start, end, explanation: later.explanationURL });
    assert.ok(at >= start && at <= end, `${start} <= ${at} <= ${end}`);
    assert.deepEqual([why, challenge], ['authority', 'dns-01']);
    assert.equal(asked[0], await idOf(first.chain ?? ''));
    assert.equal(asked.length, 1, 'one node asks, and waits as it is told');
    assert.match(
      await cluster.node(2).report('certificates', 'list'),
      /dns-01 .*renewed in .*, as the authority suggests/,
    );
    const shown = await cluster.node(2).sealpost('certificates', 'show', 'mx');
    assert.match(shown, /^proof {8}dns-01$/m);
    assert.match(shown, /^suggested {4}20.* until 20.*: https:\/\/ca\.example\/why$/m);
  });

  await t.test('the next order says what it replaces', async () => {
    const replaced = await idOf(first?.chain ?? '');
    await cluster.node(1).sealpost('certificates', 'order', 'mx', '--watch');
    const orders = front.accepted('/order-plz').map(({ payload }) => payload?.['replaces']);
    assert.deepEqual(orders, [undefined, replaced]);
    await cluster.inUse('mx', (one) => one.renewal?.window !== undefined);
    first = await show();
  });

  await t.test('a certificate that the authority wants back is renewed by itself', async () => {
    const { current } = first ?? assert.fail('none');
    const orders = () => front.accepted('/order-plz').length;
    const before = orders();
    // The next certificate is wanted back as soon as it was issued, as after a mistake of the authority.
    let withdrawn: string | undefined;
    front.renewal = (certificate) => {
      withdrawn ??= certificate;
      return certificate === withdrawn ? { ...later, start: start - 30 * DAY_MS, end: end - 30 * DAY_MS } : later;
    };
    await cluster.node(1).sealpost('certificates', 'order', 'mx', '--watch');
    await waitFor(() => orders() === before + 2, { timeout: 60_000, what: 'the second order' });
    await cluster.inUse('mx', (one) => one.renewal?.why === 'authority' && (one.renewal.at ?? 0) >= start, 60_000);
    assert.notEqual((await show()).current?.fingerprint, current?.fingerprint);
    assert.equal(front.accepted('/order-plz').at(-1)?.payload?.['replaces'], withdrawn);
    const logs = cluster.nodes.flatMap(({ programs }) => [...programs.values()].map(({ output }) => output)).join('');
    assert.match(logs, /"the authority suggests to renew it"/);
  });

  await t.test('an authority that refuses what is replaced gets an order without it', async () => {
    front.before = ({ path, payload }) => {
      if (path !== '/order-plz' || payload?.['replaces'] === undefined) return undefined;
      return { code: 409, type: 'urn:ietf:params:acme:error:alreadyReplaced' };
    };
    await cluster.node(1).sealpost('certificates', 'order', 'mx', '--watch');
    assert.equal(front.accepted('/order-plz').at(-1)?.payload?.['replaces'], undefined);
  });

  await t.test('without renewal information two thirds of its life count', async () => {
    front.before = () => undefined;
    front.renewal = undefined;
    await cluster.node(1).sealpost('certificates', 'order', 'mx', '--watch');
    const { renewal, current } = await show();
    const { from, until } = current ?? assert.fail('none');
    assert.deepEqual([renewal?.why, renewal?.window], ['life', undefined]);
    assert.equal(renewal?.at, from + ((until - from) * 2) / 3);
    assert.match(await cluster.node(3).report('certificates', 'list'), /renewed in .*, after two thirds of its life/);
  });
});
