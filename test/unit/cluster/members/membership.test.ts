import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { announcer, client, listen } from '#cluster/actor.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { type Heartbeat, type Member, memberContract } from '#cluster/members/member-contract.ts';
import { Membership } from '#cluster/members/membership.ts';
import { newId } from '#shared/ids.ts';
import { silentLogger } from '#shared/log.ts';
import { logLines } from '#test/kit/log-lines.ts';

const START = Date.UTC(2026, 0, 1);
const DAY = 86_400_000;

/** One member, at a time that the test sets, and what the test says in the name of others. */
function stage(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let elapsed = 0;
  t.mock.method(performance, 'now', () => elapsed);
  t.mock.method(Date, 'now', () => START + elapsed);
  const bus = new LocalBus('edge-1');
  const settings = new Settings(ConfigSchema.parse({ node: { name: 'edge-1' } }));
  const { log, lines } = logLines();
  const said: Heartbeat[] = [];
  listen(bus, memberContract, silentLogger)('heartbeat', (heartbeat) => said.push(heartbeat));
  const contracts = { member: 1 };
  const membership = new Membership({
    bus,
    settings,
    log,
    services: ['router', 'signer'],
    version: '1.2.3',
    contracts,
    drain: async () => undefined,
  });
  const announce = announcer(bus, memberContract);
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 1000) {
      const step = Math.min(left, 1000);
      elapsed += step;
      t.mock.timers.tick(step);
    }
    await Promise.resolve();
  };
  return {
    bus,
    settings,
    membership,
    lines,
    said,
    pass,
    /** Jump, as for a process that was suspended meanwhile: one tick at the end. */
    async jump(ms: number): Promise<void> {
      elapsed += ms - 1000;
      await pass(1000);
    },
    async hear(process: string, about: Partial<Heartbeat> = {}): Promise<void> {
      announce('heartbeat', {
        ...{ node: `node-${process}`, process, epoch: 1, state: 'up', services: ['listener'], version: '1.2.3' },
        ...{ contracts: {}, started: START, config: {}, time: Date.now() },
        ...about,
      });
      await Promise.resolve();
    },
    other: (process: string): Member | undefined => membership.members().find((m) => m.process === process),
  };
}

test('a process announces itself every second, and each change of its state immediately, with a greater epoch', async (t) => {
  const { membership, said, bus, pass } = stage(t);
  membership.start();
  await pass(2000);
  membership.state = 'up';
  membership.state = 'up';
  membership.state = 'draining';
  await pass(1000);
  membership.stop();
  await pass(5000);
  assert.deepEqual(
    said.map((heartbeat) => heartbeat.state),
    ['joining', 'joining', 'joining', 'up', 'draining', 'draining', 'gone'],
  );
  const epochs = said.map((heartbeat) => heartbeat.epoch);
  assert.deepEqual(epochs, epochs.toSorted());
  assert.equal(new Set(epochs).size, 4);
  assert.equal(said[0]?.epoch, START);
  assert.deepEqual(
    { ...said[0], config: {} },
    {
      ...{ node: 'edge-1', process: bus.process, epoch: START, state: 'joining', services: ['router', 'signer'] },
      ...{ version: '1.2.3', connection: 1, contracts: { member: 1 }, started: START, config: {}, time: START },
    },
  );
});

test('another process is known as it announced itself, with its silence since, and is gone after 5 s of that', async (t) => {
  const { membership, hear, other, pass, lines } = stage(t);
  membership.start();
  await hear('A', { time: Date.now() + 300 });
  await pass(3000);
  const known = other('A');
  assert.deepEqual([known?.state, known?.heard, known?.clock, known?.stopped], ['up', 3000, 300, false]);
  await pass(3000);
  assert.equal(other('A')?.state, 'gone');
  assert.ok(lines().some((line) => /nothing was heard of node-A for 5 s/.test(line.msg)));
  await hear('A');
  assert.deepEqual([other('A')?.state, other('A')?.heard], ['up', 0]);
  membership.stop();
});

test('a process that said that it ends is gone immediately, and a late heartbeat does not bring it back', async (t) => {
  const { membership, hear, other } = stage(t);
  membership.start();
  await hear('A', { epoch: 7, state: 'draining' });
  await hear('A', { epoch: 8, state: 'gone' });
  await hear('A', { epoch: 7, state: 'draining' });
  assert.deepEqual([other('A')?.state, other('A')?.stopped, other('A')?.epoch], ['gone', true, 8]);
  membership.stop();
});

for (const [how, times] of [
  ['once', 1],
  ['again and again', 20],
] as const) {
  test(`a process is not silenced by another one that announces, ${how}, that it ended in a far later epoch`, async (t) => {
    const { bus, membership, hear, other, pass, lines } = stage(t);
    const heard = t.mock.method(bus, 'heard');
    membership.start();
    await hear('A', { epoch: 7 });
    const states: (string | undefined)[] = [];
    for (let second = 0; second < 20; second++) {
      if (second < times) await hear('A', { epoch: 10 ** 15 + second, state: 'gone', services: [] });
      await hear('A', { epoch: 7 });
      states.push(other('A')?.state);
      await pass(1000);
    }
    assert.deepEqual(states.slice(0, 3), ['gone', 'gone', 'up']);
    // Never missed for so long that calls pass it over.
    assert.ok(!states.join().includes('gone,gone,gone'), states.join());
    const serving = heard.mock.calls.filter((call) => (call.arguments as unknown as [{ serving: boolean }])[0].serving);
    assert.ok(serving.length > 5, `${serving.length} of 20`);
    if (times === 1) assert.deepEqual([other('A')?.epoch, new Set(states.slice(2)).size], [7, 1]);
    membership.stop();
    assert.match(lines().find(({ level }) => level === 'warn')?.msg ?? '', /announces itself as node-A/);
  });
}

test('the dead are forgotten after a day, or when a later process of their node does their work', async (t) => {
  const { membership, hear, other, jump, pass } = stage(t);
  membership.start();
  await hear('dead');
  await hear('old', { node: 'edge-2', services: ['router'] });
  await hear('half', { node: 'edge-2', services: ['router', 'policy'] });
  await pass(6000);
  await hear('new', { node: 'edge-2', services: ['router', 'signer'], started: START + 6000 });
  await pass(1000);
  assert.equal(other('old'), undefined);
  assert.equal(other('half')?.state, 'gone');
  await jump(DAY - 10_000);
  assert.equal(other('dead')?.state, 'gone');
  await jump(20_000);
  assert.deepEqual(
    membership.members().map((m) => m.process),
    [membership.members()[0]?.process],
  );
  membership.stop();
});

test('no more than 500 are kept: the one silent for longest makes room', async (t) => {
  const { membership, hear, other, pass } = stage(t);
  membership.start();
  await hear('first');
  await hear('second');
  await pass(1000);
  await hear('first');
  for (let i = 0; i < 499; i++) await hear(newId());
  assert.equal(membership.members().length, 501);
  assert.ok(other('first'));
  assert.equal(other('second'), undefined);
  membership.stop();
});

test('the fastest message tells the other clock, and a clock that is set shows immediately', async (t) => {
  const { membership, hear, other } = stage(t);
  membership.start();
  for (const [behind, clock] of [
    [-500, -500],
    [-20, -20],
    [-300, -20],
    [60_000, 60_000],
    [-400, -400],
  ] as const) {
    await hear('A', { time: Date.now() + behind });
    assert.equal(other('A')?.clock, clock);
  }
  membership.stop();
});

test('a heartbeat that does not fit the contract is dropped: too much text, too many entries, no such state', async (t) => {
  const { membership, hear, lines } = stage(t);
  membership.start();
  const many = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`c${i}`, 1]));
  for (const about of [{ node: 'x'.repeat(65) }, { contracts: many }, { state: 'busy' as 'up' }])
    await hear('A', about);
  assert.equal(membership.members().length, 1);
  // One line now, and the number of the others after a minute.
  assert.equal(lines().filter((line) => line.msg === 'malformed event dropped').length, 1);
  membership.stop();
});

test('it answers which processes it knows and what time it is, to callers of its node and of its process alone', async (t) => {
  const { membership, hear, bus } = stage(t);
  membership.start();
  await hear('A');
  const call = client(bus, memberContract);
  for (const node of ['edge-1', bus.process]) {
    assert.deepEqual(await call['member-ping']({}, { node }), { node: 'edge-1', process: bus.process, time: START });
    const { members, away } = await call['member-list']({}, { node });
    assert.deepEqual([members.map((m) => m.process), away], [[bus.process, 'A'], undefined]);
  }
  await assert.rejects(call['member-ping']({}, { node: 'A' }), { code: 'unavailable' });
  membership.stop();
});

test('what nodes must have in common is announced as digests, by section, without secrets', async (t) => {
  const { membership, settings } = stage(t);
  const digests = () => membership.members()[0]?.config ?? {};
  const differs = (config: object): string[] => {
    const before = digests();
    settings.replace(ConfigSchema.parse({ node: { name: 'edge-1' }, ...config }));
    const after = digests();
    return Object.keys(after).filter((section) => after[section] !== before[section]);
  };
  const [a, b] = [{ name: 'a.example' }, { name: 'b.example' }];
  const zone = (secret: string, server = '127.0.0.1') => ({
    dns: { zones: [{ name: 'example', update: { server, key: 'k.example', secret } }] },
  });
  assert.deepEqual(Object.keys(digests()), ['domains', 'keys', 'dns', 'webhooks']);
  assert.deepEqual(differs({ domains: [a, b] }), ['domains']);
  assert.deepEqual(differs({ domains: [b, a], limits: { sessions: 3 } }), []);
  assert.deepEqual(differs({ domains: [a, b], keys: { ttl: '2h' } }), ['keys']);
  assert.deepEqual(differs({ domains: [a, b], keys: { ttl: '2h' }, ...zone('c2VjcmV0') }), ['dns']);
  assert.deepEqual(differs({ domains: [a, b], keys: { ttl: '2h' }, ...zone('b3RoZXI=') }), []);
  assert.deepEqual(differs({ domains: [a, b], keys: { ttl: '2h' }, ...zone('b3RoZXI=', '127.0.0.2') }), ['dns']);
  const hook = (token: string, event: string) => ({
    webhooks: [{ name: 'ops', url: `https://hooks.example/${token}`, secret: `whsec_${token}`, events: [event] }],
  });
  assert.deepEqual(differs(hook('a', 'key.*')), ['domains', 'keys', 'dns', 'webhooks']);
  assert.deepEqual(differs(hook('b', 'key.*')), []);
  assert.deepEqual(differs(hook('b', 'alarm.*')), ['webhooks']);
});
