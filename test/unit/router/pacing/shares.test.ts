import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { RouterContract } from '#services/router/contract.ts';
import { allot, type DemandBus, Shares } from '#services/router/pacing/shares.ts';
import type { EventPayload } from '#shared/contract.ts';
import { seededRandom } from '#test/kit/random.ts';

type Demand = EventPayload<RouterContract, 'demand'>;

for (const [what, own, others, expected] of [
  ['alone, wants little: all of it', 0.1, [], 1],
  ['alone, wants all', 1, [], 1],
  ['alone, wants nothing', 0, [], 1],
  ['all want everything', 1, [1, 1], 1 / 3],
  ['the only one with work', 1, [0, 0], 1],
  ['without work beside one who wants all', 0, [1, 0], 0],
  ['nobody has work: equal parts', 0, [0, 0], 1 / 3],
  ['the small one gets what it wants', 0.1, [1, 1], 0.1],
  ['the large ones share what the small one leaves', 1, [0.1, 1], 0.45],
  ['all are met: the rest is spread evenly', 0.2, [0.1, 0.1], 0.2 + 0.6 / 3],
  ['want exactly what there is', 0.5, [0.5], 0.5],
  ['more than an equal part, but others want less', 0.6, [0.2, 0.1], 0.6 + 0.1 / 3],
] as const) {
  test(`allot: ${what}`, () => assert.ok(Math.abs(allot(own, others) - expected) < 1e-9, String(allot(own, others))));
}

test('allot: whatever the wants, the parts are 1 in sum, and nobody gets less than it wants or an equal part', () => {
  const random = seededRandom(1);
  for (let run = 0; run < 5000; run++) {
    const wants = Array.from({ length: 1 + Math.floor(random() * 12) }, () =>
      random() < 0.3 ? 0 : random() < 0.3 ? 1 : random() ** 3,
    );
    const parts = wants.map((want, i) => allot(want, wants.toSpliced(i, 1)));
    const sum = parts.reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(sum - 1) < 1e-9, `${wants}: ${sum}`);
    for (const [i, part] of parts.entries()) {
      assert.ok(part >= Math.min(wants[i] ?? 0, 1 / wants.length) - 1e-9, `${wants}: ${part}`);
    }
  }
});

/** Routers on a bus, by virtual time: what one announces reaches each other on its side a few ms later, or is lost. */
class Site {
  now = 0;
  lost = 0;
  readonly nodes: { name: string; shares: Shares; want: number; side: number; dead: boolean }[] = [];
  readonly #t: TestContext;
  readonly #random: () => number;
  /** The sum of all shares above 1, in seconds of the limit. */
  excess = 0;

  constructor(t: TestContext, seed: number) {
    this.#t = t;
    this.#random = seededRandom(seed);
    t.mock.timers.enable({ apis: ['setTimeout'] });
  }

  add(name: string, want = 0): void {
    const listeners: ((demand: Demand) => void)[] = [];
    const node = { name, want, side: 0, dead: false, listeners };
    const peers: DemandBus = {
      announce: (_, demand) => {
        for (const other of this.nodes as (typeof node & { shares: Shares })[]) {
          if (node.dead || other.dead || other.side !== node.side || this.#random() < this.lost) continue;
          const payload = structuredClone(demand) as Demand;
          setTimeout(() => other.listeners.forEach((hear) => void hear(payload)), 1 + this.#random() * 20);
        }
      },
      hear: (_, listener) => {
        listeners.push(listener as (demand: Demand) => void);
        return () => void listeners.splice(0);
      },
      connected: () => true,
    };
    const shares = new Shares({ node: name, peers, onChange: () => undefined, clock: () => this.now });
    shares.start();
    this.nodes.push(Object.assign(node, { shares }));
  }

  /** Let time pass; every node says each second what it wants, each at its own moment. */
  pass(seconds: number): void {
    for (let ms = 0; ms < seconds * 1000; ms += 10) {
      this.now += 10;
      this.#t.mock.timers.tick(10);
      for (const [i, { shares, want, dead }] of this.nodes.entries()) {
        if (dead || (this.now + i * 170) % 1000 !== 0) continue;
        shares.want('x', want);
        shares.tell();
      }
      this.excess += Math.max(0, this.sum - 1) * 0.01;
    }
  }

  /** Work begins or ends. */
  want(name: string, want: number): void {
    const node = this.node(name);
    node.want = want;
    node.shares.want('x', want);
  }

  node(name: string) {
    const node = this.nodes.find((n) => n.name === name);
    if (node === undefined) throw new Error(`no ${name}`);
    return node;
  }

  share(name: string): number {
    return this.node(name).shares.share('x');
  }

  get sum(): number {
    return this.nodes.reduce((sum, { shares, dead }) => sum + (dead ? 0 : shares.share('x')), 0);
  }
}

const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < 0.01, `${actual}, expected ${expected}`);

test('three with work share evenly; one that joins gets its part as soon as the others made room', (t) => {
  const site = new Site(t, 1);
  site.add('a', 1);
  site.add('b', 1);
  site.pass(5);
  near(site.share('a'), 1 / 2);
  site.excess = 0;
  site.add('c', 1);
  site.pass(0.02);
  near(site.share('c'), 0);
  // A second until it announces itself, and the time of two announcements.
  site.pass(1.3);
  for (const name of ['a', 'b', 'c']) near(site.share(name), 1 / 3);
  assert.ok(site.excess < 0.05, `${site.excess} s of the limit in excess`);
});

test('work that begins on an idle node has its part within a few announcements', (t) => {
  const site = new Site(t, 2);
  for (const name of ['a', 'b', 'c']) site.add(name, 0);
  site.pass(5);
  for (const name of ['a', 'b', 'c']) near(site.share(name), 1 / 3);
  site.want('a', 1);
  site.pass(1.2);
  near(site.share('a'), 1);
  near(site.share('b'), 0);
  site.excess = 0;
  site.want('b', 1);
  site.pass(0.25);
  near(site.share('a'), 1 / 2);
  near(site.share('b'), 1 / 2);
  assert.ok(site.excess < 0.05, `${site.excess} s of the limit in excess`);
});

test('one dies: the others take over what it had within five seconds', (t) => {
  const site = new Site(t, 3);
  for (const name of ['a', 'b', 'c']) site.add(name, 1);
  site.pass(5);
  site.node('c').dead = true;
  site.pass(2.5);
  near(site.sum, 2 / 3);
  site.pass(2.5);
  near(site.share('a'), 1 / 2);
  near(site.share('b'), 1 / 2);
});

test('one stops in good order: what it had is free immediately', (t) => {
  const site = new Site(t, 4);
  for (const name of ['a', 'b']) site.add(name, 1);
  site.pass(5);
  site.node('b').shares.stop();
  site.node('b').dead = true;
  site.pass(0.1);
  near(site.share('a'), 1);
});

test('one is cut off: it keeps its part, and gives way when it is back', (t) => {
  const site = new Site(t, 5);
  for (const name of ['a', 'b', 'c']) site.add(name, 1);
  site.pass(5);
  site.node('c').side = 1;
  site.pass(60);
  near(site.share('a'), 1 / 2);
  near(site.share('c'), 1 / 3);
  site.excess = 0;
  site.node('c').side = 0;
  site.pass(2);
  for (const name of ['a', 'b', 'c']) near(site.share(name), 1 / 3);
  assert.ok(site.excess < 0.5, `${site.excess} s of the limit in excess`);
});

test('cut off while it had all or nothing: its equal part', (t) => {
  const site = new Site(t, 6);
  site.add('a', 1);
  for (const name of ['b', 'c']) site.add(name, 0);
  site.pass(5);
  near(site.share('a'), 1);
  for (const [side, name] of ['a', 'b', 'c'].entries()) site.node(name).side = side;
  site.pass(5);
  for (const name of ['a', 'b', 'c']) near(site.share(name), 1 / 3);
});

test('four in two equal halves: the sum stays what it was', (t) => {
  const site = new Site(t, 7);
  for (const name of ['a', 'b', 'c', 'd']) site.add(name, 1);
  site.pass(5);
  for (const name of ['a', 'b']) site.node(name).side = 1;
  site.excess = 0;
  site.pass(60);
  near(site.sum, 1);
  // The silence of one is noticed before that of the other, up to a second: three of four may share everything.
  assert.ok(site.excess < 0.35, `${site.excess} s of the limit in excess`);
});

/** One router that hears what the test says, and whose announcements the test keeps. */
function single() {
  const site = { now: 0, said: [] as Demand[], hear: (_: Demand): void => undefined };
  const shares = new Shares({
    node: 'c',
    peers: {
      announce: (_, demand) => void site.said.push(demand as Demand),
      hear: (_, listener) => {
        site.hear = listener as (demand: Demand) => void;
        return () => undefined;
      },
      connected: () => true,
    },
    onChange: () => undefined,
    clock: () => site.now,
  });
  shares.start();
  return { shares, site };
}

test('one whose announcements reach nobody takes its part after a while: never nothing', () => {
  const { shares, site } = single();
  for (let s = 0; s <= 6; s++) {
    for (const node of ['a', 'b']) {
      site.hear({ node, instance: `${node}1`, leaving: false, more: false, lines: [['x', 1, 0.5]] });
    }
    shares.want('x', 1);
    near(shares.share('x'), s <= 4 ? 0 : 1 / 3);
    site.now += 1000;
  }
});

test('one with work for more than it can name counts as one with work for all', () => {
  const { shares, site } = single();
  const { said } = site;
  site.hear({ node: 'b', instance: 'b1', leaving: false, more: true, lines: [['y', 1, 1]] });
  shares.want('x', 1);
  near(shares.share('x'), 1 / 2);
  for (let i = 0; i < 600; i++) shares.want(`d${i}.example`, 0.5);
  shares.tell();
  assert.equal(said.at(-1)?.lines.length, 500);
  assert.equal(said.at(-1)?.more, true);
  for (let i = 0; i < 600; i++) shares.forget(`d${i}.example`);
  shares.tell();
  assert.deepEqual(said.at(-1)?.lines, [['x', 1, 0.5]]);
  assert.equal(said.at(-1)?.more, false);
});

for (const [seed, lost] of [
  [11, 0],
  [12, 0],
  [13, 0.05],
  [14, 0.2],
] as const) {
  test(`work comes and goes, ${lost * 100} % of the announcements are lost, seed ${seed}: in limit, and nobody starves`, (t) => {
    const site = new Site(t, seed);
    const random = seededRandom(seed * 100);
    site.lost = lost;
    for (const name of ['a', 'b', 'c', 'd', 'e']) site.add(name);
    site.pass(4);
    site.excess = 0;
    const rounds = 40;
    for (let round = 0; round < rounds; round++) {
      const name = ['a', 'b', 'c', 'd', 'e'][Math.floor(random() * 5)] ?? 'a';
      site.want(name, random() < 0.3 ? 0 : random() < 0.5 ? 1 : random());
      site.pass(random() * 3);
    }
    site.lost = 0;
    site.pass(8);
    near(site.sum, 1);
    for (const { name, want } of site.nodes) {
      const others = site.nodes.filter((n) => n.name !== name).map((n) => n.want);
      assert.ok(Math.abs(site.share(name) - allot(want, others)) < 0.02, `${name} has ${site.share(name)}`);
    }
    t.diagnostic(`${site.excess.toFixed(2)} s of the limit in excess over ${Math.round(site.now / 1000)} s`);
    assert.ok(site.excess / rounds < (lost === 0 ? 0.05 : 0.5), `${site.excess} s of the limit in excess`);
  });
}
