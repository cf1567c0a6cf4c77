import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Bounds } from '#services/console/api/access.ts';
import { overviewRoutes } from '#services/console/api/overview.ts';
import type { Asked } from '#services/console/api/route.ts';
import type { Alarm, OverviewReply } from '#services/console/schemas/overview.ts';

describe('bounds', () => {
  const hers = new Bounds({ domains: ['Example.com', 'bücher.example'] });

  test('without domains everything is seen', () => {
    const all = new Bounds({});
    assert.equal(all.domains, undefined);
    assert.ok(all.has('any.example') && all.hasAddress('') && all.hasAddress('x@y.example'));
    all.demand('any.example');
  });

  for (const [domain, seen] of [
    ['example.com', true],
    ['EXAMPLE.COM', true],
    ['example.com.', true],
    ['xn--bcher-kva.example', true],
    ['sub.example.com', false],
    ['com', false],
    ['example.com.evil.example', false],
    ['', false],
  ] as const) {
    test(`${JSON.stringify(domain)} is ${seen ? '' : 'not '}hers`, () => {
      assert.equal(hers.has(domain), seen);
      if (seen) hers.demand(domain);
      else assert.throws(() => hers.demand(domain), { code: 'forbidden' });
    });
  }

  for (const [address, seen] of [
    ['alice@example.com', true],
    ['"example.com@x"@other.example', false],
    ['"a@other.example"@example.com', true],
    ['', false],
    ['postmaster', false],
  ] as const) {
    test(`${JSON.stringify(address)} is ${seen ? '' : 'not '}hers`, () => assert.equal(hers.hasAddress(address), seen));
  }
});

describe('alarms of the overview', () => {
  const alarm = (about: string, text = 'is wrong', help = 'mend it'): Alarm => ({
    ...{ severity: 'error', about, text, help, check: 'x' },
  });
  const ALARMS = [
    alarm('node edge-1'),
    alarm('node edge-1', 'does not send to other.example'),
    alarm('s1 of example.com'),
    alarm('example.com'),
    alarm('s1 of other.example'),
    alarm('other.example'),
    alarm('s1 of example.com', 'is signed for by other.example'),
    alarm('domain sub.example.com'),
    alarm('NEK old'),
    alarm('the cluster'),
  ];

  const seenBy = async (domains?: string[]): Promise<Alarm[]> => {
    const now = { at: 0, node: 'edge-1', nodes: [], alarms: ALARMS };
    const traffic = { look: async () => ({ now, history: {} }) };
    const asked = { bounds: new Bounds({ domains }), traffic } as unknown as Asked;
    const [route] = overviewRoutes;
    const answer = (await route?.handler({ ...asked, params: {}, query: {}, body: {} })) as OverviewReply | undefined;
    return answer?.now.alarms ?? [];
  };

  test('all of them for an administrator of all domains', async () => assert.deepEqual(await seenBy(), ALARMS));

  test('those of nodes and of her own domains for a domain administrator, without the name of another', async () => {
    assert.deepEqual(await seenBy(['example.com']), [ALARMS[0], ALARMS[2], ALARMS[3]]);
  });
});
