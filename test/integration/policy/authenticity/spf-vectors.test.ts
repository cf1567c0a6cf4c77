import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { CheckingNode, resultsOf } from '#test/kit/authenticity/checking-node.ts';
import { needsVectors, readVectors, type VectorZone } from '#test/kit/authenticity/vectors.ts';
import { startVectorServer } from '#test/kit/dns/vector-server.ts';

/** The suite of RFC 7208, through a listener: what Authentication-Results says of each session. */
type SpfCase = { helo: string; host: string; mailfrom: string; result: string | string[] };
type SpfScenario = { description: string; zone: VectorZone; tests: Record<string, SpfCase> };

const FILE = 'spf-rfc7208.json';

/** Their reverse-paths are no mailboxes (RFC 5321 §4.1.2, RFC 1035 §2.3.4), so that MAIL is refused before SPF. */
const NO_MAILBOX = new Set(['toolonglabel', 'emptylabel']);

const message = Buffer.from('From: author@unknown.test\r\nSubject: a vector\r\n\r\ntext\r\n');

test('SPF: every case of the public suite gets its result', {
  ...needsVectors(FILE),
  timeout: 300_000,
  // Nodes that start wait for each other.
  concurrency: 4,
}, async (t) => {
  const scenarios = readVectors<SpfScenario>(FILE);
  await Promise.all(scenarios.map((scenario) => t.test(scenario.description, (own) => check(own, scenario))));
});

async function check(t: TestContext, { zone, tests }: SpfScenario): Promise<void> {
  await using dns = await startVectorServer(zone);
  // A node of its own: answers of another scenario must not be remembered.
  await using node = await CheckingNode.start(dns);
  const cases = Object.entries(tests);
  const checked = await Promise.all(
    cases.map(([, { host, helo, mailfrom }]) => node.check({ client: host, helo, from: mailfrom, message })),
  );
  for (const [i, [name, { result }]] of cases.entries()) {
    await t.test(name, () => {
      const found = checked[i] ?? { fields: [] };
      if (NO_MAILBOX.has(name)) {
        assert.equal(found.refused?.reply.code, 501);
        return;
      }
      assert.equal(found.refused, undefined);
      const [spf = 'absent'] = resultsOf(found, 'spf');
      assert.ok([result].flat().includes(spf), `${spf} instead of ${[result].flat().join(' or ')}`);
    });
  }
}
