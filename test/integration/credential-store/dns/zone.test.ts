import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { test } from 'node:test';
import { generateKey } from '#services/credential-store/making/generate-key.ts';
import { dkimRecordName, dkimRecordValue } from '#shared/dkim/record.ts';
import { txtStrings, zoneLine } from '#shared/dns/txt.ts';
import { KeyAlgorithm } from '#shared/keys/key.ts';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { needs } from '#test/kit/runner/peers.ts';

test('BIND loads the zone line of every kind of key and answers what was meant', needs('named'), async () => {
  const keys = await Promise.all(
    KeyAlgorithm.options.map(async (algorithm) => {
      const { publicKey, fingerprint } = await generateKey(algorithm);
      return { domain: 'example.com', selector: `${algorithm}.eu`, algorithm, publicKey, fingerprint };
    }),
  );
  const lines = keys.map((key) => zoneLine({ name: dkimRecordName(key), ttl: 3600, value: dkimRecordValue(key) }));
  await using server = await NameServer.start({ 'example.com': lines.join('\n') });
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  resolver.setServers([server.server]);
  for (const key of keys) {
    const answers = await resolver.resolveTxt(dkimRecordName(key));
    assert.deepEqual(answers, [txtStrings(dkimRecordValue(key))], key.algorithm);
    const p = /p=(.*)$/.exec(answers[0]?.join('') ?? '')?.[1] ?? '';
    const digest = createHash('sha256').update(Buffer.from(p, 'base64')).digest('hex');
    assert.equal(key.fingerprint.replaceAll(':', '').toLowerCase(), digest);
  }
});
