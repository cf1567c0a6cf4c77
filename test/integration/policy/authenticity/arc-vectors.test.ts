import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CheckingNode, resultsOf } from '#test/kit/authenticity/checking-node.ts';
import { mergeZones, needsVectors, readVectors, type VectorRecord } from '#test/kit/authenticity/vectors.ts';
import { startVectorServer } from '#test/kit/dns/vector-server.ts';

/** Chains of the public ARC suite, through a listener: what Authentication-Results says of them. */
type ArcCase = { scenario: string; id: string; msg: string; cv: string; zone: Record<string, string> };

const FILE = 'arc.json';

/** They have no author, and are refused for it. */
const NO_AUTHOR = new Set(['cv_empty', 'cv_no_headers']);

test('ARC: every chain of the public suite gets its verdict', {
  ...needsVectors(FILE),
  timeout: 300_000,
}, async (t) => {
  const zoneOf = ({ zone }: ArcCase) =>
    Object.fromEntries(Object.entries(zone).map(([name, text]): [string, VectorRecord[]] => [name, [['TXT', text]]]));
  for (const [number, group] of mergeZones(readVectors<ArcCase>(FILE), zoneOf).entries()) {
    await t.test(`zone ${number + 1}`, async (zone) => {
      await using dns = await startVectorServer(group.zone);
      await using node = await CheckingNode.start(dns);
      const checked = await Promise.all(
        group.cases.map(({ msg }) =>
          node.check({
            client: '198.51.100.7',
            helo: 'client.test',
            from: 'sender@unknown.test',
            message: Buffer.from(msg.replace(/\r?\n/g, '\r\n')),
          }),
        ),
      );
      for (const [i, { scenario, id, cv }] of group.cases.entries()) {
        await zone.test(`${scenario}: ${id}`, () => {
          const found = checked[i] ?? { fields: [] };
          if (NO_AUTHOR.has(id)) {
            assert.match(found.refused?.reply.text ?? '', /no From/);
            return;
          }
          assert.equal(found.refused, undefined);
          const [arc = 'absent'] = resultsOf(found, 'arc');
          // The suite does not say what a chain is that its own seals call failed; RFC 8617 §5.2 does, in step 1.
          assert.equal(arc, cv === '' ? 'fail' : cv.toLowerCase());
        });
      }
    });
  }
});
