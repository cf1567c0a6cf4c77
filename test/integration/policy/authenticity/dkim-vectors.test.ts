import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CheckingNode, resultsOf } from '#test/kit/authenticity/checking-node.ts';
import {
  mergeZones,
  needsVectors,
  readVectors,
  type VectorRecord,
  type VectorZone,
} from '#test/kit/authenticity/vectors.ts';
import { startVectorServer } from '#test/kit/dns/vector-server.ts';

/** Signed messages of public suites, through a listener: what Authentication-Results says of their signatures. */
type DkimCase = {
  suite: string;
  id: string;
  msg: string;
  dns: Record<string, string[] | 'NXDOMAIN' | 'SERVFAIL' | 'TIMEOUT'>;
  category: 'must-pass' | 'must-not-pass' | 'legacy-accept' | 'unsigned' | 'policy';
};

const FILE = 'dkim.json';

/** Their x= has passed since they were sent: the listener's clock is that of today. */
const EXPIRED = new Set(['stalwart 005.txt']);

test('DKIM: every message of the public suites gets its verdict', {
  ...needsVectors(FILE),
  timeout: 300_000,
}, async (t) => {
  const cases = readVectors<DkimCase>(FILE).filter(({ category }) => category !== 'policy');
  for (const [number, group] of mergeZones(cases, zoneOf).entries()) {
    await t.test(`zone ${number + 1}`, async (zone) => {
      await using dns = await startVectorServer(group.zone);
      await using node = await CheckingNode.start(dns);
      const checked = await Promise.all(
        group.cases.map(({ msg }) =>
          node.check({
            client: '198.51.100.7',
            helo: 'client.test',
            from: 'sender@unknown.test',
            message: Buffer.from(msg, 'base64'),
          }),
        ),
      );
      for (const [i, { suite, id, category }] of group.cases.entries()) {
        await zone.test(`${suite} ${id}: ${category}`, () => {
          const found = checked[i] ?? { fields: [] };
          const results = resultsOf(found, 'dkim');
          const said = found.refused === undefined ? results.join(', ') : JSON.stringify(found.refused);
          if (EXPIRED.has(`${suite} ${id}`)) assert.match(found.fields.join(), /dkim=\w+ \([^)]*expired/);
          else if (category === 'must-pass') assert.ok(results.includes('pass'), said);
          // One has a field that names no domain, no key and no signature: nothing that could be verified.
          else if (category === 'unsigned') assert.match(said, /^(none|neutral|permerror)$/);
          else assert.ok(found.refused !== undefined || (results.length > 0 && !results.includes('pass')), said);
        });
      }
    });
  }
});

function zoneOf({ dns }: DkimCase): VectorZone {
  return Object.fromEntries(
    Object.entries(dns).map(([name, said]) => [
      name,
      typeof said === 'string' ? said : said.map((text): VectorRecord => ['TXT', text]),
    ]),
  );
}
