import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { Srs } from '#services/policy/rewrite/srs.ts';

const key = (text: string) => createSecretKey(Buffer.from(text.padEnd(32, '.')));
const NEW = key('new');
const OLD = key('old');
const NOW = new Date('2025-11-29T00:00:00Z');
const days = (n: number): Date => new Date(NOW.getTime() + n * 86_400_000);
const srs = new Srs({ domain: 'fwd.example', keys: [NEW, OLD], days: 21 });

const masked = (address = ''): string => address.replace(/^(SRS[01]=)[A-Za-z0-9+/]{6}=/, '$1#=');
const reverse = (address: string, now = NOW, by = srs) => by.reverse(address.slice(0, address.lastIndexOf('@')), now);

/** What Mail::SRS 0.31 (Separator "=", HashLength 6) makes of these addresses on that day, without its hash. */
const FORWARD: [address: string, expected: string][] = [
  ['Alice@orig.example', 'SRS0=#=6F=orig.example=Alice@fwd.example'],
  ['bounces+12=bob=x.example@em.sender.example', 'SRS0=#=6F=em.sender.example=bounces+12=bob=x.example@fwd.example'],
  ['a=b=c@d.example', 'SRS0=#=6F=d.example=a=b=c@fwd.example'],
  ['SRS0=HHHH=TT=orig.example=user@first.example', 'SRS1=#=first.example==HHHH=TT=orig.example=user@fwd.example'],
  [
    'SRS1=HHHHHH=zero.example==HHH=TT=orig.example=user@first.example',
    'SRS1=#=zero.example==HHH=TT=orig.example=user@fwd.example',
  ],
  ['srs0+HHH=TT=orig.example=user@first.example', 'SRS1=#=first.example=+HHH=TT=orig.example=user@fwd.example'],
];

for (const [address, expected] of FORWARD) {
  test(`SRS of ${address} is what other implementations make, and leads back`, () => {
    const forward = srs.forward(address, NOW) ?? '';
    assert.equal(masked(forward), expected);
    const back = reverse(forward);
    // The second forwarder sends bounces to the first one.
    const sender = expected.startsWith('SRS1')
      ? address.replace(/^SRS1=HHHHHH=zero\.example=(.*)@.*$/, 'SRS0$1@zero.example')
      : address;
    assert.deepEqual(back, { address: sender.replace(/^srs0/, 'SRS0') });
  });
}

test('SRS leads back when a server has changed the case of the address', () => {
  const forward = srs.forward('alice@orig.example', NOW) ?? '';
  assert.deepEqual(reverse(forward.toLowerCase()), { address: 'alice@orig.example' });
  assert.deepEqual(reverse(forward.toUpperCase()), { address: 'ALICE@ORIG.EXAMPLE' });
});

test('an SRS address is good for its time, and a day ahead, as clocks differ', () => {
  const forward = srs.forward('alice@orig.example', NOW) ?? '';
  for (const [day, problem] of [
    [-2, 'expired'],
    [-1, undefined],
    [0, undefined],
    [21, undefined],
    [22, 'expired'],
    [500, 'expired'],
  ] as const) {
    const back = reverse(forward, days(day));
    assert.equal('problem' in back ? back.problem : undefined, problem, `day ${day}`);
  }
});

test('a forged SRS address leads nowhere: each part is signed, and so is where one ends', () => {
  const forward = srs.forward('bc@ab.example', NOW) ?? '';
  const [, hash = '', day = ''] = forward.split('=');
  const ahead = srs.forward('bc@ab.example', days(10))?.split('=')[2] ?? '';
  for (const local of [
    `SRS0=${hash}=${day}=ab.example=victim`,
    `SRS0=${hash}=${day}=victim.example=bc`,
    `SRS0=${hash}=${ahead}=ab.example=bc`,
    `SRS0=${hash}=${day}=ab.exampl=ebc`,
    `SRS0=${hash.slice(0, 4)}=${day}=ab.example=bc`,
    `SRS0=${hash}x=${day}=ab.example=bc`,
    `SRS0==${day}=ab.example=bc`,
    `SRS0=${hash}=11=ab.example=bc`,
    `SRS0=${hash}=${day}=ab.example=`,
    `SRS0=${hash}=${day}=ab.example`,
    `SRS1=${hash}=ab.example==x=TT=y=z`,
    `SRS1=${hash}=ab.example=x`,
    'SRS0=',
    'SRS1=',
  ]) {
    assert.deepEqual(srs.reverse(local, NOW), { problem: 'forged' }, local);
  }
});

test('after the key was replaced, addresses by the old one lead back, and new ones are by the first', () => {
  const before = new Srs({ domain: 'fwd.example', keys: [OLD], days: 21 });
  const forward = before.forward('alice@orig.example', NOW) ?? '';
  assert.deepEqual(reverse(forward), { address: 'alice@orig.example' });
  assert.deepEqual(reverse(srs.forward('alice@orig.example', NOW) ?? '', NOW, before), { problem: 'forged' });
  const bounce = before.forward('SRS0=a=b=c=d@first.example', NOW) ?? '';
  assert.deepEqual(reverse(bounce), { address: 'SRS0=a=b=c=d@first.example' });
});

test('what cannot stand in an SRS address gets none', () => {
  for (const address of ['"a b"@orig.example', 'a@[192.0.2.1]', `${'x'.repeat(60)}@${'long.'.repeat(37)}example`]) {
    assert.equal(srs.forward(address, NOW), undefined, address);
  }
  assert.deepEqual(reverse(srs.forward('jürgen@bücher.example', NOW) ?? ''), {
    address: 'jürgen@xn--bcher-kva.example',
  });
});
