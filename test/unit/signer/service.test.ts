import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { announcer, client, listen, serve } from '#cluster/actor.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import { createSignerService } from '#services/signer/service.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { verifyProof } from '#shared/dkim/prove.ts';
import { dkimRecordValue } from '#shared/dkim/record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { PresentHolder } from '#shared/keys/holders.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { FakeCredentialStore } from './fake-store.ts';
import { bytesOf } from './messages.ts';
import { PAIRS, requestFor, verdicts } from './signing.ts';

const message = { name: '', header: 'From: a@eu.example.com\r\nSubject: x\r\n', body: 'x\r\n' };
const CHALLENGE = 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ';

/** A signer and what it sees of a credential-store, on one bus, as one process runs them. */
async function startBoth() {
  const data = await tempDir();
  const file = join(data.path, 'nek.key');
  const text = generateNek('edge');
  await writeFile(file, text, { mode: 0o600 });
  const settings = new Settings(ConfigSchema.parse({ node: { data: data.path }, credentials: { nek: file } }));
  const bus = new LocalBus('edge-1');
  const log = silentLogger;
  const nek = parseNek(text);
  const store = new FakeCredentialStore('edge-1', nek, announcer(bus, credentialStoreContract));
  const signer = createSignerService({
    settings,
    log,
    credentials: client(bus, credentialStoreContract),
    onStores: listen(bus, credentialStoreContract, log),
    announce: announcer(bus, signerContract),
  });
  const present: PresentHolder[] = [];
  listen(bus, signerContract, log)('present', (said) => present.push(said));
  serve(bus, store.service, log);
  serve(bus, signer, log);
  const stop = async () => {
    await signer.stop();
    await bus.drain();
    await data[Symbol.asyncDispose]();
  };
  return { settings, store, signer, nek, present, signing: client(bus, signerContract), [Symbol.asyncDispose]: stop };
}

test('from a new key to a signature that verifies, to no signature when it is deleted; the configuration decides live', async () => {
  await using both = await startBoth();
  const { store, signing, settings } = both;
  const sign = () => {
    const { header, ...rest } = requestFor(message);
    return signing['message-sign']({ queueId: 'Q', ...rest }, { bytes: header });
  };

  store.failure = 'unavailable';
  await both.signer.start();
  const { behind, ...unloaded } = await signing['status-show']({});
  assert.match(behind ?? '', /the store of edge-1 does not answer/);
  const empty = { node: 'edge-1', loaded: false, revision: 0, keys: 0, upToDate: false, unusable: [] };
  assert.deepEqual(unloaded, empty);
  assert.equal((await sign()).outcome, 'hold');

  store.failure = undefined;
  await waitFor(async () => (await signing['status-show']({})).loaded, { what: 'the keys' });
  assert.equal((await sign()).outcome, 'not-configured');

  const ed25519 = await store.create('example.com', 'e1', 'ed25519');
  const rsa = await store.create('example.com', 'r1', 'rsa-2048');
  await store.create('example.com', 'n1', 'ed25519', 'proven');
  await waitFor(async () => (await signing['status-show']({})).revision === 3, { what: 'the keys' });
  const state = { node: 'edge-1', store: 'edge-1', loaded: true, revision: 3, keys: 2, upToDate: true, unusable: [] };
  assert.deepEqual(await signing['status-show']({}), state);

  const signed = await sign();
  assert.equal(signed.outcome, 'signed');
  if (signed.outcome !== 'signed') return;
  assert.deepEqual(signed.keys, [
    { domain: 'example.com', selector: 'r1' },
    { domain: 'example.com', selector: 'e1' },
  ]);
  const published = [rsa, ed25519].map((k) => ({
    ...k,
    usable: true as const,
    privateKey: PAIRS.rsa.privateKey,
    record: dkimRecordValue(k),
  }));
  assert.deepEqual(await verdicts(bytesOf(message, signed.header), published), { r1: 'pass', e1: 'pass' });

  settings.replace(ConfigSchema.parse({ domains: [{ name: 'example.com', signing: { mode: 'off' } }] }));
  assert.equal((await sign()).outcome, 'not-configured');
  settings.replace(ConfigSchema.parse({ domains: [{ name: 'example.com', signing: { mode: 'enforce' } }] }));
  for (const selector of ['e1', 'r1']) store.remove(selector);
  await waitFor(async () => (await signing['status-show']({})).keys === 0, { what: 'no keys' });
  assert.equal((await sign()).outcome, 'hold');
});

const refused = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof SealpostError && error.code === code && text.test(error.message);

test('a held key is proven whatever its state, for the challenge that was asked; what cannot be is said', async () => {
  await using both = await startBoth();
  const { store, signing, nek } = both;
  const keys = [
    await store.create('example.com', 'e1', 'ed25519', 'created'),
    await store.create('example.com', 'r1', 'rsa-2048', 'active'),
    await store.create('example.com', 'e2', 'ed25519', 'retiring'),
  ];
  const locked = await store.create('example.com', 'locked', 'ed25519', 'created');
  locked.wrapped.nekFingerprint = '0123456789abcdef';
  const prove = (selector: string, challenge = CHALLENGE, domain = 'Example.COM.') =>
    signing['key-prove']({ domain, selector, challenge });

  await assert.rejects(prove('e1'), refused('not-held', /no key e1\._domainkey\.example\.com: .*not loaded/));
  await both.signer.start();
  for (const key of keys) {
    const answer = await prove(key.selector.toUpperCase());
    assert.equal(answer.node, 'edge-1');
    verifyProof(key, CHALLENGE, answer);
    assert.throws(() => verifyProof(key, `${CHALLENGE}x`, answer), refused('proof-failed', /edge-1/));
  }
  await assert.rejects(prove('absent'), refused('not-held', /absent\._domainkey.* revision 4/));
  await assert.rejects(prove('locked'), refused('unusable', new RegExp(`edge \\(0123456789abcdef\\).*${nek.name}`)));
  const { unusable, keys: usable } = await signing['status-show']({});
  assert.deepEqual([unusable.map((k) => k.selector), usable], [['locked'], 1]);
  for (const bad of ['short', `subject: ${CHALLENGE}`, `${CHALLENGE}\r\n`]) {
    await assert.rejects(prove('e1', bad), refused('malformed', /challenge/));
  }
});

test('a signer says each second and at every change what it has, and nothing after its stop', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  await using both = await startBoth();
  const { store, present, nek } = both;
  await both.signer.start();
  const first = await waitFor(() => present[0], { what: 'a first announcement' });
  const { instance, time, ...rest } = first;
  assert.deepEqual(rest, { node: 'edge-1', revision: 0, neks: [nek.fingerprint] });
  assert.ok(instance.length > 8 && Math.abs(Date.now() - time) < 5000);

  await store.create('example.com', 'e1', 'ed25519');
  await waitFor(() => present.some((p) => p.revision === 1), { what: 'the new revision' });

  store.failure = 'unavailable';
  store.changed();
  await waitFor(() => present.some((p) => p.behind?.includes('the store of edge-1 does not answer')), {
    what: 'why it is behind',
  });
  const { length } = present;
  t.mock.timers.tick(999);
  await Promise.resolve();
  assert.equal(present.length, length);
  t.mock.timers.tick(1001);
  await waitFor(() => present.length === length + 2, { what: 'two more' });
  assert.equal(new Set(present.map((p) => p.instance)).size, 1);

  await both.signer.stop();
  t.mock.timers.tick(5000);
  await Promise.resolve();
  assert.equal(present.length, length + 2);
});

test('a body hash that is none never reaches a header', async () => {
  await using both = await startBoth();
  for (const bodyHash of ['', 'AAAA', `${'A'.repeat(43)}=\r\nX: y`, `;${'A'.repeat(42)}=`]) {
    await assert.rejects(
      both.signing['message-sign']({ queueId: 'Q', bodyHash, reversePath: '' }, { bytes: Buffer.from(message.header) }),
      (error) => error instanceof SealpostError && error.code === 'malformed',
    );
  }
});
