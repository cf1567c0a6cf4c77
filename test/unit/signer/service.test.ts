import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { announcer, client, listen, serve } from '#cluster/actor.ts';
import { ConfigSchema } from '#cluster/config/schema.ts';
import { LocalBus } from '#cluster/local-bus.ts';
import { Settings } from '#cluster/settings.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { generateNek } from '#services/credential-store/nek.ts';
import { createCredentialStoreService } from '#services/credential-store/service.ts';
import { signerContract } from '#services/signer/contract.ts';
import { createSignerService } from '#services/signer/service.ts';
import { dkimRecordValue } from '#shared/dkim-record.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { bytesOf } from '#test/unit/signer/messages.ts';
import { PAIRS, requestFor, verdicts } from '#test/unit/signer/signing.ts';

const message = { name: '', header: 'From: a@eu.example.com\r\nSubject: x\r\n', body: 'x\r\n' };

/** Both services on one bus, as one process runs them. */
async function startBoth(data: string) {
  const nek = join(data, 'nek.key');
  await writeFile(nek, generateNek('edge'), { mode: 0o600 });
  const settings = new Settings(ConfigSchema.parse({ node: { data }, credentials: { nek } }));
  const bus = new LocalBus('edge-1');
  const log = silentLogger;
  const store = createCredentialStoreService({ settings, log, announce: announcer(bus, credentialStoreContract) });
  const signer = createSignerService({
    settings,
    log,
    credentials: client(bus, credentialStoreContract),
    onChanged: listen(bus, credentialStoreContract, log),
  });
  serve(bus, store, log);
  serve(bus, signer, log);
  const stop = async () => {
    await signer.stop();
    await store.stop();
    await bus.drain();
  };
  return {
    settings,
    store,
    signer,
    credentials: client(bus, credentialStoreContract),
    signing: client(bus, signerContract),
    [Symbol.asyncDispose]: stop,
  };
}

test('from a new key to a signature that verifies, to no signature when it is deleted; the configuration decides live', async () => {
  await using data = await tempDir();
  await using both = await startBoth(data.path);
  const { credentials, signing, settings } = both;
  const sign = () => {
    const { header, ...rest } = requestFor(message);
    return signing.sign({ queueId: 'Q', ...rest }, { bytes: header });
  };

  await both.signer.start();
  assert.deepEqual(await signing.status({}), { loaded: false, revision: 0, keys: 0, upToDate: false, unusable: [] });
  assert.equal((await sign()).outcome, 'hold');

  await both.store.start();
  await waitFor(async () => (await signing.status({})).loaded, { what: 'the keys' });
  assert.equal((await sign()).outcome, 'not-configured');

  const ed25519 = await credentials.create({ domain: 'example.com', selector: 'e1', algorithm: 'ed25519' });
  const rsa = await credentials.create({ domain: 'example.com', selector: 'r1', algorithm: 'rsa-2048' });
  const state = { loaded: true, revision: 2, keys: 2, upToDate: true, unusable: [] };
  await waitFor(async () => (await signing.status({})).revision === 2, { what: 'both keys' });
  assert.deepEqual(await signing.status({}), state);

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
  for (const selector of ['e1', 'r1']) await credentials.delete({ domain: 'example.com', selector });
  await waitFor(async () => (await signing.status({})).keys === 0, { what: 'no keys' });
  assert.equal((await sign()).outcome, 'hold');
});

test('a body hash that is none never reaches a header', async () => {
  await using data = await tempDir();
  await using both = await startBoth(data.path);
  for (const bodyHash of ['', 'AAAA', `${'A'.repeat(43)}=\r\nX: y`, `;${'A'.repeat(42)}=`]) {
    await assert.rejects(
      both.signing.sign({ queueId: 'Q', bodyHash, reversePath: '' }, { bytes: Buffer.from(message.header) }),
      (error) => error instanceof SealpostError && error.code === 'malformed',
    );
  }
});
