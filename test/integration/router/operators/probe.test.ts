import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { firstUsed, hostRows, outcomeOf } from '#services/console/reports/tls/probed.ts';
import { routerContract } from '#services/router/contract.ts';
import { LostDestinations } from '#services/router/delivery/tls-policy/lost.ts';
import { probeDomain } from '#services/router/operators/probe.ts';
import { silentLogger } from '#shared/log.ts';
import type { ProbedDomain } from '#shared/tls/probe.ts';
import { type DaneSite, send, startDaneSite } from '#test/integration/router/delivery/dane/dane-site.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** A look at a destination says what delivery then does, at the hosts of dane-site.ts. */

// Below 1024, a port is root's.
const options = process.getuid?.() === 0 ? needs('named', 'unbound') : { skip: 'needs port 25' };

let site: DaneSite;
before(async () => {
  if (options.skip === false) site = await startDaneSite();
});
after(() => site?.dispose());

async function probe(domain: string): Promise<ProbedDomain> {
  const settings = testSettings({
    dns: { servers: [site.server], timeout: '5s', dnssec: true },
    delivery: { 'allow-local': ['127.0.0.0/8'] },
  });
  const log = silentLogger;
  const found = await probeDomain(domain, { settings, log, lostTls: new LostDestinations(log) });
  // As it crosses the bus.
  return routerContract.operations['tls-probe'].reply.parse(structuredClone(found));
}

const DOMAINS = [
  ...['good', 'expired', 'mismatch', 'second', 'forged', 'forged-2', 'no-tls', 'no-tls-2', 'no-handshake', 'anchor'],
  ...['next-hop', 'misnamed', 'unusable', 'unusable-clear', 'without', 'without-clear', 'by-alias', 'direct', 'child'],
].map((name) => `${name}.s.test`);

for (const domain of [...DOMAINS, 'plain.test', 'missing.s.test']) {
  test(`mail for ${domain} goes where the look said, and as it said`, options, async () => {
    const probed = await probe(domain);
    const first = firstUsed(probed);
    const { result } = await send(site, domain);
    const { host, protection } = result.outcome;
    if (result.state === 'delivered') {
      assert.equal(first && `${first.name}[${first.address}]:${first.port}`, host);
      assert.deepEqual(first?.session?.protection, protection);
    } else {
      assert.equal(first, undefined);
      const said = [
        probed.unreachable?.reply,
        ...probed.hosts.flatMap((one) => one.failures.map(({ reply }) => reply)),
      ];
      const { code, enhanced, text } = result.outcome.reply;
      assert.ok(said.includes(`${code} ${enhanced} ${text}`), `${said.join('\n')}\nis not\n${text}`);
    }
  });
}

test('a look sends no mail', options, async () => {
  const sinks = [41, 42, 43, 44, 45, 46, 47].map((last) => site.sink(last));
  for (const sink of sinks) sink.sessions.length = 0;
  for (const domain of DOMAINS) await probe(domain);
  const lines = sinks.flatMap((sink) => sink.sessions.flatMap((session) => session.lines));
  assert.ok(lines.length > 20);
  assert.deepEqual(
    lines.filter((line) => !/^(?:EHLO edge\.test|STARTTLS|QUIT)$/.test(line)),
    [],
  );
});

test('the sentences about a host whose certificate is another one, and about the next', options, async () => {
  const probed = await probe('second.s.test');
  assert.equal(
    outcomeOf('second.s.test', probed),
    'mail for second.s.test goes from test to ee.s.test[127.0.0.41]:25, in TLS with a verified certificate'.replace(
      'test to',
      `${probed.node} to`,
    ),
  );
  const [wrong, ee] = probed.hosts.map((host) => new Map(hostRows(host)));
  assert.equal(wrong?.get('wanted'), 'TLS with a certificate that its TLSA records name: it has TLSA records (DANE)');
  assert.match(
    wrong?.get('certificate') ?? '',
    /^wrong\.s\.test, by Test Authority, from \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d$/,
  );
  assert.match(
    wrong?.get('verdict') ?? '',
    /^not from a trusted authority; for wrong\.s\.test; not what its TLSA records name; /,
  );
  assert.match(
    wrong?.get('failed') ?? '',
    /^at first: 454 4\.7\.5 DANE asks for a verified certificate, but at wrong\.s\.test/,
  );
  assert.equal(wrong?.get('mail'), 'does not go to this host');
  assert.match(ee?.get('handshake') ?? '', /^TLSv1\.3 with TLS_/);
  assert.match(ee?.get('verdict') ?? '', /as its TLSA records name it \(DANE-EE\)/);
  assert.equal(ee?.get('mail'), 'goes in TLS with a verified certificate');
});
