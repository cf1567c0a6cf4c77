import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { needs } from '#test/kit/runner/peers.ts';

test('zones are updated, spread, lag, catch up, fall silent and come back', needs('named', 'nsupdate'), async () => {
  await using zones = await ZoneServers.start({ 'example.com': 'a TXT "one"', 'example.net': '' }, { secondaries: 2 });
  await zones.settled('a.example.com', ['one']);

  assert.equal(await zones.nsupdate(['zone example.com', 'add a.example.com 60 TXT "two"']), '');
  await zones.settled('a.example.com', ['one', 'two']);
  assert.match(await zones.nsupdate(['zone example.com', 'add b.example.com 60 TXT "x"'], ''), /REFUSED/);

  await zones.lag(2);
  assert.equal(await zones.nsupdate(['zone example.net', 'add b.example.net 60 TXT "three"']), '');
  await zones.settled('b.example.net', ['three'], [0, 1]);
  assert.deepEqual(await zones.txt(2, 'b.example.net'), []);
  await zones.catchUp(2);
  await zones.settled('b.example.net', ['three']);

  await zones.pause(1);
  await assert.rejects(zones.txt(1, 'b.example.net'), { code: 'ETIMEOUT' });
  zones.resume(1);
  await zones.stop(0);
  await assert.rejects(zones.txt(0, 'a.example.com'), { code: 'ECONNREFUSED' });
  await zones.restart(0);
  await zones.settled('a.example.com', ['one', 'two']);
});
