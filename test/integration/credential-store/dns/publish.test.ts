import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { ZoneConfig } from '#cluster/config/schema/schema.ts';
import { checkRecord } from '#services/credential-store/dns/proof.ts';
import { publishTxt, removeTxt, replaceTxt } from '#services/credential-store/dns/publish.ts';
import { generateKey } from '#services/credential-store/making/generate-key.ts';
import { dkimRecordValue, revokedRecordValue } from '#shared/dkim/record.ts';
import { Secret } from '#shared/secret.ts';
import { keyFor, ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What BIND makes of our updates. Each test has its own name in the zone. */

const KEY = 'v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=';
/** As other programs write it. */
const WORDED = 'v=DKIM1; h=sha256; k=ed25519; n=note; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=';
const REVOKED = 'v=DKIM1; k=ed25519; p=';

describe('publication in BIND', needs('named', 'nsupdate'), () => {
  let zones: ZoneServers;
  let zone: ReturnType<ZoneServers['zone']>;
  before(async () => {
    zones = await ZoneServers.start({
      'example.com': [
        'foreign._domainkey TXT "v=DKIM1; p=c29tZWJvZHk="',
        'alias._domainkey CNAME elsewhere.example.net.',
        `worded._domainkey TXT "${WORDED}"`,
        `trial._domainkey TXT "${KEY}; t=y"`,
        'pair._domainkey TXT "somebody"',
        `pair._domainkey TXT "${KEY}"`,
        'odd._domainkey TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7" "hcvPapiMlrwIaaPcHURo="',
      ].join('\n'),
      'wild.example': '* TXT "v=spf1 -all"',
      'cut.example': '_domainkey NS ns',
      '_domainkey.cut.example': '',
      'away.example': '_domainkey NS ns2.example.net.',
    });
    zone = zones.zone('example.com');
  });
  after(() => zones[Symbol.asyncDispose]());

  const with_ = (update: Partial<typeof zone.update>): ZoneConfig => ({
    ...zone,
    update: { ...zone.update, ...update },
  });

  test('a record appears at primary and secondary, once however often it is published, and goes again', async () => {
    const name = 's1._domainkey.example.com';
    await publishTxt(zone, { name, value: KEY, ttl: 60 });
    await zones.settled(name, [KEY]);
    await publishTxt(zone, { name, value: KEY, ttl: 60 });
    await publishTxt(zone, { name: name.toUpperCase(), value: KEY, ttl: 60 });
    await zones.settled(name, [KEY]);
    await replaceTxt(zone, { name, value: REVOKED, ttl: 30 }, [KEY]);
    await replaceTxt(zone, { name, value: REVOKED, ttl: 30 }, [KEY]);
    await zones.settled(name, [REVOKED]);
    await removeTxt(zone, name, [KEY, REVOKED]);
    await removeTxt(zone, name, [KEY, REVOKED]);
    await zones.settled(name, []);
  });

  for (const algorithm of ['hmac-sha1', 'hmac-sha224', 'hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const) {
    test(`a key of 4096 bits, signed with ${algorithm}`, async () => {
      const name = `big-${algorithm}._domainkey.example.com`;
      const { publicKey } = await generateKey('rsa-4096');
      const value = dkimRecordValue({ algorithm: 'rsa-4096', publicKey });
      const key = keyFor(algorithm);
      await publishTxt(with_({ algorithm, key }), { name, value, ttl: 60 });
      await zones.settled(name, [value]);
      const verdict = await checkRecord(zones.dns(), name, { kind: 'key', algorithm: 'rsa-2048', publicKey });
      assert.equal(verdict.verdict, 'ok', verdict.summary);
      await replaceTxt(
        with_({ algorithm, key }),
        { name, value: revokedRecordValue({ algorithm: 'rsa-4096' }), ttl: 60 },
        [value],
      );
      await zones.settled(name, ['v=DKIM1; k=rsa; p=']);
    });
  }

  test('a published record that only has another TTL is published again', async () => {
    const name = 'ttl._domainkey.example.com';
    // BIND answers before its log has come to us: what it says of a later name tells that all before is there.
    let marks = 0;
    const added = async (): Promise<number> => {
      const mark = `mark-${++marks}._domainkey.example.com`;
      await publishTxt(zone, { name: mark, value: KEY, ttl: 60 });
      await waitFor(() => zones.output(0).includes(`adding an RR at '${mark}' TXT`), { what: 'the log of BIND' });
      return zones.output(0).split(`adding an RR at '${name}' TXT`).length - 1;
    };
    await publishTxt(zone, { name, value: KEY, ttl: 60 });
    assert.equal(await added(), 1);
    await publishTxt(zone, { name, value: KEY, ttl: 90 });
    assert.equal(await added(), 2);
    await publishTxt(zone, { name, value: KEY, ttl: 90 });
    assert.equal(await added(), 2);
  });

  test('what was split in odd places is the same value, and can be replaced and removed', async () => {
    const name = 'odd._domainkey.example.com';
    await replaceTxt(zone, { name, value: REVOKED, ttl: 60 }, [KEY]);
    await zones.settled(name, [REVOKED]);
    await zones.nsupdate([
      'zone example.com',
      `update delete ${name} TXT`,
      `add ${name} 60 TXT "v=DKIM1; k=ed25519; " "p="`,
    ]);
    await removeTxt(zone, name, [REVOKED]);
    await zones.settled(name, []);
  });

  test('the record of an imported key stays as another program wrote it, until it is revoked and removed', async () => {
    const name = 'worded._domainkey.example.com';
    await publishTxt(zone, { name, value: KEY, ttl: 60 });
    await zones.settled(name, [WORDED]);
    await replaceTxt(zone, { name, value: REVOKED, ttl: 60 }, [KEY]);
    await zones.settled(name, [REVOKED]);
    await removeTxt(zone, name, [KEY, REVOKED]);
    await zones.settled(name, []);
  });

  test('a record of our key that verifiers would not accept is written again, and removed however it is written', async () => {
    const name = 'trial._domainkey.example.com';
    await publishTxt(zone, { name, value: KEY, ttl: 60 });
    await zones.settled(name, [KEY]);
    await replaceTxt(zone, { name, value: WORDED, ttl: 60 }, [KEY]);
    await removeTxt(zone, name, [KEY]);
    await zones.settled(name, []);
  });

  test('a record of others stays as it is', async () => {
    const foreign = 'v=DKIM1; p=c29tZWJvZHk=';
    const name = 'foreign._domainkey.example.com';
    const expected = {
      code: 'dns-refused',
      message:
        /^zone example\.com at 127\.0\.0\.1:\d+: foreign\._domainkey\.example\.com already has another TXT record, .*c29tZWJvZHk=/,
    };
    await assert.rejects(publishTxt(zone, { name, value: KEY, ttl: 60 }), expected);
    await assert.rejects(replaceTxt(zone, { name, value: REVOKED, ttl: 60 }, [KEY]), expected);
    await removeTxt(zone, name, [KEY, REVOKED]);
    await zones.settled(name, [foreign]);
    await replaceTxt(zone, { name, value: KEY, ttl: 60 }, [foreign]);
    await zones.settled(name, [KEY]);
  });

  test('of two records, only ours is removed, and none is replaced', async () => {
    const name = 'pair._domainkey.example.com';
    await assert.rejects(replaceTxt(zone, { name, value: REVOKED, ttl: 60 }, [KEY]), {
      code: 'dns-refused',
      message: /"somebody"/,
    });
    await zones.settled(name, [KEY, 'somebody']);
    await removeTxt(zone, name, [KEY]);
    await zones.settled(name, ['somebody']);
  });

  test('nothing is put beside an alias', async () => {
    const name = 'alias._domainkey.example.com';
    await assert.rejects(publishTxt(zone, { name, value: KEY, ttl: 60 }), {
      code: 'dns-refused',
      message: /is an alias \(CNAME\)/,
    });
    await removeTxt(zone, name, [KEY]);
  });

  test('a wildcard does not hinder, and is not removed', async () => {
    const wild = zones.zone('wild.example');
    const name = 's1._domainkey.wild.example';
    await zones.settled(name, ['v=spf1 -all']);
    await removeTxt(wild, name, [KEY, 'v=spf1 -all']);
    await zones.settled('other.wild.example', ['v=spf1 -all']);
    await publishTxt(wild, { name, value: KEY, ttl: 60 });
    await zones.settled(name, [KEY]);
    await removeTxt(wild, name, [KEY]);
    await zones.settled(name, ['v=spf1 -all']);
  });

  test('a record below a zone cut is not written into the parent, where nobody sees it, but into its own zone', async () => {
    const name = 's1._domainkey.cut.example';
    const cut = { code: 'dns-refused', message: /is in _domainkey\.cut\.example, which is a zone of its own: add it/ };
    await assert.rejects(publishTxt(zones.zone('cut.example'), { name, value: KEY, ttl: 60 }), cut);
    await assert.rejects(removeTxt(zones.zone('cut.example'), name, [KEY]), cut);
    await publishTxt(zones.zone('_domainkey.cut.example'), { name, value: KEY, ttl: 60 });
    await zones.settled(name, [KEY]);
    const away = { name: 's1._domainkey.away.example', value: KEY, ttl: 60 };
    await assert.rejects(publishTxt(zones.zone('away.example'), away), {
      code: 'dns-refused',
      message: /is in _domainkey\.away\.example, which is a zone of its own at ns2\.example\.net/,
    });
  });

  test('of two that publish different values concurrently one is refused, and its value is nowhere', async () => {
    for (let round = 0; round < 10; round++) {
      const name = `race-${round}._domainkey.example.com`;
      const values = ['v=DKIM1; p=QQ==', 'v=DKIM1; p=Qg=='];
      const results = await Promise.allSettled(values.map((value) => publishTxt(zone, { name, value, ttl: 60 })));
      const winners = values.filter((_, i) => results[i]?.status === 'fulfilled');
      assert.equal(winners.length, 1, JSON.stringify(results));
      assert.deepEqual(await zones.txt(0, name), winners);
    }
  });

  const day = 86_400_000;
  const refusals: [what: string, () => Promise<void>, code: 'dns-refused' | 'dns-failed', RegExp][] = [
    [
      'a wrong secret',
      () => publish(with_({ secret: new Secret(randomBytes(32).toString('base64')) })),
      'dns-refused',
      /key "sealpost" \(BADSIG\): the configured secret/,
    ],
    [
      'an unknown key',
      () => publish(with_({ key: 'stranger' })),
      'dns-refused',
      /does not know the key "stranger" with hmac-sha256 \(BADKEY\)/,
    ],
    [
      'another algorithm',
      () => publish(with_({ algorithm: 'hmac-sha512' })),
      'dns-refused',
      /"sealpost" with hmac-sha512 \(BADKEY\)/,
    ],
    [
      'a clock that is late',
      () => publish(zone, () => Date.now() - day),
      'dns-failed',
      /BADTIME\): its clock differs by 86[34]\d\d s; set the clock/,
    ],
    [
      'a clock that is early',
      () => publish(zone, () => Date.now() + day),
      'dns-failed',
      /BADTIME\): its clock differs by -86[34]\d\d s/,
    ],
    [
      'a key that may not update',
      () => publish(with_({ key: 'transfer-1' })),
      'dns-failed',
      /answers REFUSED: let key "transfer-1" query and update the zone/,
    ],
    [
      'a zone that it does not have, perhaps not yet',
      () => publishTxt({ ...zone, name: 'example.net' }, { name: 's1._domainkey.example.net', value: KEY, ttl: 60 }),
      'dns-failed',
      /answers NOTAUTH: it is not the primary of example\.net/,
    ],
    [
      'a zone above that of the name',
      () => publish({ ...zone, name: 'com' }),
      'dns-refused',
      /is in example\.com, which is a zone of its own: add it to dns\.zones/,
    ],
    [
      'a secondary in place of the primary',
      () => publish(with_({ server: zones.servers[1] ?? '' })),
      'dns-failed',
      /answers (REFUSED|NOTAUTH|NOTIMP)/,
    ],
    [
      'a name outside of the zone',
      () => publishTxt(zone, { name: 's1._domainkey.example.org', value: KEY, ttl: 60 }),
      'dns-refused',
      /is not in the zone example\.com/,
    ],
    [
      'a name that is too long',
      () => publishTxt(zone, { name: `${'x'.repeat(64)}.example.com`, value: KEY, ttl: 60 }),
      'dns-refused',
      /is not a domain name/,
    ],
    [
      'a zone without an update',
      () => publish({ name: zone.name, servers: [] }),
      'dns-refused',
      /the zone example\.com has no update settings/,
    ],
  ];
  const publish = (to: ZoneConfig, now: () => number = Date.now) =>
    publishTxt(to, { name: 'refused._domainkey.example.com', value: KEY, ttl: 60 }, { now });
  for (const [what, attempt, code, message] of refusals) {
    test(`${what} ${code === 'dns-refused' ? 'needs a person' : 'may pass'}`, async () => {
      const error = await attempt().then(
        () => undefined,
        (e: Error) => e,
      );
      assert.equal((error as (Error & { code?: string }) | undefined)?.code, code, error?.message);
      assert.match(error?.message ?? '', message);
      assert.ok(!error?.message.includes(zones.secret));
      assert.deepEqual(await zones.txt(0, 'refused._domainkey.example.com'), []);
    });
  }

  test('a server that is down or silent has failed for now', async () => {
    const name = 'later._domainkey.example.com';
    await zones.pause(0);
    await assert.rejects(publishTxt(zone, { name, value: KEY, ttl: 60 }, { timeoutMs: 200 }), {
      code: 'dns-failed',
      message: /no answer within 0\.2 s/,
    });
    zones.resume(0);
    await zones.stop(0);
    await assert.rejects(publishTxt(zone, { name, value: KEY, ttl: 60 }), {
      code: 'dns-failed',
      message: /ECONNREFUSED/,
    });
    await zones.restart(0);
    await publishTxt(zone, { name, value: KEY, ttl: 60 });
    await zones.settled(name, [KEY]);
  });
});
