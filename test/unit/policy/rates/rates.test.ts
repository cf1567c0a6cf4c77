import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Settings } from '#cluster/config/settings.ts';
import type { PolicyContract } from '#services/policy/contract.ts';
import { type Counted, Rates } from '#services/policy/rates/rates.ts';
import { SharedCounts } from '#services/policy/rates/shared-counts.ts';
import type { EventPayload } from '#shared/contract.ts';
import { config, facts } from '#test/unit/policy/fixtures.ts';

type Heard = EventPayload<PolicyContract, 'counts'>;
const ACCEPT = { action: 'accept' as const, why: [] as string[] };

/**
 * Policy services of several nodes by one virtual clock; what one counts reaches those on its side when `tell` is
 * called.
 */
class Site {
  now = 3_600_000 * 1000;
  connected = true;
  readonly #nodes: { rates: Rates; counts: SharedCounts; hear: (heard: Heard) => void; told: Heard[]; side: number }[] =
    [];

  constructor(rates: Record<string, unknown>, nodes = 1) {
    for (let n = 0; n < nodes; n++) this.add(rates, `edge-${n}`, nodes > 1);
  }

  add(rates: Record<string, unknown>, name: string, clustered = true): void {
    const node = { told: [] as Heard[], side: 0, hear: (_: Heard): void => undefined };
    const peers = {
      announce: (_: 'counts', heard: Heard) => void node.told.push(structuredClone(heard)),
      hear: (_: 'counts', listener: (heard: Heard) => void) => {
        node.hear = listener;
        return () => undefined;
      },
      connected: () => this.connected,
    };
    const settings = new Settings(config({ node: { name }, listeners: [], rates }));
    const counts = new SharedCounts({
      settings,
      peers: clustered ? (peers as never) : undefined,
      now: () => this.now,
      clock: () => this.now,
    });
    counts.start();
    this.#nodes.push(Object.assign(node, { counts, rates: new Rates({ settings, counts }) }));
  }

  /** Let time pass, and every node say and hear what it counted. The real timers of `Rates` do the saying. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 1000) {
      this.now += Math.min(1000, ms - passed);
      for (const node of this.#nodes) node.counts.tell();
      for (const node of this.#nodes) {
        for (const heard of node.told.splice(0)) {
          for (const other of this.#nodes) if (other !== node && other.side === node.side) other.hear(heard);
        }
      }
    }
  }

  cutOff(n: number): void {
    const node = this.#nodes[n];
    if (node !== undefined) node.side = n + 1;
  }

  join(n: number): void {
    const node = this.#nodes[n];
    if (node !== undefined) node.side = 0;
  }

  /** How many of `times` a node lets pass; the last refusal. */
  try(n: number, times: number, from: { user?: string; sender?: string; what?: Counted }) {
    let passed = 0;
    let refusal: { code: number; enhanced: string | null; text: string } | undefined;
    for (let i = 0; i < times; i++) {
      const request = {
        facts: facts(from.user === undefined ? {} : { user: from.user, kind: 'submission' }),
        reversePath: from.sender ?? 'a@example.com',
      };
      const verdict = this.#nodes[n]?.rates.count(from.what ?? 'messages', request, ACCEPT as never) as
        | typeof ACCEPT
        | { action: 'defer'; reply: { code: number; enhanced: string | null; text: string } };
      if (verdict.action === 'accept') passed++;
      else refusal = verdict.reply;
    }
    return { passed, refusal };
  }

  stop(): void {
    for (const { counts } of this.#nodes) counts.stop();
  }
}

test('without rates nothing is counted', () => {
  const site = new Site({});
  assert.equal(site.try(0, 1000, { user: 'alice' }).passed, 1000);
});

test('a user has a limit, whatever the case; the refusal says how long to wait, and after that it works', async () => {
  const site = new Site({ users: [{ name: 'Alice', messages: '10/m' }] });
  assert.equal(site.try(0, 6, { user: 'alice' }).passed, 6);
  const { passed, refusal } = site.try(0, 10, { user: 'ALICE' });
  assert.equal(passed, 4);
  assert.equal(refusal?.code, 450);
  assert.equal(refusal?.enhanced, '4.7.1');
  assert.match(refusal?.text ?? '', /^Rate limit of 10\/m messages for user alice is reached, try again in (\d+) s$/);
  const seconds = Number(/in (\d+) s/.exec(refusal?.text ?? '')?.[1]);
  await site.pass(seconds * 1000);
  assert.ok(site.try(0, 5, { user: 'alice' }).passed >= 1);
  assert.equal(site.try(0, 50, { user: 'bob' }).passed, 50);
});

test('* is every other user on its own, an entry by name an exception, also where it does not limit', () => {
  const site = new Site({
    users: [
      { name: '*', messages: '5/h', recipients: '8/h' },
      { name: 'news', recipients: '100/h' },
    ],
  });
  assert.equal(site.try(0, 10, { user: 'alice' }).passed, 5);
  assert.equal(site.try(0, 10, { user: 'bob' }).passed, 5);
  assert.equal(site.try(0, 10, { user: 'alice', what: 'recipients' }).passed, 8);
  assert.equal(site.try(0, 200, { user: 'news' }).passed, 200);
  assert.equal(site.try(0, 200, { user: 'news', what: 'recipients' }).passed, 100);
});

test('senders without a log-in: an address, a domain with everything below it, every other domain', () => {
  const site = new Site({
    senders: [
      { from: 'news@example.com', messages: '3/m' },
      { from: 'example.com', messages: '5/m' },
      { from: '*', messages: '2/m' },
    ],
  });
  const passed = (sender: string): number => site.try(0, 10, { sender }).passed;
  assert.equal(passed('News@EXAMPLE.com'), 3);
  assert.equal(passed('a@example.com'), 5);
  assert.equal(passed('b@sub.example.com'), 0);
  assert.equal(passed('a@other.example'), 2);
  assert.equal(passed('b@other.example'), 0);
  assert.equal(passed('a@third.example'), 2);
  assert.equal(passed(''), 10, 'notifications are never limited');
  assert.equal(site.try(0, 10, { sender: 'a@example.com', user: 'alice' }).passed, 10, 'a user is no sender');
});

test('what others refused, or a limit refused, does not count', () => {
  const site = new Site({ users: [{ name: '*', messages: '3/m' }] });
  assert.equal(site.try(0, 100, { user: 'alice' }).passed, 3);
  const settings = new Settings(config({ listeners: [], rates: { users: [{ name: '*', messages: '1/m' }] } }));
  const rates = new Rates({ settings, counts: new SharedCounts({ settings, peers: undefined }) });
  const request = { facts: facts({ user: 'bob' }), reversePath: 'b@example.com' };
  const refused = { action: 'reject' as const, reply: { code: 550, text: 'no' }, why: [] };
  assert.equal(rates.count('messages', request, refused), refused);
  assert.equal(rates.count('messages', request, ACCEPT).action, 'accept');
});

test('three nodes have one limit: what one let pass counts on the others', async () => {
  const site = new Site({ users: [{ name: '*', messages: '30/h' }] }, 3);
  await site.pass(3000);
  assert.equal(site.try(0, 10, { user: 'alice' }).passed, 10);
  await site.pass(1000);
  assert.equal(site.try(1, 15, { user: 'alice' }).passed, 15);
  await site.pass(1000);
  assert.equal(site.try(2, 30, { user: 'alice' }).passed, 5);
  await site.pass(1000);
  for (const n of [0, 1, 2]) assert.equal(site.try(n, 10, { user: 'alice' }).passed, 0);
  site.stop();
});

test('a node that comes later learns what was counted', async () => {
  const limits = { users: [{ name: '*', messages: '30/h' }] };
  const site = new Site(limits, 2);
  await site.pass(3000);
  assert.equal(site.try(0, 40, { user: 'alice' }).passed, 30);
  await site.pass(10_000);
  site.add(limits, 'edge-9');
  await site.pass(2000);
  assert.equal(site.try(2, 10, { user: 'alice' }).passed, 0);
  site.stop();
});

test('a node that is cut off lets its part pass, at least one, and no more than is left', async () => {
  const site = new Site(
    {
      users: [
        { name: '*', messages: '30/h' },
        { name: 'rare', messages: '2/h' },
      ],
    },
    3,
  );
  await site.pass(3000);
  assert.equal(site.try(0, 25, { user: 'bob' }).passed, 25);
  await site.pass(1000);
  site.cutOff(2);
  await site.pass(5000);
  assert.equal(site.try(2, 30, { user: 'alice' }).passed, 10);
  assert.equal(site.try(2, 30, { user: 'rare' }).passed, 1);
  assert.equal(site.try(2, 30, { user: 'bob' }).passed, 5);
  assert.equal(site.try(0, 30, { user: 'alice' }).passed, 30, 'the others cannot tell it from a dead one');
  site.join(2);
  await site.pass(3000);
  for (const n of [0, 1, 2]) assert.equal(site.try(n, 10, { user: 'alice' }).passed, 0);
  site.stop();
});

test('the counts of a node that died still count', async () => {
  const site = new Site({ users: [{ name: '*', messages: '30/h' }] }, 3);
  await site.pass(3000);
  assert.equal(site.try(2, 20, { user: 'alice' }).passed, 20);
  await site.pass(1000);
  site.cutOff(2);
  await site.pass(60_000);
  assert.equal(site.try(0, 30, { user: 'alice' }).passed, 10);
  site.stop();
});

test('an enumeration of senders does not grow memory without end, nor the announcements', async () => {
  const site = new Site({ senders: [{ from: '*', messages: '5/d' }] }, 2);
  await site.pass(3000);
  for (let i = 0; i < 30_000; i++) site.try(0, 1, { sender: `a@d${i}.example` });
  assert.equal(site.try(0, 10, { sender: 'a@d29999.example' }).passed, 4);
  await site.pass(1000);
  assert.equal(site.try(1, 10, { sender: 'a@d29999.example' }).passed, 0);
  site.stop();
});
