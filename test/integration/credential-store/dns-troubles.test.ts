import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { noteText } from '#services/console/reports/keys/text.ts';
import { dkimRecordName, dkimRecordValue, revokedRecordValue } from '#shared/dkim/record.ts';
import { askByTcp } from '#shared/dns/exchange.ts';
import { Opcode } from '#shared/dns/message.ts';
import { parseServer } from '#shared/dns/server.ts';
import { answerTo, FakeDns, type Handler } from '#test/kit/dns/fake-dns.ts';
import { ZoneServers } from '#test/kit/dns/zone-servers.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { activeKey, ed25519, fails, reaches, startNode } from '#test/unit/credential-store/fixture.ts';

/** Keys whose records do not get into DNS at first, in BIND. */

const DOMAIN = 'zone.test';
const REFUSED = 5;

test(
  'a key that is revoked while its zone is frozen is an alarm until it is gone, and is gone without an order',
  needs('named'),
  async () => {
    await using zones = await ZoneServers.start({ [DOMAIN]: '' });
    const forward: Handler = async (query) =>
      Buffer.from((await askByTcp(parseServer(zones.servers[0] ?? ''), query.bytes, 2000)).bytes);
    const frozen: Handler = (query) =>
      query.opcode === Opcode.UPDATE ? answerTo(query, { rcode: REFUSED, authoritative: false }) : forward(query);
    await using primary = await FakeDns.start(forward);
    const zone = zones.zone();
    const update = { ...zone.update, server: primary.server, secret: zones.secret };
    const config = { domains: [{ name: DOMAIN }], dns: { timeout: '2s', zones: [{ ...zone, update }] } };
    await using data = await tempDir();
    const { log, lines } = logLines();
    await using node = await startNode(data.path, { log, config: { ...config, keys: { ttl: '1m' } } });
    const { calls } = node;
    const key = await activeKey(node, 's1', DOMAIN);
    const name = dkimRecordName(key);
    await zones.settled(name, [dkimRecordValue(key)]);
    const s1 = { domain: DOMAIN, selector: 's1' };
    const exposed = async (): Promise<string[]> => (await calls['status-show']({})).exposed ?? [];
    assert.deepEqual([await exposed(), (await calls['key-show'](s1)).exposed], [[], undefined]);

    primary.handler = frozen;
    await calls['key-revoke']({ ...s1, force: true });
    const stuck = await waitFor(
      async () => {
        const shown = await calls['key-show'](s1);
        return shown.problem !== undefined && shown;
      },
      { what: 'the refusal to be told', timeout: 15_000 },
    );
    assert.deepEqual([stuck.state, stuck.exposed, stuck.problem?.permanent], ['retired', true, false]);
    assert.match(noteText(stuck) ?? '', /is compromised and may still be in DNS: .*answers REFUSED/);
    assert.deepEqual(await exposed(), [`s1 of ${DOMAIN}`]);
    await waitFor(() => lines().some((l) => l.level === 'error' && /compromised key is still in DNS/.test(l.msg)), {
      what: 'the log to complain',
    });
    await zones.settled(name, [dkimRecordValue(key)]);

    primary.handler = forward;
    await reaches(node, 's1', 'revoked', DOMAIN);
    await zones.settled(name, [revokedRecordValue(key)]);
    assert.deepEqual([await exposed(), (await calls['key-show'](s1)).exposed], [[], undefined]);
    await assert.rejects(calls['rotation-resume']({ domain: DOMAIN }), fails('wrong-state', 'stuck at a problem'));
  },
);

test(
  'a key below a zone cut says so, and is published as soon as dns.zones has that zone',
  needs('named'),
  async () => {
    const cut = `_domainkey.${DOMAIN}`;
    await using zones = await ZoneServers.start({ [DOMAIN]: '_domainkey NS ns', [cut]: '' }, { secondaries: 0 });
    const configured = (...names: string[]) => ({
      domains: [{ name: DOMAIN }],
      dns: {
        timeout: '2s',
        zones: names.map((name) => ({
          ...zones.zone(name),
          update: { ...zones.zone(name).update, secret: zones.secret },
        })),
      },
    });
    await using data = await tempDir();
    await using node = await startNode(data.path, { config: configured(DOMAIN) });
    const { calls, settings } = node;
    await calls['key-create'](ed25519('s1', DOMAIN));
    const stuck = await waitFor(
      async () => {
        const shown = await calls['key-show']({ domain: DOMAIN, selector: 's1' });
        return shown.problem !== undefined && shown;
      },
      { what: 'the zone cut to be told' },
    );
    assert.deepEqual([stuck.state, stuck.problem?.permanent], ['replicated', true]);
    assert.match(
      stuck.problem?.text ?? '',
      /s1\._domainkey\.zone\.test is in _domainkey\.zone\.test, which is a zone of its own/,
    );
    const { dns } = ConfigSchema.parse(configured(DOMAIN, cut));
    settings.replace({ ...settings.current, dns });
    await reaches(node, 's1', 'active', DOMAIN);
  },
);
