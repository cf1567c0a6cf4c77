import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { unwrapOrderKey, wrapOrderKey } from '#services/credential-store/certificates/acme/order-key.ts';
import type { CertificateDeps } from '#services/credential-store/certificates/deps.ts';
import { certificateRewrap } from '#services/credential-store/certificates/rewrap.ts';
import type { CertificateRecord } from '#services/credential-store/records/certificate-record.ts';
import { generateNek, type Nek, parseNeks } from '#shared/dkim/nek.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Another NEK for what is wrapped by one of `tls.nek`. */

const URL = 'https://ca.example/order/1';
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const [former, current, foreign] = ['former', 'current', 'foreign'].map((name) => generateNek(name)) as [
  string,
  string,
  string,
];

const nekIn = (text: string): Nek => parseNeks(text)[0] ?? assert.fail('no NEK');

/** The record of a certificate with an order under way, whose key this NEK wraps; rewrapped. */
async function rewrapped(nek: string) {
  await using folder = await tempDir('rewrap');
  const file = join(folder.path, 'tls.nek');
  await writeFile(file, `${current.trim()}\n${former}`, { mode: 0o600 });
  const order = {
    ...{ url: URL, directory: 'https://ca.example/dir', names: ['mx.example.com'], since: 1 },
    wrapped: wrapOrderKey(nekIn(nek), 'mx', URL, privateKey),
  };
  let record: CertificateRecord = { name: 'mx', acme: { term: 7, order } };
  const deps = {
    settings: new Settings(ConfigSchema.parse({ node: { name: 'edge-1' }, tls: { nek: file } })),
    log: silentLogger,
    certificates: {
      all: () => [record],
      accounts: () => [],
      update: async (_: string, change: (one: CertificateRecord) => CertificateRecord) => (record = change(record)),
    },
  } as unknown as CertificateDeps;
  const answer = await certificateRewrap(deps, { nek: nekIn(current).fingerprint, write: true });
  return { record, answer };
}

test('the key of an order under way is wrapped with the new NEK, too', async () => {
  const { record, answer } = await rewrapped(former);
  assert.equal(answer.certificates, 1);
  const { order, term } = record.acme ?? assert.fail('the order is gone');
  assert.ok(order);
  assert.deepEqual([term, order.url, order.since, order.wrapped.nek], [7, URL, 1, 'current']);
  assert.ok(unwrapOrderKey(parseNeks(current), 'mx', order).equals(privateKey));
});

test('an order whose key nobody can open does not keep the others from the new NEK', async () => {
  const { record } = await rewrapped(foreign);
  assert.deepEqual(JSON.parse(JSON.stringify(record)), { name: 'mx', acme: { term: 7 } });
});
