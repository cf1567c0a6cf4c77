import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { SharedCertificates } from '#services/listener/certificates/shared-certificates.ts';
import { TlsMaterial } from '#services/listener/tls-material.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import { proveCertificates, type StoredCertificate, wrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { type TempDir, tempDir } from '#test/kit/temp.ts';
import { issue, type Kind } from '#test/kit/tls/issue.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What a listener makes of the answers of a credential-store, good and bad. */

const NEK = generateNek('tls');
const nek = parseNek(NEK);
const DAY_MS = 86_400_000;

/** A credential-store: what it has, and whether it answers. */
class FakeStore {
  certificates: StoredCertificate[] = [];
  revision = 1;
  away = false;
  proves = true;
  #hear: ((said: { node: string; revision: number }) => void) | undefined;

  readonly client = {
    'serving-certificate-list': async ({ nonce, since, after }: { nonce?: string; since?: string; after?: string }) => {
      if (this.away) throw new SealpostError('unavailable', 'no credential-store answers');
      const list = { node: 'edge-1', revision: this.revision, certificates: this.certificates };
      const macs =
        this.proves && nonce !== undefined ? proveCertificates([nek], { nonce, since, after }, list) : undefined;
      return { ...list, ...(macs && { macs }) };
    },
  };

  readonly onStores = ((event: string, listener: (said: never) => void) => {
    if (event === 'changed') this.#hear = listener as never;
    else listener({ node: 'edge-1', revision: 1, seals: true } as never);
    return () => undefined;
  }) as never;

  /** It has these now. */
  put(...certificates: StoredCertificate[]): void {
    this.certificates = certificates;
    this.revision++;
    this.#hear?.({ node: 'edge-1', revision: this.revision });
  }
}

async function certificate(name: string, kind: Kind = {}, wrapper = nek): Promise<StoredCertificate> {
  const { certificate: chain, key } = await issue('mx.example.com', { names: ['mx.example.com'], ...kind });
  return { name, chain, wrapped: wrapCertificateKey(wrapper, { name, chain }, createPrivateKey(key)) };
}

const fingerprint = ({ chain }: StoredCertificate): string => new X509Certificate(chain).fingerprint256;

let folder: TempDir;
let store: FakeStore;
let running: SharedCertificates | undefined;

beforeEach(async () => {
  folder = await tempDir('shared-certificates');
  await writeFile(join(folder.path, 'tls.nek'), NEK, { mode: 0o600 });
  store = new FakeStore();
});

afterEach(async () => {
  await running?.close();
  running = undefined;
  await folder[Symbol.asyncDispose]();
});

async function start(tls: object = { nek: join(folder.path, 'tls.nek') }) {
  const node = { hostname: 'mx.example.com', data: folder.path };
  const settings = new Settings(ConfigSchema.parse({ node, listeners: [], tls }));
  const { log, lines } = logLines();
  const material = new TlsMaterial(log);
  running = new SharedCertificates({ settings, log, credentials: store.client, onStores: store.onStores }, material);
  await running.start();
  const certificates = running;
  const served = (name: string) => certificates.status()?.certificates.find((one) => one.name === name);
  /** Wait until a certificate is in use, or until why not is told. */
  const uses = (one: StoredCertificate) =>
    waitFor(() => served(one.name)?.fingerprint === fingerprint(one) && served(one.name)?.problem === undefined, {
      what: `certificate ${one.name} to be in use`,
    });
  const refuses = (name: string, problem: RegExp) =>
    waitFor(() => problem.test(served(name)?.problem ?? ''), { what: `certificate ${name} to be refused: ${problem}` });
  return { material, served, uses, refuses, lines, certificates };
}

test('a certificate of the store is used, and the one that replaces it', async () => {
  const [first, second] = [await certificate('mx'), await certificate('mx')];
  store.put(first);
  const { material, uses } = await start();
  await uses(first);
  const before = material.contextFor('mx.example.com');
  assert.ok(before);
  assert.equal(material.contexts.get('*'), before);
  store.put(second);
  await uses(second);
  assert.notEqual(material.contextFor('mx.example.com'), before);
});

const OTHER = generateNek('other');
const other = parseNek(OTHER);
const BAD: [string, (good: StoredCertificate) => Promise<StoredCertificate>, RegExp][] = [
  [
    'under a NEK that is not here',
    () => certificate('mx', {}, other),
    /wrapped with NEK other .* add a line with other/,
  ],
  ['that has expired', () => certificate('mx', { until: Date.now() - DAY_MS / 2 }), /expired on/],
  ['that is not valid yet', () => certificate('mx', { from: Date.now() + DAY_MS }), /not valid before/],
  [
    'with a key that was wrapped for another chain',
    async (good) => ({ ...(await certificate('mx')), wrapped: good.wrapped }),
    /it has changed since it was wrapped/,
  ],
  [
    'with the key of another one',
    async () => {
      const [{ certificate: chain }, { key }] = [await issue('a'), await issue('b')];
      return { name: 'mx', chain, wrapped: wrapCertificateKey(nek, { name: 'mx', chain }, createPrivateKey(key)) };
    },
    /the private key is not that of the first certificate/,
  ],
];

for (const [what, make, problem] of BAD) {
  test(`one ${what} does not take the place of a good one, and the next good one does`, async () => {
    const good = await certificate('mx');
    store.put(good);
    const { material, served, uses, refuses, lines } = await start();
    await uses(good);
    const before = material.contextFor('mx.example.com');
    store.put(await make(good));
    await refuses('mx', problem);
    assert.equal(served('mx')?.fingerprint, fingerprint(good));
    assert.equal(material.contextFor('mx.example.com'), before);
    const told = lines().filter(({ level, certificate: name }) => level === 'error' && name === 'mx');
    assert.match(String(told[0]?.msg), /cannot be used: the previous one stays in use/);
    const next = await certificate('mx');
    store.put(next);
    await uses(next);
  });
}

test('an expired one is better than clear text where there is nothing else', async () => {
  const old = await certificate('mx', { until: Date.now() - DAY_MS / 2 });
  store.put(old);
  const { material, served } = await start();
  assert.equal(served('mx')?.fingerprint, fingerprint(old));
  assert.match(served('mx')?.problem ?? '', /expired on/);
  assert.ok(material.contexts.has('*'));
});

test('one that the store no longer has is dropped, but the default stays until another takes its place', async () => {
  const [mx, mail] = [await certificate('mx'), await certificate('mail', { names: ['mail.example.com'] })];
  store.put(mx, mail);
  const { material, served, uses, refuses } = await start({ nek: join(folder.path, 'tls.nek'), credential: 'mx' });
  await uses(mail);
  store.put(mx);
  await waitFor(() => served('mail') === undefined, { what: 'the certificate to be dropped' });
  assert.equal(material.contextFor('mail.example.com'), material.contexts.get('*'));
  store.put();
  await refuses('mx', /the credential-store no longer has it/);
  assert.equal(served('mx')?.fingerprint, fingerprint(mx));
  assert.ok(material.contexts.has('*'));
});

test('a listener starts with what it used last while no store answers, and takes what comes', async () => {
  const first = await certificate('mx');
  store.put(first);
  await (await start()).uses(first);
  await running?.close();
  const kept = await readFile(join(folder.path, 'listener-certificates.json'), 'utf8');
  assert.deepEqual(JSON.parse(kept), { version: 1, certificates: [first] });
  store.away = true;
  const { material, served, uses, certificates } = await start();
  assert.equal(served('mx')?.fingerprint, fingerprint(first));
  assert.ok(material.contexts.has('*'));
  assert.match(certificates.status()?.behind ?? '', /no credential-store/);
  const second = await certificate('mx');
  store.away = false;
  store.put(second);
  await uses(second);
});

test('without a store and without a copy it starts all the same, with the files of the configuration', async () => {
  store.away = true;
  const { material, certificates } = await start();
  assert.deepEqual(certificates.status()?.certificates, []);
  assert.equal(material.contexts.size, 0);
});

test('a copy that is damaged is as good as none', async () => {
  await writeFile(join(folder.path, 'listener-certificates.json'), '{"version":1,"certificates":[{"name":"mx"}]}');
  store.away = true;
  const { certificates, lines } = await start();
  assert.deepEqual(certificates.status()?.certificates, []);
  assert.ok(lines().some(({ msg }) => msg.startsWith('the certificates of the last run cannot be read')));
});

test('a copy that cannot be written stops nothing', async () => {
  await mkdir(join(folder.path, 'listener-certificates.json'));
  const one = await certificate('mx');
  store.put(one);
  const { uses, lines } = await start();
  await uses(one);
  const told = () => lines().some(({ msg }) => msg.startsWith('the certificates could not be kept on disk'));
  await waitFor(told, { what: 'the trouble to be told' });
});

test('an answer without a proof is not used', async () => {
  store.proves = false;
  store.put(await certificate('mx'));
  const { certificates } = await start();
  assert.deepEqual(certificates.status()?.certificates, []);
  assert.match(certificates.status()?.behind ?? '', /did not prove that it has the NEK/);
});

test('a NEK that is added opens what waits for it', async () => {
  const one = await certificate('mx', {}, other);
  store.put(one);
  const { refuses, uses } = await start();
  await refuses('mx', /add a line with other/);
  await writeFile(join(folder.path, 'tls.nek'), `${NEK}${OTHER}`);
  store.put(one);
  await uses(one);
});

test('a configuration without tls.nek asks nobody and shares nothing', async () => {
  store.put(await certificate('mx'));
  const { material, certificates } = await start({ certificate: 'unread.pem', key: 'unread.key' });
  assert.equal(certificates.status(), undefined);
  assert.equal(material.contexts.size, 0);
});
