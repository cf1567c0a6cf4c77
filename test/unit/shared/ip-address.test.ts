import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientNetwork, isInNetwork, parseIp, parseNetwork } from '#shared/address/ip-address.ts';

const ADDRESSES: [text: string, address: string | undefined][] = [
  ['::10.0.0.1', '::a00:1'],
  ['::a00:1', '::a00:1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['::FFFF:a00:1', '10.0.0.1'],
  ['0:0:0:0:0:ffff:10.0.0.1', '10.0.0.1'],
  ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
  ['::ffff:0:10.0.0.1', '::ffff:0:a00:1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['010.0.0.1', undefined],
  ['1', undefined],
  ['0x7f.1', undefined],
  ['', undefined],
];

for (const [text, address] of ADDRESSES) {
  test(`${text || 'no text'} is ${address ?? 'not an address'}`, () => {
    assert.equal(parseIp(text)?.toString(), address);
  });
}

const NETWORKS: [network: string, address: string, inside: boolean | undefined][] = [
  ['10.0.0.0/8', '::10.1.2.3', false],
  ['10.0.0.0/8', '::ffff:10.1.2.3', true],
  ['::10.0.0.0/104', '10.1.2.3', false],
  ['::10.0.0.0/104', '::10.1.2.3', true],
  ['::ffff:10.0.0.0/104', '10.1.2.3', true],
  ['::/0', '10.1.2.3', false],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['10/8', '10.1.2.3', undefined],
  ['10.0.0.0/33', '10.1.2.3', undefined],
];

for (const [network, address, inside] of NETWORKS) {
  test(`${address} in ${network}: ${inside ?? 'not a network'}`, () => {
    const parsed = parseNetwork(network);
    const ip = parseIp(address);
    assert.equal(parsed && ip && isInNetwork(ip, parsed), inside);
  });
}

test('the addresses of one customer are one client', () => {
  assert.equal(clientNetwork('2001:db8:0:1:aaaa::1'), clientNetwork('2001:db8:0:1:bbbb::2'));
  assert.notEqual(clientNetwork('2001:db8:0:1::1'), clientNetwork('2001:db8:0:2::1'));
  assert.notEqual(clientNetwork('192.0.2.1'), clientNetwork('192.0.2.2'));
  assert.equal(clientNetwork('::ffff:192.0.2.1'), '192.0.2.1');
});
