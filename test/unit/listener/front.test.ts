import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrontWatch } from '#services/listener/front.ts';
import { Gateways } from '#services/listener/gateways.ts';
import { startListener } from './harness.ts';

/** Sessions in their order: an address, and how many from it, each with a name of its own unless one is given. */
type Seen = [address: string, sessions: number, name?: string];

const CASES: [seen: Seen[], found: string | undefined, why: string][] = [
  [[['10.0.0.1', 19]], undefined, 'too few sessions'],
  [[['10.0.0.1', 20]], '10.0.0.1', 'one private address, many names'],
  [[['fd00::1', 20]], 'fd00::1', 'one of IPv6'],
  [[['100.64.0.1', 20]], '100.64.0.1', 'one of a carrier'],
  [[['10.0.0.1', 500, 'app.example.com']], undefined, 'a server with its one name'],
  [[['10.0.0.1', 500, 'pc']], undefined, 'names without a dot'],
  [
    [
      ['10.0.0.1', 8],
      ['10.0.0.1', 500, 'app.example.com'],
    ],
    undefined,
    'a server with nine names',
  ],
  [[['192.168.1.254', 20, 'router']], '192.168.1.254', 'a gateway of the routes, whatever its names'],
  [[['192.0.2.1', 500]], undefined, 'a public address'],
  [[['127.0.0.1', 500]], undefined, 'this machine'],
  [
    [
      ['127.0.0.1', 5],
      ['10.0.0.1', 20],
    ],
    '10.0.0.1',
    'this machine does not count',
  ],
  [
    [
      ['10.0.0.1', 15],
      ['10.0.0.2', 1],
      ['10.0.0.1', 500],
    ],
    undefined,
    'two addresses',
  ],
  [
    [
      ['10.0.0.1', 500],
      ['192.0.2.1', 1],
    ],
    undefined,
    'another address afterwards',
  ],
];

for (const [seen, found, why] of CASES) {
  test(`what stands in front of the listeners: ${why}`, () => {
    const watch = new FrontWatch((address) => address === '192.168.1.254');
    let told = 0;
    let count = 0;
    for (const [address, sessions, name] of seen) {
      for (let i = 0; i < sessions; i++) {
        if (watch.saw(address, name ?? `mail${count++}.example${i}.test`) !== undefined) told++;
      }
    }
    assert.equal(watch.found?.address, found);
    assert.ok(told <= 1, 'it is told once');
  });
}

test('an address that hides the clients opens nothing more unless it is named itself; log, status and explain say so', async () => {
  const context = { bytes: new Uint8Array(), trace: undefined };
  for (const [hosts, level] of [
    [['10.0.0.0/8'], 40],
    [['10.0.0.0/8', '10.9.9.9'], 50],
  ] as const) {
    await using server = await startListener({
      listener: { proxy: ['127.0.0.0/8'] },
      config: { relay: { allow: { hosts } } },
      gateways: new Gateways(() => ({})),
    });
    const session = async (name: string) => {
      using client = await server.connect();
      client.write('PROXY TCP4 10.9.9.9 192.0.2.1 40000 25\r\n');
      await client.reply();
      await client.say(`EHLO ${name}`);
      const asked = server.policy.calls.findLast(({ operation }) => operation === 'client-check');
      return (asked?.request as { gateway?: boolean } | undefined)?.gateway;
    };
    for (let i = 0; i < 20; i++) assert.equal(await session(`mail.example${i}.test`), undefined);
    assert.equal(await session('mail.example.test'), true);
    const said = server.log.filter(({ msg }) => msg.startsWith('all clients come from one address'));
    assert.deepEqual(
      said.map((line) => [line.level, line['address'], line['sessions']]),
      [[level, '10.9.9.9', 20]],
    );
    const { front } = await server.service.handlers['status-show']({}, context);
    assert.deepEqual([front?.address, front?.sessions, front?.gateway], ['10.9.9.9', 21, false]);
    assert.deepEqual(
      front?.entries.map(({ entry, named }) => [entry, named]),
      level === 40 ? [['10.0.0.0/8', false]] : [['10.9.9.9', true]],
    );
  }
});
