import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { CertificateCluster } from '#test/kit/nodes/certificate-cluster.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { AcmeFront } from '#test/kit/tls/acme-front.ts';
import { issue } from '#test/kit/tls/issue.ts';
import { Pebble } from '#test/kit/tls/pebble.ts';
import { waitFor } from '#test/kit/wait.ts';

/** An order that fails with a page of words, and what administrators do to a certificate while it is ordered. */

const NAME = 'mx.example.com';
const PROOF = `_acme-challenge.${NAME}`;

test('an authority that talks too much, and a certificate that is deleted before its proof is gone', {
  ...needs('nats-server', 'openssl', 'named', 'pebble'),
  timeout: 300_000,
}, async (t) => {
  await using zones = await ZoneServers.start({ 'example.com': 'mx A 127.0.0.1' });
  // The primary goes away, and the authority asks the other one.
  const [, dns = ''] = zones.servers;
  await using pebble = await Pebble.start({ dns });
  await using front = await AcmeFront.start(pebble);
  front.before = ({ path }) =>
    path === '/order-plz'
      ? { code: 403, type: 'urn:ietf:params:acme:error:rejectedIdentifier', detail: `no ${'x'.repeat(700_000)}` }
      : undefined;
  const entry = { name: 'mx', names: [NAME], acme: { directory: front.directory, ca: front.ca } };
  const config = `${zones.yaml()}certificates: ${JSON.stringify([entry])}\n`;
  await using cluster = await CertificateCluster.start({ config });
  const first = cluster.node(1);

  await t.test('the beginning of what it says is kept, and the pauses are as after every failure', async () => {
    const problem = async () => (await cluster.find('mx'))?.renewal?.problem;
    await waitFor(async () => (await problem()) !== undefined, { timeout: 60_000, what: 'the reason' });
    const { text = '', next = 0, tries } = (await problem()) ?? {};
    assert.match(text, /^the authority takes no order: no x{900,980}…$/);
    assert.equal(tries, 1);
    assert.ok(next > Date.now());
    assert.equal(front.seen.filter(({ path }) => path === '/order-plz').length, 1);
  });

  await t.test('a certificate that is imported while one is ordered stays', async () => {
    const { certificate, key } = await issue(NAME, { names: [NAME] });
    const [file, keyFile] = ['own.pem', 'own-key.pem'].map((name) => join(cluster.files.path, name)) as [
      string,
      string,
    ];
    await writeFile(file, certificate);
    await writeFile(keyFile, key, { mode: 0o600 });
    let imports = 0;
    front.before = async ({ path }) => {
      if (!path.startsWith('/certZ/') || imports++ > 0) return undefined;
      await first.sealpost('certificates', 'import', 'mx', '--certificate', file, '--key', keyFile);
      return undefined;
    };
    await first.sealpost('certificates', 'order', 'mx', '--watch');
    const { current, renewal } = (await cluster.find('mx')) ?? assert.fail('none');
    assert.deepEqual([imports, current?.origin, renewal?.problem], [1, 'import', undefined]);
  });

  await t.test('what is left of one that is deleted is listed until it is gone', async () => {
    front.before = () => undefined;
    front.after = async ({ path }) => {
      if (path.startsWith('/chalZ/')) await zones.stop(0);
    };
    await first.sealpost('certificates', 'order', 'mx', '--watch');
    assert.equal((await zones.txt(1, PROOF)).length, 1);
    for (const node of cluster.nodes) {
      const text = await readFile(node.configFile, 'utf8');
      await writeFile(node.configFile, text.replace(/^certificates: .*$/m, '').replace(', credential: mx', ''));
      node.programs.get('all')?.signal('SIGHUP');
    }
    const remove = (...more: string[]) => first.sealpost('certificates', 'delete', 'mx', ...more);
    const said = await waitFor(() => remove().catch(() => undefined), { what: 'the nodes to read their files' });
    assert.match(
      said,
      /^deleted certificate mx\nthe TXT record at _acme-challenge\.mx\.example\.com may still be in DNS/,
    );
    const listed = await cluster.list(cluster.node(2));
    assert.deepEqual(
      listed.certificates.map(({ name, current, deleted }) => ({ name, current, deleted })),
      [{ name: 'mx', current: undefined, deleted: true }],
    );
    assert.match(await first.report('certificates', 'list'), /^mx .*deleted, when its TXT records are out of DNS$/m);
    await zones.restart(0);
    const isGone = async () => (await cluster.find('mx')) === undefined;
    await waitFor(isGone, { timeout: 120_000, what: 'the rest of the certificate to go' });
    await zones.settled(PROOF, []);
  });
});
