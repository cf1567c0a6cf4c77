import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gatewaysOf } from '#cluster/machine.ts';
import { Gateways } from '#services/listener/gateways.ts';
import { startListener } from './harness.ts';

const ROUTES = `Iface\tDestination\tGateway \tFlags
eth0\t00000000\t010012AC\t0003
eth0\t000012AC\t00000000\t0001
`;

test('the gateways of a container are those of its routes and the first addresses of its networks', () => {
  const interfaces = [
    { internal: true, cidr: '127.0.0.1/8' },
    { internal: false, cidr: '172.18.0.5/16' },
    { internal: false, cidr: '172.30.25.67/26' },
    { internal: false, cidr: 'fd00:1:2:3::5/64' },
    { internal: false, cidr: '10.0.0.5/32' },
    { internal: false, cidr: '192.0.2.1/24' },
  ];
  const routes = ROUTES.replace('010012AC', 'FE0012AC');
  assert.deepEqual(gatewaysOf(interfaces, routes), ['172.18.0.1', '172.30.25.65', 'fd00:1:2:3::1', '172.18.0.254']);
  assert.deepEqual(gatewaysOf([], ROUTES), ['172.18.0.1']);
  assert.deepEqual(gatewaysOf([], ''), []);
});

test('policy hears that a client is a gateway; start and status tell which entries hold one', async () => {
  const hosts = ['127.0.0.0/8', '127.0.0.3', '198.51.100.0/24', 'example.org', '*'];
  await using server = await startListener({
    config: { relay: { allow: { hosts } } },
    gateways: new Gateways(() => ({ container: ['127.0.0.2', '127.0.0.3'] })),
  });
  const asked = async (address: string) => {
    using client = await server.connect(address);
    await client.reply();
    await client.sayAll('EHLO client.test', 'MAIL FROM:<a@b.test>');
    return server.policy.calls.slice(-2).map(({ request }) => {
      const { gateway, facts } = request as { gateway?: boolean; facts?: { gateway?: boolean } };
      return gateway ?? facts?.gateway;
    });
  };
  assert.deepEqual(await asked('127.0.0.2'), [true, true]);
  assert.deepEqual(await asked('127.0.0.4'), [undefined, undefined]);
  const covered = [
    { address: '127.0.0.2', list: 'relay.allow.hosts', entry: '127.0.0.0/8', named: false },
    { address: '127.0.0.3', list: 'relay.allow.hosts', entry: '127.0.0.3', named: true },
  ];
  const { gateways } = await server.service.handlers['status-show']({}, { bytes: new Uint8Array(), trace: undefined });
  assert.deepEqual(gateways, covered);
  const warned = server.log.filter(
    ({ msg, level }) => level === 40 && msg.includes('gateway of the container network'),
  );
  assert.deepEqual(
    warned.map(({ address }) => address),
    ['127.0.0.2', '127.0.0.3'],
  );
});

test('through a gateway nobody says by a PROXY header to be somebody else, unless it is named itself', async () => {
  const header = 'PROXY TCP4 10.0.0.7 198.51.100.1 40000 25\r\n';
  const network = ['127.0.0.0/8'];
  for (const proxy of [network, [...network, '127.0.0.2']]) {
    const gateways = new Gateways(() => ({ container: ['127.0.0.2'] }));
    await using server = await startListener({ listener: { proxy }, gateways });
    using balancer = await server.connect('127.0.0.3');
    balancer.write(header);
    assert.match(await balancer.reply(), /^220/);
    using stranger = await server.connect('127.0.0.2');
    stranger.write(header);
    if (proxy === network) assert.match(await stranger.rest(), /421 4\.3\.5 PROXY header from/);
    else assert.match(await stranger.reply(), /^220/);
    const warned = server.log.filter(({ msg }) => msg.startsWith('a network in proxy holds a gateway'));
    assert.deepEqual(
      warned.map(({ address, entry }) => [address, entry]),
      proxy === network ? [['127.0.0.2', '127.0.0.0/8']] : [],
    );
  }
});

test('what the origin of a message says has no place for a gateway', async () => {
  await using server = await startListener({ gateways: new Gateways(() => ({ container: ['127.0.0.1'] })) });
  using client = await server.connect();
  await client.reply();
  await client.sayAll('EHLO client.test', 'MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA', '.');
  assert.ok(!('gateway' in (server.router.messages[0]?.origin ?? {})));
});
