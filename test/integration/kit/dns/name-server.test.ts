import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import { test } from 'node:test';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { needs } from '#test/kit/runner/peers.ts';

test('the name server answers its zones, takes new ones, falls silent and comes back', needs('named'), async () => {
  await using names = await NameServer.start({ 'example.test': 'mail A 127.0.0.2\n@ MX 10 mail' });
  const resolver = new Resolver({ timeout: 300, tries: 1 });
  resolver.setServers([names.server]);

  assert.deepEqual(await resolver.resolveMx('example.test'), [
    { type: 'MX', priority: 10, exchange: 'mail.example.test' },
  ]);
  await assert.rejects(resolver.resolve4('absent.example.test'), { code: 'ENOTFOUND' });
  await assert.rejects(resolver.resolve4('example.com'), { code: 'EREFUSED' });

  await names.setZone('example.test', '@ TXT "v=spf1 -all"');
  await assert.rejects(resolver.resolveMx('example.test'), { code: 'ENODATA' });
  await names.setZone('2.0.0.127.in-addr.arpa', '@ PTR mail.example.test.');
  assert.deepEqual(await resolver.reverse('127.0.0.2'), ['mail.example.test']);

  await names.pause();
  await assert.rejects(resolver.resolveTxt('example.test'), { code: 'ETIMEOUT' });
  names.resume();
  await names.stop();
  await assert.rejects(resolver.resolveTxt('example.test'), { code: 'ECONNREFUSED' });
  await names.restart();
  assert.deepEqual(await resolver.resolveTxt('example.test'), [['v=spf1 -all']]);
});
