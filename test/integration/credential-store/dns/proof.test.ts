import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { checkRecord } from '#services/credential-store/dns/proof.ts';
import { publishTxt, removeTxt } from '#services/credential-store/dns/publish.ts';
import { generateKey } from '#services/credential-store/making/generate-key.ts';
import { dkimRecordValue } from '#shared/dkim/record.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { needs } from '#test/kit/runner/peers.ts';

describe('the proof with BIND', needs('named', 'nsupdate'), () => {
  let zones: ZoneServers;
  before(async () => {
    zones = await ZoneServers.start({
      'example.com': 's1._domainkey CNAME s1.example.com.keys.example.\nlost TXT "x"',
      'keys.example': '',
    });
  });
  after(() => zones[Symbol.asyncDispose]());

  test('fails while a secondary lags or is down, and passes as soon as it has the key', async () => {
    const name = 's2._domainkey.example.com';
    const { publicKey } = await generateKey('rsa-2048');
    const expected = { kind: 'key', algorithm: 'rsa-2048', publicKey } as const;
    const [zone, value] = [zones.zone('example.com'), dkimRecordValue({ algorithm: 'rsa-2048', publicKey })];
    const check = (wanted: Parameters<typeof checkRecord>[2] = expected) => checkRecord(zones.dns(), name, wanted);
    assert.equal((await check()).verdict, 'missing');
    assert.equal((await check({ ...expected, kind: 'absent' })).verdict, 'ok');

    await zones.lag(1);
    await publishTxt(zone, { name, value, ttl: 60 });
    const lagging = await check();
    assert.equal(lagging.verdict, 'missing');
    assert.equal(lagging.summary, `${name}: ${zones.servers[1]} has no TXT record there (1 of 2 servers are right)`);
    await zones.catchUp(1);
    await zones.settled(name, [value]);
    assert.equal((await check()).verdict, 'ok');

    await zones.stop(1);
    const down = await check();
    assert.deepEqual(
      down.servers.map((s) => s.verdict),
      ['ok', 'unreachable'],
    );
    assert.match(down.summary, /cannot be asked: .*ECONNREFUSED/);
    await zones.restart(1);
    assert.equal((await check()).verdict, 'ok');

    await removeTxt(zone, name, [value]);
    await zones.settled(name, []);
    assert.equal((await check()).verdict, 'missing');
  });

  test('follows an alias into the zone of the keys', async () => {
    const name = 's1._domainkey.example.com';
    const cname = 's1.example.com.keys.example';
    const { publicKey } = await generateKey('ed25519');
    const expected = { kind: 'key', algorithm: 'ed25519', publicKey } as const;
    const check = () => checkRecord(zones.dns(), name, expected, { cname });
    const before = await check();
    assert.equal(before.verdict, 'missing', before.summary);
    const value = dkimRecordValue({ algorithm: 'ed25519', publicKey });
    await publishTxt(zones.zone('keys.example'), { name: cname, value, ttl: 60 });
    await zones.settled(cname, [value]);
    const verdict = await check();
    assert.equal(verdict.verdict, 'ok', verdict.summary);
    assert.equal(verdict.servers.length, 4);
  });
});
